"""What the first block of masks says about the ones to draw next: folded or not, and how many for each side."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.fit import correct_errors
from musiclime_torch.surrogate.signed import full_precision, pick_precision
from musiclime_torch.surrogate.solver import solve

#: How sure a pilot block must be before complements are given up. They cost at most a factor of two where they are the
#: wrong choice and may save any factor where they are the right one.
SURE = 0.9


def is_better_unfolded(design: Design, values: Float[Tensor, " n"], third_order: float) -> bool:
    """Whether rows without complements would have smaller errors on this class, judged by one or more fold-over blocks.

    `third_order` is the share of third-order terms' error that the folded blocks will leave once all are drawn.
    """
    from scipy.special import fdtri

    # The noise of a pair's half difference are the odd terms of order three and up, so the slopes of m pairs have a variance
    # in proportion to odd · third_order / m. The noise of 2 m rows that stand alone are all nonlinear terms, and their
    # variance goes with (even + odd) / (2 m). Rows are better where 2 · odd · third_order > even + odd, that is where
    # odd (2 · third_order − 1) > even, which an F test has to confirm.
    pairs, d = design.units, design.masks.shape[1]
    if pairs <= d + 1:
        return False
    fit = solve(design, values[:, None], 0.0)
    first, second = values[0::2].double(), values[1::2].double()
    kind = pick_precision(values)
    with full_precision(values.device):
        fitted = (design.masks[0::2].to(kind) - 0.5) @ fit.coefficients.values[0].to(kind)
    left = ((first - second) / 2 - fitted)[:, None]
    # Local terms are no noise of the slopes; those of a cycle are judged by `third_order`, of all its blocks.
    correction = correct_errors(replace(design, cycle=0), 2.0 * design.masks[0::2] - 1, left)
    odd = left.square().sum() * correction.factor[0] / (pairs - d)
    even = ((first + second) / 2).var()
    return bool(odd * (2 * third_order - 1) > float(fdtri(pairs - d, pairs - 1, SURE)) * even)


def allocate(
    size: int, blocks: tuple[int, int], least: tuple[int, int], variances: tuple[float, float], costs: tuple[float, float]
) -> tuple[int, int]:
    """Masks for each side, in whole blocks, that minimise the sum of squared errors at the cost of `size` masks, half of
    them audio and half lyrics: N_a : N_t as √(V_a c_t / V_t c_a), at most `size` on a side and never below `least`.

    `variances` are V, a side's part of that sum times its masks so far; `costs` are what one mask takes to encode.

    >>> allocate(1000, (88, 208), (176, 208), (9.0, 1.0), (1.0, 1.0))
    (792, 208)
    """
    # V_a / N_a + V_t / N_t is smallest under c_a N_a + c_t N_t = budget where N ∝ √(V / c) (Lagrange): each side gets the
    # share √(V c) of the budget.
    budget = size * (costs[0] + costs[1]) / 2
    weights = [(max(variance, 1e-30) * cost) ** 0.5 for variance, cost in zip(variances, costs, strict=True)]
    first = 0 if costs[0] >= costs[1] else 1
    counts = list(least)
    wanted = budget * weights[first] / sum(weights)
    # The costlier side is rounded to whole blocks first; the other one takes what is left, and leaves what it can't use.
    for side, spend in ((first, wanted), (1 - first, budget), (first, budget)):
        left = (budget - costs[1 - side] * counts[1 - side]) / costs[side]
        complete = min(round(spend / costs[side] / blocks[side]), int(min(left, size) // blocks[side]))
        counts[side] = max(complete * blocks[side], least[side])
    return counts[0], counts[1]
