"""The sampling loop that all designs share, and the estimate that comes out of it.

Draw, look, stop or draw more. Sizes are planned in advance, so that the number of looks is known before the first one and
the risk can be divided among them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.arguments import Until
from musiclime_torch.basics.choices import Space
from musiclime_torch.surrogate.fit import Known
from musiclime_torch.surrogate.intervals import describe_stop, is_settled
from musiclime_torch.surrogate.pairs import PairFit
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, to_values

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


@dataclass(frozen=True)
class Guidance:
    """What a proxy did for every class: the factor it was given, and how many times lower it made squared errors.

    Crossed masks have a factor on each side, zero on one that the proxy knows nothing of, and `sides` are the gains of the
    sound's components and of the lyrics'.
    """

    alpha: Float[Tensor, " class"]
    gain: Float[Tensor, " class"]
    lyrics_alpha: Float[Tensor, " class"] | None = None
    sides: tuple[Float[Tensor, " class"], Float[Tensor, " class"]] | None = None


@dataclass(frozen=True)
class Estimate:
    """Coefficients (class, d) of the columns that the model can notice, and what they were made from.

    `dependent` columns are combinations of others, and their coefficients mean nothing. `ends` are the model's values on the
    song and the empty song, `passes` those of its audio side and its lyrics side. `pairs` are interactions and `parts` the
    shares of the variance of audio, lyrics and both, by the name of the space they were solved in; empty where the masks
    can't give them. `design` describes how masks were drawn; `looks` is how often sampling could have stopped, which widens
    the intervals; `stopped` says why it did. `sample` is what was asked, as joint and crossed designs hold it (`lessons`).
    """

    coefficients: Known
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    dependent: Bool[Tensor, " d"]
    ends: Float[Tensor, "2 class"]
    design: str
    n_variants: int
    passes: tuple[int, int]
    pairs: dict[Space, PairFit] = field(default_factory=dict)
    parts: dict[Space, Known] = field(default_factory=dict)
    looks: int = 1
    stopped: str = ""
    notes: tuple[str, ...] = ()
    guidance: Guidance | None = None
    sample: Any = None


def count_passes(probe: Probe) -> tuple[int, int]:
    """Passes of the model's two sides so far; 0 for a side it lacks. A pass of the model as a whole is one of each side."""
    sources, tally = probe.sources, probe.tally
    audio, lyrics = tally["variants"] + tally["encode_audio"], tally["variants"] + tally["encode_text"]
    return (audio if sources.windows else 0, lyrics if sources.lyrics is not None else 0)


def count_effort(probe: Probe) -> int:
    """Passes that the questions so far would have taken without tables of local maps."""
    return sum(count_passes(probe)) + probe.tally["looked up"] - probe.tally["tables"]


def expect_passes(probe: Probe, audio: int, lyrics: int) -> int:
    """Forward passes that so many masks of either side will take at most, and those of the two ends, if none are known."""
    windows, sides = probe.sources.windows, probe.subject.late_fusion
    # A window has as many renderings as its columns have masks; a model of one piece reads the lyrics in each of them.
    alone = sides or probe.sources.lyrics is None
    sounds = sum(min(audio + 2, 2 ** len(window.columns)) if alone else audio + 2 for window in windows)
    return (sounds if len(windows) > 1 else audio + 2) + (count_texts(probe, lyrics + 2) if sides else 0)


def count_texts(probe: Probe, masks: int) -> int:
    """Passes of the lyrics' own encoder that so many masks take at most: in a longer song, one for each distinct text."""
    kept = len(probe.sources.windows) > 1 or probe.kept.everything
    return min(masks, 2 ** len(probe.seen_lyrics)) if kept else masks


def estimate_nothing(probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"]) -> Estimate:
    """The estimate where no component can be switched: only the song and the empty song are known."""
    values = to_values(scale, ends)
    none = values.new_zeros(values.shape[1], 0)
    return Estimate(
        coefficients=Known(none, none, none),
        intercept=values[1],
        fidelity=torch.ones_like(values[0]),
        dependent=torch.zeros(0, dtype=torch.bool),
        ends=values,
        design="nothing to switch",
        n_variants=2,
        passes=count_passes(probe),
    )
