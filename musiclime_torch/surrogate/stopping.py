"""When enough masks have been drawn: the order of the largest components is settled, or every interval is narrow enough.

Looking again and again finds something by chance: each of the planned looks gets an equal share of what may go wrong
(Bonferroni), and the intervals of a run that might have stopped early are wider by that.
"""

import re
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.intervals import quantile


@dataclass(frozen=True)
class Until:
    """What to wait for: the order of the `count` largest components, or half widths of at most `width`."""

    kind: Literal["top", "width"]
    count: int = 0
    width: float = 0.0


def read_until(text: str) -> Until:
    """What to wait for, from words; InputError for others.

    >>> read_until("top 5"), read_until("width 0.1")
    (Until(kind='top', count=5, width=0.0), Until(kind='width', count=0, width=0.1))
    """
    try:
        found = re.fullmatch(r"\s*(top|width)[\s:]*([0-9.eE+-]+)\s*", text)
        if found is None:
            raise ValueError
        kind, number = found.groups()
        wanted = Until("top", count=int(number)) if kind == "top" else Until("width", width=float(number))
        if not (wanted.count >= 1 or 0 < wanted.width < float("inf")):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(f"until {text!r} is not understood: give 'top 5' or 'width 0.1'.") from None
    return wanted


def is_settled(
    until: Until,
    values: Float[Tensor, " d"],
    scores: Float[Tensor, "unit d"],
    degrees_of_freedom: Float[Tensor, " d"],
    confidence: float,
) -> bool:
    """Whether what was asked for holds at this look. scoresᵀ scores is the covariance of the values."""
    if until.kind == "width":
        half = quantile(degrees_of_freedom, confidence).to(scores) * scores.square().sum(0).sqrt()
        return bool((half <= until.width).all())
    return is_ordered(until.count, values, scores, degrees_of_freedom, confidence)


def is_ordered(
    count: int,
    values: Float[Tensor, " d"],
    scores: Float[Tensor, "unit d"],
    degrees_of_freedom: Float[Tensor, " d"],
    confidence: float,
) -> bool:
    """Whether each of the `count` largest, whatever their signs, is surely larger than all that rank below it.

    Ranks are checked one after the other (Hung & Fithian 2019), each with an equal share of what may go wrong; a
    component may rank too low by its size with either sign, so both differences must leave zero out.
    """
    sizes = values.abs()
    order = sizes.argsort(descending=True, stable=True)
    count = min(count, len(order))
    signed = scores * torch.where(values < 0, -1.0, 1.0).to(scores)
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
    """Why sampling ended, in words; empty where nothing was waited for."""
    if until is None:
        return ""
    wish = f"the order of the top {until.count}" if until.kind == "top" else f"half widths of at most {until.width:g}"
    if settled:
        return f"{wish} settled at {100 * confidence:g}% after {looks} look{'s' * (looks > 1)}"
    return f"the budget was spent before {wish} could be settled at {100 * confidence:g}%"
