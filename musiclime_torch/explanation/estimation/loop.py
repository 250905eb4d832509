"""The sampling loop that all designs share: draw, look, stop or draw more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.known import Known
from musiclime_torch.surrogate.stopping import Until, describe_stop, is_settled

S = TypeVar("S")


@dataclass(frozen=True)
class Sampled(Generic[S]):
    """The sample at which the loop ended; `looks` is how often it might have stopped, `stopped` why it did, in words."""

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
    """Grow a sample through the planned sizes until what is waited for has come, or the budget is spent.

    `sample` has the first size already. `grow` enlarges a sample to a size, `fit` solves it for the explained class. Where
    nothing is waited for, nobody looks and the last size is drawn at once.
    """
    if until is None:
        return Sampled(sample if len(sizes) == 1 else grow(sample, sizes[-1]))
    # Bonferroni: each of the looks gets an equal share of what may go wrong.
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
