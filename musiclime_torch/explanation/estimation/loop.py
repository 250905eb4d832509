"""The sampling loop that all designs share: draw, look, stop or draw more.

Sizes are planned in advance, so that the number of looks is known before the first one and the risk can be divided among
them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import Until
from musiclime_torch.surrogate.known import Known
from musiclime_torch.surrogate.stopping import describe_stop, is_settled

S = TypeVar("S")


@dataclass(frozen=True)
class Sampled(Generic[S]):
    """The sample at which the loop ended; `looks` is how often it could have stopped, `stopped` says why it did."""

    sample: S
    looks: int = 1
    stopped: str = ""


@dataclass(frozen=True)
class Look:
    """The explained class at one look: its coefficients (1, d), and what every sampling unit contributes to their errors."""

    coefficients: Known
    contributions: Float[Tensor, "unit d"]


def sample_until(
    sample: S,
    sizes: Sequence[int],
    grow: Callable[[S, int], S],
    fit: Callable[[S], Look],
    until: Until | None,
    confidence: float,
) -> Sampled[S]:
    """Grow a sample through the planned sizes until the condition `until` holds, or the budget is spent.

    `sample` has the first size already. `grow` enlarges a sample to a size, `fit` solves it for the explained class. Without
    a condition the last size is drawn at once.
    """
    if until is None:
        return Sampled(sample if len(sizes) == 1 else grow(sample, sizes[-1]))
    # Stopping at the first look that seems settled is right at all looks only with 1 − (1 − confidence) / looks at each:
    # by Bonferroni's inequality the chance that any of them is wrong is then at most 1 − confidence. The looks count as
    # planned, not as made: which ones are made depends on the data.
    share = 1 - (1 - confidence) / len(sizes)
    settled, look = False, 0
    for look, size in enumerate(sizes, start=1):
        if look > 1:
            sample = grow(sample, size)
        latest = fit(sample)
        known = latest.coefficients
        settled = is_settled(until, known.values[0], latest.contributions, known.freedom[0], share)
        if settled:
            break
    return Sampled(sample, len(sizes), describe_stop(until, settled, look, confidence))
