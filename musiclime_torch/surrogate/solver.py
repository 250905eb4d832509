"""The surrogate: weighted least squares in closed form, for all classes at once, with standard errors.

Masks are coded z − ½ and centred by their weighted mean; everything is float64 on the device of the inputs and nothing
waits for the host: what may have gone wrong comes back as tensors in the `Fit`, to be read after the last coefficient.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.third_order import share_third_order, spare

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
    degrees_of_freedom: Float[Tensor, "d class"]
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    pivots: Float[Tensor, " d"]

    @property
    def dependent(self) -> Bool[Tensor, " d"]:
        """Columns that are combinations of earlier ones: their coefficients mean nothing."""
        return ~(self.pivots > DEPENDENT)


@dataclass(frozen=True)
class _Normal:
    """The normal equations solved: slopes, and what the errors need."""

    slopes: Float[Tensor, "d class"]
    inverse: Float[Tensor, "d d"]
    mask_mean: Float[Tensor, " d"]
    pivots: Float[Tensor, " d"]


def solve(design: Design, outputs: Float[Tensor, "n class"], ridge: float) -> Fit:
    """Regress the outputs on the masks: (Xᵀ W X + ridge·I) β = Xᵀ W Y on centred X and Y; the intercept isn't penalised.

    Standard errors are sandwich forms (White 1980), clustered by pair where the design is folded (Cameron & Miller
    2015): a fold-over's rows are not independent, its pairs are. Squares are enlarged by the average leverage of their
    kind of unit, which for pairs alone and rows alone is HC1's degrees of freedom.
    """
    weights, targets, target_mean = _centre(design, outputs)
    normal = _reduce(design, weights, targets, ridge)
    missed, variances = _examine(design, weights, targets, normal)
    variances *= _spare_third_order(design, targets, normal)
    spread = (weights * targets.square()).sum(0)
    return Fit(
        coefficients=normal.slopes,
        standard_errors=variances.clamp_min(0).sqrt(),
        degrees_of_freedom=torch.full_like(variances, max(count_freedom(design), 0)),
        intercept=target_mean - (normal.mask_mean + 0.5) @ normal.slopes,
        fidelity=torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread)),
        pivots=normal.pivots,
    )


def score(design: Design, outputs: Float[Tensor, " n"], ridge: float) -> Float[Tensor, "unit d"]:
    """What each sampling unit adds to the error of each coefficient of one class: scoresᵀ scores is their covariance."""
    weights, targets, _ = _centre(design, outputs[:, None])
    normal = _reduce(design, weights, targets, ridge)
    spared = _spare_third_order(design, targets, normal).sqrt()
    rows = []
    for chunk, folded in _chunks(design):
        influence, steep, flat, _ = _inspect(design, weights, targets, normal, chunk, folded)
        push = -normal.mask_mean @ normal.inverse
        rows.append((influence * steep + push * flat) * spared * enlarge(design, folded) ** 0.5)
    return torch.cat(rows)


def count_freedom(design: Design) -> int:
    """Degrees of freedom that d slopes leave of a design: a pair's mean carries no main effect, so a fold-over fits its
    slopes to pairs without an intercept; rows that stand alone pay for one.
    """
    return design.units - design.masks.shape[1] - (design.folded < design.n_samples)


def enlarge(design: Design, folded: bool) -> float:
    """1 / (1 − average leverage) of a unit: its squared residual is too small by that much."""
    n, d = design.masks.shape
    return n / max(n - (2 * d if folded else d + 1), 0.5)


def _centre(
    design: Design, outputs: Float[Tensor, "n class"]
) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n class"], Float[Tensor, " class"]]:
    weights = design.weights.double()[:, None]
    targets = outputs.double()
    mean = (weights * targets).sum(0) / weights.sum()
    return weights, targets - mean, mean


def _reduce(design: Design, weights: Float[Tensor, "n 1"], targets: Float[Tensor, "n class"], ridge: float) -> _Normal:
    # The small matrices are centred instead of the masks, which z − ½ has nearly centred already.
    gram, moments, mask_sum = _accumulate(design, weights, targets)
    mask_mean = mask_sum / weights.sum()
    gram.addr_(mask_sum, mask_mean, alpha=-1).diagonal().add_(ridge)
    scale = gram.diagonal().clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
    factor, _ = torch.linalg.cholesky_ex(gram * scale * scale[:, None])
    inverse = torch.cholesky_solve(torch.diag(scale), factor) * scale[:, None]
    return _Normal(inverse @ moments, inverse, mask_mean, factor.diagonal().square())


def _accumulate(
    design: Design, weights: Float[Tensor, "n 1"], targets: Float[Tensor, "n class"]
) -> tuple[Float[Tensor, "d d"], Float[Tensor, "d class"], Float[Tensor, " d"]]:
    """Σ w x xᵀ, Σ w x yᵀ and Σ w x over the coded masks x. A pair's second mask is −x: only the first is widened."""
    d, classes = design.masks.shape[1], targets.shape[1]
    gram, moments, mask_sum = targets.new_zeros(d, d), targets.new_zeros(d, classes), targets.new_zeros(d)
    weighted = weights * targets
    for rows, folded in _chunks(design):
        coded = _code(design, rows, folded)
        signed, signed_targets, strength = weights[rows], weighted[rows], weights[rows]
        if folded:
            signed, signed_targets = _differ(signed), _differ(signed_targets)
            strength = strength[0::2] + strength[1::2]
        gram.addmm_(coded.T, strength * coded)
        moments.addmm_(coded.T, signed_targets)
        mask_sum += (coded.T @ signed)[:, 0]
    return gram, moments, mask_sum


