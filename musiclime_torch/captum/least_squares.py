"""Weighted least squares and ridge regression of many designs and outputs at once, on their device, in float64.

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

#: Cells of masks widened to float64 at a time.
CELLS = 2**18


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
    weights, targets = weights.double()[..., None], outputs.double()
    total = weights.sum(1, keepdim=True)
    target_mean = (weights * targets).sum(1, keepdim=True) / total
    targets = targets - target_mean
    if masks.shape[1] <= masks.shape[2]:
        return _fit_by_rows(masks, weights, targets, target_mean, ridge, judged)
    gram, moments, mask_mean = _accumulate(masks, weights, targets)
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
    coded = masks.double().sub_(0.5)
    mask_mean = (weights * coded).sum(1) / total[:, 0]
    rows = coded.sub_(mask_mean[:, None]).mul_(roots)
    gram = rows @ rows.mT
    gram.diagonal(dim1=1, dim2=2).add_(ridge)
    wanted = roots * targets
    slopes = rows.mT @ refine(gram, factorise(gram, JITTER * total / 4), wanted)
    intercept = target_mean - (mask_mean[:, None] + 0.5) @ slopes
    fidelity, spread = unknown(intercept[:, 0]), wanted.square().sum(1)
    if judged:
        missed = (wanted - rows @ slopes).square().sum(1)
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


def _accumulate(
    masks: Bool[Tensor, "design n d"], weights: Float[Tensor, "design n 1"], targets: Float[Tensor, "design n output"]
) -> tuple[Float[Tensor, "design d d"], Float[Tensor, "design d output"], Float[Tensor, "design d"]]:
    """Centred Σ w x xᵀ and Σ w x yᵀ over coded masks x, and the weighted mean of x."""
    designs, _, d = masks.shape
    gram, mask_sum = targets.new_zeros(designs, d, d), targets.new_zeros(designs, d)
    moments = targets.new_zeros(designs, d, targets.shape[2])
    # Σ w (x − m)(x − m)ᵀ = Σ w x xᵀ − (Σ w x) mᵀ: one pass, without the means being known first. Safe here: coded masks are
    # ± ½, so that nothing large cancels.
    for rows in _chunks(masks):
        coded, share = masks[:, rows].double().sub_(0.5), weights[:, rows]
        weighted = share * coded
        gram.baddbmm_(weighted.mT, coded)
        moments.baddbmm_(weighted.mT, targets[:, rows])
        mask_sum += weighted.sum(1)
    mask_mean = mask_sum / weights.sum(1)
    return gram.sub_(mask_sum[:, :, None] * mask_mean[:, None]), moments, mask_mean


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
        centred = masks[:, rows].double().sub_(0.5) - mask_mean[:, None]
        residuals = targets[:, rows] - centred @ slopes
        scores = weights[:, rows] * residuals
        missed += (scores * residuals).sum(1)
        variances.baddbmm_(torch.cholesky_solve(centred.mT, factor).square_(), scores.square_())
    return missed, variances


def _chunks(masks: Bool[Tensor, "design n d"]) -> list[slice]:
    designs, n, d = masks.shape
    step = max(CELLS // max(designs * d, 1), 1)
    return [slice(start, start + step) for start in range(0, n, step)]
