"""What the first block of masks tells about the ones to draw next: folded or not, and how many a side."""

from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.solver import solve

#: How sure a pilot block must be before complements are given up. They cost at most a factor of two where they are the
#: wrong choice and may save any factor where they are the right one.
SURE = 0.9


def is_better_unfolded(design: Design, values: Float[Tensor, " n"], third_order: float) -> bool:
    """Whether rows without complements would err less on this class, judged by one or more fold-over blocks.

    A pair's half difference has the odd terms of order three and up as its noise, so m pairs err like odd / m, times what
    `third_order` of it the folded blocks will leave in the end; 2 m rows that stand alone have all nonlinear terms as noise,
    and err like (even + odd) / 2 m. The variances are compared by an F test.
    """
    from scipy.special import fdtri

    pairs, d = design.units, design.masks.shape[1]
    if pairs <= d + 1:
        return False
    fit = solve(design, values[:, None], 0.0)
    first, second = values[0::2].double(), values[1::2].double()
    coded = design.masks[0::2].double() - 0.5
    odd = ((first - second) / 2 - coded @ fit.coefficients.values[0]).square().sum() / (pairs - d)
    even = ((first + second) / 2).var()
    return bool(odd * (2 * third_order - 1) > float(fdtri(pairs - d, pairs - 1, SURE)) * even)


def allocate(
    size: int, blocks: tuple[int, int], least: tuple[int, int], variances: tuple[float, float], costs: tuple[float, float]
) -> tuple[int, int]:
    """Masks a side, in whole blocks, for the smallest sum of squared errors at the cost of `size` masks, half of them the
    sound's and half the lyrics': N_a : N_t as √(V_a c_t / V_t c_a), at most `size` on a side and never below `least`.

    `variances` are what one mask of a side adds to that sum, `costs` what it takes.

    >>> allocate(1000, (88, 208), (176, 208), (9.0, 1.0), (1.0, 1.0))
    (792, 208)
    """
    budget = size * (costs[0] + costs[1]) / 2
    weights = [(max(variance, 1e-30) * cost) ** 0.5 for variance, cost in zip(variances, costs, strict=True)]
    first = 0 if costs[0] >= costs[1] else 1
    counts = list(least)
    wish = budget * weights[first] / sum(weights)
    # The costlier side is rounded to whole blocks first; the other one takes what is left, and leaves what it can't use.
    for side, spend in ((first, wish), (1 - first, budget), (first, budget)):
        left = (budget - costs[1 - side] * counts[1 - side]) / costs[side]
        whole = min(round(spend / costs[side] / blocks[side]), int(min(left, size) // blocks[side]))
        counts[side] = max(whole * blocks[side], least[side])
    return counts[0], counts[1]