def _examine(
    design: Design, weights: Float[Tensor, "n 1"], targets: Float[Tensor, "n class"], normal: _Normal
) -> tuple[Float[Tensor, " class"], Float[Tensor, "d class"]]:
    """Σ w r² of the residuals r, and Σ over sampling units of (influence × w r)².

    The influence of a mask is x G⁻¹ + push, the same push for all. So a row adds h s + push s, with h = x G⁻¹ and the score
    s = w r; a pair, whose second mask is −x, adds h (s − s') + push (s + s'). What cancels within a pair does so before it
    is squared, and the squares come from three matrix products instead of a (unit, d, class) array.
    """
    missed, variances = targets.new_zeros(targets.shape[1]), torch.zeros_like(normal.slopes)
    push = (-normal.mask_mean @ normal.inverse)[:, None]
    for rows, folded in _chunks(design):
        influence, steep, flat, lost = _inspect(design, weights, targets, normal, rows, folded)
        missed += lost
        share = enlarge(design, folded)
        variances += share * (push.square() * flat.square().sum(0) + 2 * push * (influence.T @ (steep * flat)))
        variances.addmm_(influence.square_().T, steep.square(), alpha=share)
    return missed, variances


def _spare_third_order(design: Design, targets: Float[Tensor, "n class"], normal: _Normal) -> Float[Tensor, " class"]:
    """The factor on variances by which blocks that belong together err less than their pairs show."""
    if not design.cycle:
        return targets.new_ones(targets.shape[1])
    coded = _code(design, slice(None), folded=True)
    odd = _differ(targets) / 2 - coded @ normal.slopes
    return spare(design.third_order, share_third_order(2 * coded, odd))


def _inspect(
    design: Design,
    weights: Float[Tensor, "n 1"],
    targets: Float[Tensor, "n class"],
    normal: _Normal,
    rows: slice,
    folded: bool,
) -> tuple[Float[Tensor, "unit d"], Float[Tensor, "unit class"], Float[Tensor, "unit class"], Float[Tensor, " class"]]:
    """h, the scores that go with it, those that go with the push, and Σ w r², of a chunk of rows."""
    coded = _code(design, rows, folded)
    fitted = coded @ normal.slopes
    if folded:
        fitted = torch.stack([fitted, -fitted], 1).flatten(0, 1)
    residuals = targets[rows] + normal.mask_mean @ normal.slopes - fitted
    scores = weights[rows] * residuals
    steep, flat = (_differ(scores), scores[0::2] + scores[1::2]) if folded else (scores, scores)
    return coded @ normal.inverse, steep, flat, (scores * residuals).sum(0)


def _code(design: Design, rows: slice, folded: bool) -> Float[Tensor, "unit d"]:
    """Masks as z − ½ in float64, of the first mask of each sampling unit."""
    masks = design.masks[rows]
    return (masks[0::2] if folded else masks).double().sub_(0.5)


def _differ(values: Float[Tensor, "row column"]) -> Float[Tensor, "pair column"]:
    return values[0::2] - values[1::2]


def _chunks(design: Design) -> Iterator[tuple[slice, bool]]:
    """Rows a few at a time, and whether they are pairs: no chunk holds both kinds."""
    for first, last, folded in ((0, design.folded, True), (design.folded, design.n_samples, False)):
        for start in range(first, last, CHUNK):
            yield slice(start, min(start + CHUNK, last)), folded
