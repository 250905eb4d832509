"""What of a mask a window contains: the distinct renderings of its masks, and the answers to those that were run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from musiclime_torch.basics.arguments import T
from musiclime_torch.surrogate.design import send

#: In place of a window's number: the lyrics, which are read once for the whole song.
LYRICS = -1


@dataclass(frozen=True)
class Renderings:
    """The distinct renderings of one window under some masks.

    `keys` are the bits of the columns in the window, `masks` a mask with these bits for each, and `places` says for every
    mask which of the renderings is its own.
    """

    window: int
    keys: list[bytes]
    masks: Int[np.ndarray, " rendering"]
    places: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Encoded:
    """Encodings of masks in one window: a table of distinct ones, and which row of it is each mask's.

    `places` are on the host, where masks are drawn, so that they are made unique without waiting for the device. They are
    None where every mask has a row of its own.
    """

    table: Tensor
    places: Int[Tensor, " n"] | None = None

    def __len__(self) -> int:
        return len(self.table if self.places is None else self.places)

    def take(self, rows: slice | Int[Tensor, " some"]) -> "Encoded":
        """Those of some masks."""
        if self.places is None:
            return Encoded(self.table[rows if isinstance(rows, slice) else send(rows, self.table.device)])
        return replace(self, places=self.places[rows])

    def followed_by(self, more: "Encoded") -> "Encoded":
        """These and later ones of the same window, whose table begins with this one's."""
        if self.places is None or more.places is None:
            return Encoded(torch.cat([self.table, more.table]))
        return Encoded(more.table, torch.cat([self.places, more.places]))

    def reduce(self) -> tuple[Tensor, Tensor | None]:
        """Distinct encodings, and which of them is each mask's; None for a row each."""
        if self.places is None:
            return self.table, None
        used, places = self.places.unique(return_inverse=True)
        device = self.table.device
        return self.table.index_select(0, send(used, device)), send(places, device)

    def spread(self) -> Tensor:
        """A row for every mask."""
        return self.table if self.places is None else self.table.index_select(0, send(self.places, self.table.device))


# A model in eval mode gives a rendering the same answer whenever it is asked, so that one answer serves all questions of a
# call: the first block and the later ones, the search for evidence, checks. Only encodings or outputs are kept, a row for
# each rendering; audio lives as long as its batch.
@dataclass(eq=False)
class Kept:
    """Answers to renderings that were run, by part of the model and window; it grows while questions are asked.

    With `everything`, songs of a single window and lyrics are kept too, for questions that are yet to come, and so are the
    `choices` that depend on what was asked first: a second question about the same song then takes the same masks.
    """

    everything: bool = False
    choices: dict[str, Any] = field(default_factory=dict)
    places: dict[tuple[str, int], dict[bytes, int]] = field(default_factory=dict)
    tables: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def find_missing(self, part: str, renderings: Renderings) -> list[int]:
        """Numbers of the renderings that have no answer yet."""
        known = self.places.get((part, renderings.window), {})
        return [number for number, key in enumerate(renderings.keys) if key not in known]

    def add(self, part: str, renderings: Renderings, missing: Sequence[int], values: Tensor) -> None:
        """Answers to the renderings that were missing."""
        name = (part, renderings.window)
        known = self.places.setdefault(name, {})
        # Rows are appended in the order of `missing`, so that the next free number is the next row.
        for number in missing:
            known[renderings.keys[number]] = len(known)
        self.tables[name] = torch.cat([self.tables[name], values]) if name in self.tables else values

    def look_up(self, part: str, renderings: Renderings) -> Encoded:
        """The answer for every mask."""
        name = (part, renderings.window)
        known = self.places[name]
        rows = np.array([known[key] for key in renderings.keys])[renderings.places]
        return Encoded(self.tables[name], torch.from_numpy(rows))

    def forget(self, part: str, renderings: Renderings) -> None:
        """Let go of a window's answers."""
        del self.places[part, renderings.window], self.tables[part, renderings.window]

    def settle(self, name: str, choose: Callable[[], T]) -> T:
        """A choice, or what it was the first time; plain numbers, for files keep them too."""
        if not self.everything:
            return choose()
        if name not in self.choices:
            self.choices[name] = choose()
        chosen: T = self.choices[name]
        return chosen

    def count(self, part: str) -> int:
        """How many renderings a part of the model has answered, in any precision."""
        return sum(len(known) for (name, _), known in self.places.items() if name.startswith(part))


def find_renderings(window: int, columns: Sequence[int], masks: Bool[Tensor, "n column"], first: int = 0) -> Renderings:
    """Masks on the CPU reduced to the columns that a window contains, and made unique; they are numbered from `first` on.

    >>> masks = torch.tensor([[True, False], [True, True], [False, False]])
    >>> renderings = find_renderings(0, [1], masks)
    >>> renderings.masks.tolist(), renderings.places.tolist()
    ([0, 1], [0, 1, 0])
    """
    # One bit more than there are columns: a window of silence has no column, and one rendering.
    bits = np.zeros((len(masks), len(columns) + 1), dtype=bool)
    bits[:, :-1] = masks[:, list(columns)].numpy()
    packed = np.packbits(bits, axis=1)
    # A row as one value of so many bytes, so that rows are compared and sorted whole.
    rows = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    keys, chosen, places = np.unique(rows, return_index=True, return_inverse=True)
    return Renderings(window, [key.tobytes() for key in keys], first + chosen, places)


def sort_renderings(renderings: Renderings, lengths: Int[Tensor, " n"]) -> Renderings:
    """The same in the order of what their masks are given.

    >>> renderings = find_renderings(0, [0, 1], torch.tensor([[True, True], [False, False], [False, True]]))
    >>> sort_renderings(renderings, torch.tensor([2, 0, 1])).masks.tolist()
    [1, 2, 0]
    """
    order = np.argsort(lengths.numpy()[renderings.masks], kind="stable")
    keys = [renderings.keys[number] for number in order]
    return replace(renderings, keys=keys, masks=renderings.masks[order], places=np.argsort(order)[renderings.places])
