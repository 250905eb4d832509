"""The surrogate: weighted least squares in closed form, for all classes at once, with standard errors.

Masks are coded z − ½ and centred by their weighted mean; everything is float64 on the device of the inputs and nothing
waits for the host: what may have gone wrong comes back as tensors in the `Fit`, to be read after the last coefficient.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.design import Design

#: A squared pivot of the correlation-scaled Gram matrix below this is a column that the others already contain:
#: float64 leaves about 1e-14 of an exact duplicate, and an honest column of 1,000 keeps above 1e-6.
DEPENDENT = 1e-10

#: Rows widened to float64 at a time: small enough to stay in a CPU's cache, and even, so that pairs stay together.
CHUNK = 1024


@dataclass(frozen=True)
class Fit:
    """A local linear model of every class, and how well it is known.

    `intercept` is the surrogate's value with every component off, `fidelity` the weighted R² (1 where the outputs don't
    vary at all), `pivots` the share of each column's variance that the columns before it don't explain.
    """

    coefficients: Float[Tensor, "d class"]
    standard_errors: Float[Tensor, "d class"]
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    pivots: Float[Tensor, " d"]
    degrees_of_freedom: int

    @property
    def dependent(self) -> Bool[Tensor, " d"]:
        """Columns that are combinations of earlier ones: their coefficients mean nothing."""
        return ~(self.pivots > DEPENDENT)


def solve(design: Design, outputs: Float[Tensor, "n class"], ridge: float) -> Fit:
    """Regress the outputs on the masks: (Xᵀ W X + ridge·I) β = Xᵀ W Y on centred X and Y; the intercept isn't penalised.

    Standard errors are sandwich forms (White 1980, HC1), clustered by pair where the design is paired (Cameron & Miller
    2015): a fold-over's rows are not independent, its pairs are.
    """
    weights = design.weights.double()[:, None]
    targets = outputs.double()
    total = weights.sum()
    target_mean = (weights * targets).sum(0) / total
    targets = targets - target_mean

    # The small matrices are centred instead of the masks, which z − ½ has nearly centred already.
    gram, moments, mask_sum = _accumulate(design, weights, targets)
    mask_mean = mask_sum / total
    gram.addr_(mask_sum, mask_mean, alpha=-1).diagonal().add_(ridge)
    scale = gram.diagonal().clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
    factor, _ = torch.linalg.cholesky_ex(gram * scale * scale[:, None])
    inverse = torch.cholesky_solve(torch.diag(scale), factor) * scale[:, None]
    coefficients = inverse @ moments

    missed, variances = _examine(design, weights, targets + mask_mean @ coefficients, coefficients, inverse, mask_mean)
    spread = (weights * targets.square()).sum(0)
    units, freedom = _count_units(design)
    return Fit(
        coefficients=coefficients,
        standard_errors=(variances * (units / freedom)).clamp_min(0).sqrt(),
        intercept=target_mean - (mask_mean + 0.5) @ coefficients,
        fidelity=torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread)),
        pivots=factor.diagonal().square(),
        degrees_of_freedom=freedom,
    )


def _accumulate(
    design: Design, weights: Float[Tensor, "n 1"], targets: Float[Tensor, "n class"]
) -> tuple[Float[Tensor, "d d"], Float[Tensor, "d class"], Float[Tensor, " d"]]:
    """Σ w x xᵀ, Σ w x yᵀ and Σ w x over the coded masks x. A pair's second mask is −x: only the first is widened."""
    d, classes = design.masks.shape[1], targets.shape[1]
    gram, moments, mask_sum = targets.new_zeros(d, d), targets.new_zeros(d, classes), targets.new_zeros(d)
    weighted = weights * targets
    for rows in _chunks(design):
        coded = _code(design, rows)
        signed, signed_targets, strength = weights[rows], weighted[rows], weights[rows]
        if design.paired:
            signed, signed_targets = _differ(signed), _differ(signed_targets)
            strength = strength[0::2] + strength[1::2]
        gram.addmm_(coded.T, strength * coded)
        moments.addmm_(coded.T, signed_targets)
        mask_sum += (coded.T @ signed)[:, 0]
    return gram, moments, mask_sum


def _examine(
    design: Design,
    weights: Float[Tensor, "n 1"],
    levelled: Float[Tensor, "n class"],
    coefficients: Float[Tensor, "d class"],
    inverse: Float[Tensor, "d d"],
    mask_mean: Float[Tensor, " d"],
) -> tuple[Float[Tensor, " class"], Float[Tensor, "d class"]]:
    """Σ w r² of the residuals r = levelled − x β, and Σ over sampling units of (influence × w r)².

    The influence of a mask is x G⁻¹ + push, the same push for all. So a row adds h s + push s, with h = x G⁻¹ and the score
    s = w r; a pair, whose second mask is −x, adds h (s − s') + push (s + s'). What cancels within a pair does so before it
    is squared, and the squares come from three matrix products instead of a (unit, d, class) array.
    """
    missed, variances = levelled.new_zeros(levelled.shape[1]), torch.zeros_like(coefficients)
    push = (-mask_mean @ inverse)[:, None]
    for rows in _chunks(design):
        coded = _code(design, rows)
        fitted = coded @ coefficients
        if design.paired:
            fitted = torch.stack([fitted, -fitted], 1).flatten(0, 1)
        residuals = levelled[rows] - fitted
        scores = weights[rows] * residuals
        missed += (scores * residuals).sum(0)
        steep, flat = (_differ(scores), scores[0::2] + scores[1::2]) if design.paired else (scores, scores)
        influence = coded @ inverse
        variances += push.square() * flat.square().sum(0) + 2 * push * (influence.T @ (steep * flat))
        variances.addmm_(influence.square_().T, steep.square())
    return missed, variances


def _code(design: Design, rows: slice) -> Float[Tensor, "unit d"]:
    """Masks as z − ½ in float64, of the first mask of each sampling unit."""
    masks = design.masks[rows]
    return (masks[0::2] if design.paired else masks).double().sub_(0.5)


def _differ(values: Float[Tensor, "row column"]) -> Float[Tensor, "pair column"]:
    return values[0::2] - values[1::2]


def _count_units(design: Design) -> tuple[int, int]:
    """Sampling units and the degrees of freedom left: a pair's mean carries no main effect, so the d slopes of a
    fold-over are fitted to n / 2 differences; independent rows also pay for the intercept.
    """
    n, d = design.masks.shape
    return (n // 2, n // 2 - d) if design.paired else (n, n - d - 1)


def _chunks(design: Design) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, design.n_samples, CHUNK))
