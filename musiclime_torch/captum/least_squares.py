"""Weighted least squares and ridge regression of many designs and outputs at once, on their device.

Equations are set up in float32 where that costs no digit of attributions, which are float32, and solved in float64.

`surrogate.solver` refuses components that the masks can't tell apart. A drop-in has to answer: here they get the solution of
least norm, as from scikit-learn. Masks are coded z − ½, which moves the intercept alone.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.captum.request import Lines, unknown

#: What is added to the Gram matrix, as a share of a column's largest variance, so that Cholesky holds; `REFINEMENTS` take it
#: back out (iterated Tikhonov regularisation), all but (JITTER / (JITTER + σ²))^(1 + REFINEMENTS) of it in a direction σ².
JITTER, REFINEMENTS = 1e-8, 3

#: Cells of masks widened to floats at a time.
CELLS = 2**17

#: Cells of masks widened at a time where columns are taken some by some: wide enough that products are fast.
BLOCK = 2**21

#: Rows a component from which equations are set up in float32 on the CPU, in half the time. Random masks of so many rows
#: have a Gram matrix of condition ((1 + √⅛) / (1 − √⅛))² < 5 (Marchenko & Pastur 1967), which amplifies hardly any rounding.
AMPLE = 8

#: What oneDNN's setting of float32 products is called where they are float32.
EXACT = ("none", "ieee")


def fit_lines(
    masks: Bool[Tensor, "design n component"],
    weights: Float[Tensor, "design n"],
    outputs: Float[Tensor, "design n output"],
    ridge: float,
    judged: bool,
) -> Lines:
    """Σ w (y − β z − β₀)² + ridge · |β|² at its least, for every output of every design; rows are design-major.

    Only with `judged` are fidelity and standard errors known; those are HC1's (White 1980; MacKinnon & White 1985): rows are
    taken to be independent.
    """
    # Centring takes the intercept out: with weighted means m of the coded masks and ȳ of the targets the slopes solve
    #     (Σ w (x − m)(x − m)ᵀ + ridge · I) β = Σ w (x − m)(y − ȳ),
    # and β₀ = ȳ − (m + ½)ᵀ β, the ½ for masks coded as z − ½. The penalty doesn't touch β₀.
    kind = pick_precision(outputs, weights, masks.shape[2])
    weights, targets = weights.double()[..., None], outputs.double()
    total = weights.sum(1, keepdim=True)
    target_mean = (weights * targets).sum(1, keepdim=True) / total
    targets = targets - target_mean
    if masks.shape[1] <= masks.shape[2]:
        return _fit_by_rows(masks, weights, targets, target_mean, ridge, judged)
    gram, moments, mask_mean = _accumulate(masks, weights, targets, kind)
    gram.diagonal(dim1=1, dim2=2).add_(ridge)
    factor = factorise(gram, JITTER * total / 4)
    slopes = refine(gram, factor, moments)
    intercept = target_mean - (mask_mean[:, None] + 0.5) @ slopes
    fidelity, errors, freedom = unknown(intercept[:, 0]), unknown(slopes), unknown(slopes)
    if judged:
        missed, variances = _examine(masks, weights, targets, slopes, mask_mean, factor)
        spread = (weights * targets.square()).sum(1)
        fidelity = torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread))
        n, d = masks.shape[1:]
        # HC1: the sandwich (XᵀWX)⁻¹ (Σ w² r² x xᵀ) (XᵀWX)⁻¹, of which the diagonal is Σ (influence · w r)², times
        # n / (n − d − 1) for the d slopes and the intercept that were fitted.
        if n > d + 1:
            errors, freedom = (variances * n / (n - d - 1)).sqrt(), torch.full_like(slopes, n - d - 1)
    by_row = (tensor.mT.flatten(0, 1) for tensor in (errors, freedom))
    return Lines(slopes.mT.flatten(0, 1), intercept.flatten(), fidelity.flatten(), *by_row)


# With fewer rows than components the same solution costs a system of n equations, not of d: with A = √w (x − m),
#     (AᵀA + λI)⁻¹ Aᵀ = Aᵀ (AAᵀ + λI)⁻¹
# for every λ > 0, jitter and penalty alike. A picture's 16,000 pixels and 25 samples are 25 equations.
def _fit_by_rows(
    masks: Bool[Tensor, "design n component"],
    weights: Float[Tensor, "design n 1"],
    targets: Float[Tensor, "design n output"],
    target_mean: Float[Tensor, "design 1 output"],
    ridge: float,
    judged: bool,
) -> Lines:
    """`fit_lines` where rows are no more than components: no errors, for nothing is left over to tell them from."""
    total, roots = weights.sum(1, keepdim=True), weights.sqrt()
    d, wanted = masks.shape[2], roots * targets
    gram = targets.new_zeros(len(masks), masks.shape[1], masks.shape[1])
    slopes, mask_mean = targets.new_zeros(len(masks), d, targets.shape[2]), targets.new_zeros(len(masks), d)

    # Twice over the columns, some at a time: of a picture's elements there may be gigabytes.
    step = max(BLOCK // masks.shape[:2].numel(), 1)
    blocks = [slice(start, start + step) for start in range(0, d, step)]
    for columns in blocks:
        some = masks.view(torch.int8)[..., columns].double()
        mask_mean[:, columns] = (weights * some).sum(1) / total[:, 0]
        centred = some.sub_(mask_mean[:, None, columns]).mul_(roots)
        gram.baddbmm_(centred, centred.mT)
    gram.diagonal(dim1=1, dim2=2).add_(ridge)
    scores = refine(gram, factorise(gram, JITTER * total / 4), wanted)
    fitted = torch.zeros_like(wanted)
    for columns in blocks:
        centred = masks.view(torch.int8)[..., columns].double().sub_(mask_mean[:, None, columns]).mul_(roots)
        slopes[:, columns] = centred.mT @ scores
        fitted += centred @ slopes[:, columns]
    intercept = target_mean - mask_mean[:, None] @ slopes
    fidelity, spread = unknown(intercept[:, 0]), wanted.square().sum(1)
    if judged:
        missed = (wanted - fitted).square().sum(1)
        fidelity = torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread))
    by_row = (unknown(slopes).mT.flatten(0, 1) for _ in range(2))
    return Lines(slopes.mT.flatten(0, 1), intercept.flatten(), fidelity.flatten(), *by_row)


def factorise(gram: Float[Tensor, "design d d"], jitter: Float[Tensor, "design 1 1"]) -> Float[Tensor, "design d d"]:
    """Cholesky's factor of the matrix with a little added to its diagonal; NaN if even that isn't positive definite."""
    # `cholesky_ex` reports failure in a tensor that nobody reads: the checking variant would wait for the device.
    lifted = gram + jitter * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return torch.linalg.cholesky_ex(lifted)[0]


def refine(
    gram: Float[Tensor, "design d d"], factor: Float[Tensor, "design d d"], moments: Float[Tensor, "design d output"]
) -> Float[Tensor, "design d output"]:
    """The solution of gram · x = moments, of least norm where there are many."""
    # Each round solves for what the last one left over. In a direction with eigenvalue σ² a share J / (J + σ²) is left, J
    # the jitter: for σ² >> J nothing after a few rounds, and for σ² = 0 the direction stays at 0, which is the least norm.
    solution = torch.cholesky_solve(moments, factor)
    for _ in range(REFINEMENTS):
        solution = solution + torch.cholesky_solve(moments - gram @ solution, factor)
    return solution


def score_fit(
    weights: Float[Tensor, "n 1"], outputs: Float[Tensor, "n output"], fitted: Float[Tensor, "n output"]
) -> Float[Tensor, " output"]:
    """Weighted R²; 1 where the outputs don't vary."""
    mean = (weights * outputs).sum(0) / weights.sum()
    spread = (weights * (outputs - mean).square()).sum(0)
    missed = (weights * (outputs - fitted).square()).sum(0)
    return torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread))


