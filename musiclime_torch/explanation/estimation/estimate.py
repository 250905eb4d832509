"""What watching a model has given: coefficients of the columns it can notice, however the masks were drawn."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, to_values


@dataclass(frozen=True)
class PairTable:
    """Interactions of pairs of columns on one scale; `explained` is their share of the outputs' variance."""

    space: str
    columns: Int[Tensor, "pair 2"]
    coefficients: Float[Tensor, "class pair"]
    standard_errors: Float[Tensor, "class pair"]
    degrees_of_freedom: Float[Tensor, "class pair"]
    explained: Float[Tensor, " class"]


@dataclass(frozen=True)
class PartTable:
    """Shares of the outputs' variance by the sound alone, the words alone and both together, on one scale."""

    space: str
    values: Float[Tensor, "class 3"]
    standard_errors: Float[Tensor, "class 3"]
    degrees_of_freedom: float


@dataclass(frozen=True)
class Estimate:
    """Coefficients with their errors, and what they were made from.

    `dependent` columns are combinations of others, and their coefficients mean nothing. `design` says in words how masks
    were drawn; `looks` is how often sampling might have been stopped, which intervals pay for; `stopped` says why it was.
    """

    coefficients: Float[Tensor, "d class"]
    standard_errors: Float[Tensor, "d class"]
    degrees_of_freedom: Float[Tensor, "d class"]
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    dependent: Bool[Tensor, " d"]
    song: Float[Tensor, " class"]
    empty: Float[Tensor, " class"]
    pairs: tuple[PairTable, ...]
    parts: tuple[PartTable, ...]
    design: str
    n_variants: int
    audio_passes: int
    lyrics_passes: int
    looks: int
    stopped: str
    notes: tuple[str, ...]


def count_passes(probe: Probe, audio: int, lyrics: int) -> tuple[int, int]:
    """Passes of the model's two sides for so many masks and the two ends, song and empty song; none of a side it lacks."""
    sources = probe.sources
    return (audio + 2 if sources.windows else 0, lyrics + 2 if sources.lyrics is not None else 0)


def estimate_nothing(probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"]) -> Estimate:
    """With no component to switch there are the song and the empty song, and nothing between them."""
    values = to_values(scale, ends)
    none = values.new_zeros(0, values.shape[1])
    audio_passes, lyrics_passes = count_passes(probe, 0, 0)
    return Estimate(
        coefficients=none,
        standard_errors=none,
        degrees_of_freedom=none,
        intercept=values[1],
        fidelity=torch.ones_like(values[0]),
        dependent=torch.zeros(0, dtype=torch.bool),
        song=values[0],
        empty=values[1],
        pairs=(),
        parts=(),
        design="nothing to switch",
        n_variants=2,
        audio_passes=audio_passes,
        lyrics_passes=lyrics_passes,
        looks=1,
        stopped="",
        notes=(),
    )
