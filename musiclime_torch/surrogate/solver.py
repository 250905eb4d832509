"""The surrogate: weighted least squares in closed form, for all classes at once, with standard errors.

Masks are coded z − ½ and centred by their weighted mean; orthogonal designs need no equations (`signed`). Everything here
is float64 on the device of the inputs, and nothing waits for the host: what may have gone wrong comes back as tensors in the
`Fit`, to be read after the last coefficient.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.fit import Correction, Fit as Fit, Known, correct_errors, count_freedom, enlarge
from musiclime_torch.surrogate.signed import solve_signed, trace_signed

#: Rows widened to float64 at a time: small enough to stay in a CPU's cache, and even, so that pairs stay together.
CHUNK = 1024


@dataclass(frozen=True)
class _Normal:
    """The normal equations solved: slopes, and what the errors need."""

    slopes: Float[Tensor, "d class"]
    inverse: Float[Tensor, "d d"]
    mask_mean: Float[Tensor, " d"]
    pivots: Float[Tensor, " d"]


@dataclass(frozen=True)
class _Scores:
    """A chunk of sampling units at the solution. A score is s = w r, a row's weight times its residual.

    `influence` is x G⁻¹ of each unit's first mask x. It goes with `score_difference`, s − s′ of a pair and s of a row that
    stands alone; what the centring by x̄ adds goes with `score_sum`, s + s′ or s.
    """

    influence: Float[Tensor, "unit d"]
    score_difference: Float[Tensor, "unit class"]
    score_sum: Float[Tensor, "unit class"]
    weighted_squares: Float[Tensor, " class"]


# From the formulas to the code below. Masks z ∈ {0, 1}ᵈ are coded x = z − ½, rows weigh w, and the surrogate minimises
#     Σ w (y − ȳ − (x − x̄)ᵀβ)² + λ |β|²
# (ridge regression, Hoerl & Kennard 1970; x̄ and ȳ are the weighted means, so that the intercept is not penalised):
#     β = G⁻¹ Σ w x (y − ȳ),    G = Σ w (x − x̄)(x − x̄)ᵀ + λI = Σ w x xᵀ − (Σ w x) x̄ᵀ + λI.
# The right side needs no centred masks, for Σ w (y − ȳ) = 0. The coding moves the intercept alone, the fitted value at z =
# 0, that is at x = −½: ȳ − (x̄ + ½)ᵀβ. It matters because G is taken as a difference: of 140 columns Σ w z zᵀ has a
# condition number of 5,205, Σ w x xᵀ one of 5.8.
#
# A pair of complements has masks x and −x. It adds (w + w′) x xᵀ to Σ w x xᵀ, x (w y − w′ y′) to the right side and
# (w − w′) x to Σ w x. So only its first mask is read, which is what `_accumulate` does.
#
# Errors. β differs from the slopes of an infinite sample by Σ G⁻¹(x − x̄) w r, r being the residuals. With clusters g of
# rows that share their chance, here pairs and rows that stand alone, its variance is estimated by
#     Σ_g u_g u_gᵀ,    u_g = Σ_{i in g} G⁻¹ (x_i − x̄) w_i r_i
# (Cameron & Miller 2015, equations 10 and 11; White 1980 where every cluster is one row). Only the diagonal is kept. With h
# = G⁻¹x, p = −G⁻¹x̄ and s = w r, a row has u = (h + p) s, and a pair u = h (s − s′) + p (s + s′): even terms, which are the
# same for x and −x, cancel in s − s′ before anything is squared.
#
# Residuals are too small because d slopes were fitted to them: squares are divided by 1 − the average leverage (`enlarge`),
# and intervals take Student's quantile for the degrees of freedom that are left (`count_freedom`).


def solve(design: Design, outputs: Float[Tensor, "n class"], ridge: float) -> Fit:
    """Regress the outputs on the masks: (Xᵀ W X + ridge·I) β = Xᵀ W Y on centred X and Y; the intercept isn't penalised.

    Standard errors are sandwich forms (White 1980), clustered by pair where the design is folded (Cameron & Miller
    2015): a fold-over's rows are not independent, its pairs are. Squares are enlarged by the average leverage of their
    kind of unit, which for pairs alone and rows alone is HC1's degrees of freedom.
    """
    if design.orthogonal:
        return solve_signed(design, outputs, ridge)
    weights, targets, target_mean = _centre(design, outputs)
    normal = _reduce(design, weights, targets, ridge)
    missed, variances = _examine(design, weights, targets, normal)
    correction = _correct(design, targets, normal)
    variances *= correction.factor
    spread = (weights * targets.square()).sum(0)
    return Fit(
        coefficients=Known(
            normal.slopes.T,
            variances.clamp_min(0).sqrt().T,
            torch.full_like(variances, max(count_freedom(design), 0)).T - correction.spent,
        ),
        intercept=target_mean - (normal.mask_mean + 0.5) @ normal.slopes,
        fidelity=torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread)),
        pivots=normal.pivots,
    )


def trace_errors(design: Design, outputs: Float[Tensor, " n"], ridge: float) -> Float[Tensor, "unit d"]:
    """What each sampling unit contributes to the error of each coefficient of one class: the u_g of the formula above.

    contributionsᵀ contributions is the covariance of the coefficients.
    """
    if design.orthogonal:
        return trace_signed(design, outputs, ridge)
    weights, targets, _ = _centre(design, outputs[:, None])
    normal = _reduce(design, weights, targets, ridge)
    spared = _correct(design, targets, normal).factor.sqrt()
    push = -normal.mask_mean @ normal.inverse
    contributions = []
    for rows, folded in _chunks(design):
        unit = _score(design, weights, targets, normal, rows, folded)
        own = unit.influence * unit.score_difference + push * unit.score_sum
        contributions.append(own * spared * enlarge(design, folded) ** 0.5)
    return torch.cat(contributions)


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
    # Scaled to correlations, so that a pivot says which share of its column the columns before it leave unexplained.
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
    """Σ w r² of the residuals r, and Σ u² over sampling units, enlarged."""
    missed, variances = targets.new_zeros(targets.shape[1]), torch.zeros_like(normal.slopes)
    push = (-normal.mask_mean @ normal.inverse)[:, None]
    for rows, folded in _chunks(design):
        unit = _score(design, weights, targets, normal, rows, folded)
        missed += unit.weighted_squares
        share = enlarge(design, folded)
        # Σ (h a + p b)² = Σ h² a² + 2 p Σ h a b + p² Σ b²: matrix products instead of a (unit, d, class) array.
        mixed = unit.influence.T @ (unit.score_difference * unit.score_sum)
        variances += share * (push.square() * unit.score_sum.square().sum(0) + 2 * push * mixed)
        variances.addmm_(unit.influence.square().T, unit.score_difference.square(), alpha=share)
    return missed, variances


def _correct(design: Design, targets: Float[Tensor, "n class"], normal: _Normal) -> Correction:
    """What blocks that belong together, and local terms, say of the errors beyond what pairs show."""
    if not design.cycle and not len(design.local):
        return Correction(targets.new_ones(targets.shape[1]), targets.new_zeros(()))
    coded = _code(design, slice(None), folded=True)
    return correct_errors(design, 2 * coded, _differ(targets) / 2 - coded @ normal.slopes)


def _score(
    design: Design,
    weights: Float[Tensor, "n 1"],
    targets: Float[Tensor, "n class"],
    normal: _Normal,
    rows: slice,
    folded: bool,
) -> _Scores:
    """The sampling units of a chunk of rows, at the solution."""
    coded = _code(design, rows, folded)
    fitted = coded @ normal.slopes
    if folded:
        fitted = torch.stack([fitted, -fitted], 1).flatten(0, 1)
    residuals = targets[rows] + normal.mask_mean @ normal.slopes - fitted
    scores = weights[rows] * residuals
    weighted_squares = (scores * residuals).sum(0)
    if not folded:
        return _Scores(coded @ normal.inverse, scores, scores, weighted_squares)
    return _Scores(coded @ normal.inverse, _differ(scores), scores[0::2] + scores[1::2], weighted_squares)


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
