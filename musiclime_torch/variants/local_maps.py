"""Tables of local maps: all that an encoder makes of a window, frame by frame, when each frame hears two segments at most.

A frame of a convolutional encoder depends on the samples in its receptive field. Where that is shorter than every segment,
a frame's values depend on the stems of one segment, or of two at a border. Four stems have 16 combinations in one segment
and 256 in two. The table's variants have one combination in all even segments and another one in all odd segments: these
256 hold every pair of combinations at every border. The maps of any mask are then put together from them, frame by frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.surrogate.design import send
from musiclime_torch.variants.sound import Window

#: Variants that are run besides, to see whether the table is right.
CHECKED = 8


@dataclass(frozen=True)
class Combinations:
    """The columns that are switched in each segment of a window, in the order of time."""

    columns: tuple[tuple[int, ...], ...]

    @property
    def bits(self) -> tuple[int, int]:
        """The most columns of an even segment, and of an odd one, counted from the window's first segment."""
        return max(map(len, self.columns[0::2]), default=0), max(map(len, self.columns[1::2]), default=0)

    @property
    def passes(self) -> int:
        """Variants in the table."""
        return int(2 ** sum(self.bits))

    def make_masks(self, width: int) -> Bool[Tensor, "row column"]:
        """The table's variants: row r has combination r mod 2^even in all even segments, and r div 2^even in all odd ones.

        >>> Combinations(((0,), (1,), (2,))).make_masks(3).long().tolist()
        [[0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1]]
        """
        rows, even = torch.arange(self.passes), self.bits[0]
        codes = (rows & (2**even - 1), rows >> even)
        masks = torch.ones(len(rows), width, dtype=torch.bool)
        for segment, columns in enumerate(self.columns):
            for bit, column in enumerate(columns):
                masks[:, column] = (codes[segment % 2] >> bit & 1).bool()
        return masks

    def find_rows(self, masks: Bool[Tensor, "n column"]) -> Int[Tensor, "n border"]:
        """The row that has each mask's combinations on both sides of each border.

        >>> Combinations(((0,), (1,), (2,))).find_rows(torch.tensor([[True, False, False]])).tolist()
        [[1, 0]]
        """
        codes = torch.zeros(len(masks), max(len(self.columns), 2), dtype=torch.long)
        for segment, columns in enumerate(self.columns):
            for bit, column in enumerate(columns):
                codes[:, segment] |= masks[:, column].long() << bit
        left, right = codes[:, :-1], codes[:, 1:]
        turned = torch.arange(left.shape[1]) % 2 == 1
        return torch.where(turned, right, left) + (torch.where(turned, left, right) << self.bits[0])


def combine(window: Window, seen: Sequence[int], n_segments: int) -> Combinations:
    """The seen columns of each segment that a window contains."""
    first, last = window.zones[0].segment, max(zone.segment + (zone.ramp is not None) for zone in window.zones)
    switched = sorted(set(window.columns) & set(seen))
    return Combinations(
        tuple(tuple(column for column in switched if column % n_segments == segment) for segment in range(first, last + 1))
    )


def place_frames(window: Window, receptive_field: tuple[int, int], count: int) -> list[int] | None:
    """For each of so many frames the border, counted from the window's first segment, on whose sides all lies that it hears.

    None where a frame hears more than two segments. A frame that hears one segment alone belongs to the border before or
    after it.
    """
    size, hop = receptive_field
    first = window.zones[0].segment
    borders = []
    for frame in range(count):
        start, end = frame * hop - math.ceil(size / 2), frame * hop + math.ceil(size / 2)
        heard = [zone for zone in window.zones if zone.start < end and zone.end > start]
        # Beyond the last sample only padding is heard.
        heard = heard or [window.zones[-1 if start >= window.frames else 0]]
        left, right = heard[0].segment, max(zone.segment + (zone.ramp is not None) for zone in heard)
        if right > left + 1:
            return None
        borders.append(left - first)
    last = max(zone.segment + (zone.ramp is not None) for zone in window.zones) - first
    # The last segment by itself has no border after it.
    return [min(border, max(last - 1, 0)) for border in borders]


@dataclass(frozen=True)
class Table:
    """Maps of all variants of a window's combinations, cut into stretches of frames that hear the same two segments."""

    combinations: Combinations
    borders: tuple[int, ...]
    stretches: tuple[Float[Tensor, "row map _time"], ...]

    def look_up(self, rows: Int[Tensor, "n border"]) -> Float[Tensor, "n map _time"]:
        """Maps of masks, by the rows that `Combinations.find_rows` gives, on the device of the table."""
        parts = [
            stretch.index_select(0, rows[:, border]) for border, stretch in zip(self.borders, self.stretches, strict=True)
        ]
        return torch.cat(parts, 2)

    def find_rows(self, masks: Bool[Tensor, "n column"]) -> Int[Tensor, "n border"]:
        """The rows of masks, on the device of the table."""
        return send(self.combinations.find_rows(masks), self.stretches[0].device)


def cut_table(combinations: Combinations, maps: Float[Tensor, "row map _time"], borders: Sequence[int]) -> Table:
    """A table from the maps of all its variants, and the border that each frame belongs to."""
    lengths = [(border, len(list(frames))) for border, frames in groupby(borders)]
    # Copies in one piece: rows are then gathered as blocks.
    stretches = [part.contiguous() for part in maps.split([length for _, length in lengths], 2)]
    return Table(combinations, tuple(border for border, _ in lengths), tuple(stretches))


@dataclass(eq=False)
class LocalMaps:
    """A song's tables by window, None where a window has none, and what is to be said of them; filled as masks are asked.

    `closed` says that no table is to be made any more, `foreseen` how many masks will be asked about in all, as far as that
    is known at the first of them. `difference` is the largest between a table's outputs or encodings and the model's own, as
    a share of the largest of these.
    """

    closed: bool = False
    foreseen: int = 0
    tables: dict[int, Table | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    difference: float = 0.0

    def give_up(self, note: str) -> None:
        """Run the model on every mask from now on, for this reason."""
        self.closed = True
        self.tables = dict.fromkeys(self.tables)
        self.notes.append(note)
