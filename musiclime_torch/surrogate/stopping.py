"""When enough masks have been drawn: the order of the largest components is settled, or every interval is narrow enough.

Looking repeatedly finds something by chance: each of the planned looks gets an equal share of the allowed error rate
(Bonferroni), and the intervals of a run that might have stopped early are wider for it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import Until
from musiclime_torch.surrogate.intervals import quantile


def is_settled(
    until: Until,
    values: Float[Tensor, " d"],
    contributions: Float[Tensor, "unit d"],
    degrees_of_freedom: Float[Tensor, " d"],
    confidence: float,
) -> bool:
    """Whether what was asked for holds at this look. contributionsᵀ contributions is the covariance of the values."""
    if until.kind == "width":
        half = quantile(degrees_of_freedom, confidence).to(contributions) * contributions.square().sum(0).sqrt()
        return bool((half <= until.width).all())
    return is_ordered(until.count, values, contributions, degrees_of_freedom, confidence)


def is_ordered(
    count: int,
    values: Float[Tensor, " d"],
    contributions: Float[Tensor, "unit d"],
    degrees_of_freedom: Float[Tensor, " d"],
    confidence: float,
) -> bool:
    """Whether each of the `count` largest, whatever their signs, is significantly larger than all that rank below it.

    Ranks are checked one after the other (Hung & Fithian 2019), each with an equal share of the allowed error rate. The
    true value of a lower component may have either sign, so the intervals of both differences must exclude zero.
    """
    sizes = values.abs()
    order = sizes.argsort(descending=True, stable=True)
    count = min(count, len(order))
    # Errors of the absolute values: those of negative components change their sign.
    signed = contributions * torch.where(values < 0, -1.0, 1.0).to(contributions)
    limit = float(quantile(degrees_of_freedom.min(), 1 - (1 - confidence) / count))
    for rank in range(count):
        own, below = order[rank], order[rank + 1 :]
        if len(below) == 0:
            break
        for sign in (1.0, -1.0):
            error = (signed[:, own, None] - sign * signed[:, below]).square().sum(0).sqrt()
            if not bool((sizes[own] - sign * sizes[below] > limit * error).all()):
                return False
    return True


def plan_looks(first: int, last: int) -> list[int]:
    """Sizes at which to look, doubling from the first to the last, both included.

    >>> plan_looks(2, 11)
    [2, 4, 8, 11]
    """
    looks = [first]
    while looks[-1] < last:
        looks.append(min(2 * looks[-1], last))
    return looks


def describe_stop(until: Until | None, settled: bool, looks: int, confidence: float) -> str:
    """Why sampling ended, in words; empty without a stopping rule."""
    if until is None:
        return ""
    goal = f"the order of the top {until.count}" if until.kind == "top" else f"half widths of at most {until.width:g}"
    if settled:
        return f"{goal} settled at {100 * confidence:g}% after {looks} look{'s' * (looks > 1)}"
    return f"the budget was spent before {goal} could be settled at {100 * confidence:g}%"
