"""A grid cut into sectors: halves of pairs of its rows, by halves of pairs of its columns.

A fold-over side's rows are even halves, (first + second) / 2 of a pair, which hold the constant, and odd halves, (first −
second) / 2, which hold the slopes; a side without complements holds both in every row. Sectors are kept as sums and
differences: `Part.shrink` makes them halves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.sides import split_classes
from musiclime_torch.surrogate.signed import pick_precision

#: Numbers of a grid whose pairs are added at a time, at least so many pairs of rows: they stay in the cache of a CPU.
STRIP, FEWEST = 2**18, 16


@dataclass(frozen=True)
class Part:
    """Rows of a side that hold the same terms: the constant, slopes, or both.

    `signs` are ±1, in the precision of the grid and, as `wide`, in that of what is left of it; None without slopes. `pairs`
    says that rows are halves of pairs.
    """

    rows: int
    constant: bool
    signs: Float[Tensor, "row d"] | None
    wide: Float[Tensor, "row d"] | None
    pairs: bool

    @property
    def kinds(self) -> slice:
        """Places in `Sums`: the constant is kind 0, slopes are kind 1."""
        return slice(0 if self.constant else 1, 1 if self.signs is None else 2)

    @property
    def shrink(self) -> float:
        """What turns a sum over a pair into a half."""
        return 0.5 if self.pairs else 1.0


@dataclass(frozen=True)
class Strip:
    """Places for so many rows of a part of the audio as stay in the cache: half of the grid's rows, and all its sectors."""

    start: int
    half: Float[Tensor, "most strip nt"]
    places: tuple[tuple[Float[Tensor, "most strip _t"], ...], ...]

    def take(self, classes: int) -> "Strip":
        """The places of fewer classes."""
        return Strip(self.start, self.half[:classes], tuple(tuple(one[:classes] for one in row) for row in self.places))


@dataclass(frozen=True)
class Room:
    """Memory for a few classes that is used again and again: what is fresh costs more to touch than to work on.

    `sectors` has a place for every two parts of the sides, and none for a grid without pairs, which isn't cut.
    """

    sectors: tuple[tuple[Float[Tensor, "most _a _t"], ...], ...]
    strips: tuple[Strip, ...]


def pick_kind(values: Tensor) -> torch.dtype:
    """The precision of a grid's products: its own on a CPU, float32 elsewhere."""
    return torch.promote_types(values.dtype, torch.float32) if values.device.type == "cpu" else torch.float32


def list_parts(side: Design, values: Tensor, kind: torch.dtype) -> tuple[Part, ...]:
    """Even and odd halves of pairs, and rows that stand alone."""
    parts = []
    for masks, pairs in ((side.masks[0 : side.folded : 2], True), (side.masks[side.folded :], False)):
        if len(masks):
            signs = 2 * masks.contiguous().view(torch.int8) - 1
            both = (signs.to(kind), signs.to(pick_precision(values)))
            parts += [Part(len(masks), True, None, None, pairs=True)] if pairs else []
            parts.append(Part(len(masks), not pairs, *both, pairs=pairs))
    return tuple(parts)


def make_room(values: Float[Tensor, "class na nt"], audio: Sequence[Part], lyrics: Sequence[Part]) -> Room:
    """Room for as many classes as are worked on together."""
    step = min(next(split_classes(values), slice(0, 0)).stop, len(values))
    # On a GPU a strip would be one more kernel; there all rows are cut at once.
    strip = audio[0].rows
    if values.device.type == "cpu":
        strip = min(strip, max(STRIP // (2 * max(step, 1) * values.shape[2]), FEWEST))
    pairs = audio[0].pairs or lyrics[0].pairs
    sectors = tuple(tuple(values.new_empty(step, half.rows, other.rows) for other in lyrics if pairs) for half in audio)
    half = values.new_empty(step, strip, values.shape[2])
    strips = []
    for start in range(0, audio[0].rows, strip):
        places = tuple(tuple(sector[:, start : start + strip] for sector in row) for row in sectors)
        strips.append(Strip(start, half[:, : min(strip, audio[0].rows - start)], places))
    return Room(sectors, tuple(strips))


def cut_grid(
    values: Float[Tensor, "class na nt"], audio: Sequence[Part], lyrics: Sequence[Part], room: Room
) -> list[tuple[int, int, Float[Tensor, "class _a _t"]]]:
    """The sectors of a few classes by numbers of their parts, as sums where rows or columns are halves of pairs; the grid
    itself without any pairs.
    """
    if not room.sectors[0]:
        return [(0, 0, values)]
    for strip in room.strips:
        _cut_strip(values, audio, lyrics, strip if len(values) == len(strip.half) else strip.take(len(values)))
    return [(i, j, place[: len(values)]) for i, places in enumerate(room.sectors) for j, place in enumerate(places)]


def _cut_strip(values: Float[Tensor, "class na nt"], audio: Sequence[Part], lyrics: Sequence[Part], strip: Strip) -> None:
    """Put sums and differences of pairs of rows, of columns or of both in their places."""
    wide = 2 if audio[0].pairs else 1
    rows = values.narrow(1, wide * strip.start, wide * strip.half.shape[1])
    for half, places in zip(audio, strip.places, strict=True):
        halved = rows
        if half.pairs:
            out = strip.half if lyrics[0].pairs else places[0]
            halved = torch.add(rows[:, 0::2], rows[:, 1::2], alpha=1 if half.constant else -1, out=out)
        if lyrics[0].pairs:
            first, second = halved[:, :, 0::2], halved[:, :, 1::2]
            for other, place in zip(lyrics, places, strict=True):
                torch.add(first, second, alpha=1 if other.constant else -1, out=place)