def pick_precision(outputs: Float[Tensor, "*shape"], weights: Float[Tensor, "design n"], components: int) -> torch.dtype:
    """What equations are set up in: float32 for many rows on the CPU, float64 for few and for outputs in float64.

    A GPU keeps to float64: it may have been told to multiply float32 with fewer bits, and asking it for weights would wait.
    """
    products = getattr(torch.backends.mkldnn, "matmul", None)
    lowered = torch.get_float32_matmul_precision() != "highest" or getattr(products, "fp32_precision", "none") not in EXACT
    if outputs.device.type != "cpu" or outputs.dtype == torch.float64 or lowered:
        return torch.float64
    # Kish's effective size: what the weighted rows of each design are worth.
    rows = weights.double().sum(1).square() / weights.double().square().sum(1)
    return torch.float32 if bool((rows >= AMPLE * components).all()) else torch.float64


def _accumulate(
    masks: Bool[Tensor, "design n d"],
    weights: Float[Tensor, "design n 1"],
    targets: Float[Tensor, "design n output"],
    kind: torch.dtype,
) -> tuple[Float[Tensor, "design d d"], Float[Tensor, "design d output"], Float[Tensor, "design d"]]:
    """Centred Σ w x xᵀ and Σ w x yᵀ over coded masks x, and the weighted mean of x."""
    designs, _, d = masks.shape
    width = d + 1 + targets.shape[2]
    sums = targets.new_zeros(designs, d, width)
    # Weights of any size fit into float32 as shares of the largest.
    largest = weights.amax(1, keepdim=True) if kind == torch.float32 else 1.0
    roots = (weights / largest).sqrt()
    sides, roots = torch.cat([roots, roots * targets], 2).to(kind), roots.to(kind)
    # Σ w (x − m)(x − m)ᵀ = Σ w x xᵀ − (Σ w x) mᵀ: one pass, without the means being known first. Safe here: coded masks are
    # ± ½, so that nothing large cancels, and sums over independent components stay small. One product, of (√w x | √w | √w y)
    # with itself, in one block of memory: every further one would be asked of the system again.
    # Bytes are widened to floats six times as fast as booleans.
    on, chunks = masks.view(torch.int8), _chunks(masks)
    block = sums.new_empty(designs, chunks[0].stop, width, dtype=kind)
    for rows in chunks:
        some = block[:, : rows.stop - rows.start]
        some[..., :d].copy_(on[:, rows]).sub_(0.5).mul_(roots[:, rows])
        some[..., d:] = sides[:, rows]
        sums += some[..., :d].mT @ some
    gram, mask_sum, moments = (sums * largest).split([d, 1, targets.shape[2]], 2)
    mask_mean = (mask_sum / weights.sum(1, keepdim=True))[..., 0]
    return gram - mask_sum * mask_mean[:, None], moments, mask_mean


def _examine(
    masks: Bool[Tensor, "design n d"],
    weights: Float[Tensor, "design n 1"],
    targets: Float[Tensor, "design n output"],
    slopes: Float[Tensor, "design d output"],
    mask_mean: Float[Tensor, "design d"],
    factor: Float[Tensor, "design d d"],
) -> tuple[Float[Tensor, "design output"], Float[Tensor, "design d output"]]:
    """Σ w r² of the residuals r, and Σ (influence × w r)²."""
    missed, variances = targets.new_zeros(len(masks), targets.shape[2]), torch.zeros_like(slopes)
    for rows in _chunks(masks):
        centred = masks.view(torch.int8)[:, rows].double().sub_(0.5) - mask_mean[:, None]
        residuals = targets[:, rows] - centred @ slopes
        scores = weights[:, rows] * residuals
        missed += (scores * residuals).sum(1)
        variances.baddbmm_(torch.cholesky_solve(centred.mT, factor).square_(), scores.square_())
    return missed, variances


def _chunks(masks: Bool[Tensor, "design n d"]) -> list[slice]:
    designs, n, d = masks.shape
    step = max(CELLS // max(designs * d, 1), 1)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
