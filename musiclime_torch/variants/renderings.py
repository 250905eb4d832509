"""What of a mask a window contains: the distinct renderings of its masks, and the answers to those that were run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor


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


# A model in eval mode gives a rendering the same answer whenever it is asked, so that one answer serves all questions of a
# call: the first block and the later ones, the search for evidence, checks. Only encodings or outputs are kept, a row for
# each rendering; audio lives as long as its batch.
@dataclass(eq=False)
class Kept:
    """Answers to renderings that were run, by part of the model and window; it grows while questions are asked."""

    places: dict[tuple[str, int], dict[bytes, int]] = field(default_factory=dict)
    values: dict[tuple[str, int], Tensor] = field(default_factory=dict)

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
        self.values[name] = torch.cat([self.values[name], values]) if name in self.values else values

    def look_up(self, part: str, renderings: Renderings) -> Tensor:
        """The answer for every mask."""
        name = (part, renderings.window)
        known, values = self.places[name], self.values[name]
        rows = np.array([known[key] for key in renderings.keys])[renderings.places]
        return values.index_select(0, torch.from_numpy(rows).to(values.device))

    def forget(self, part: str, renderings: Renderings) -> None:
        """Let go of a window's answers."""
        del self.places[part, renderings.window], self.values[part, renderings.window]


def find_renderings(window: int, columns: Sequence[int], masks: Bool[Tensor, "n column"]) -> Renderings:
    """Masks on the CPU reduced to the columns that a window contains, and made unique.

    >>> masks = torch.tensor([[True, False], [True, True], [False, False]])
    >>> renderings = find_renderings(0, [1], masks)
    >>> renderings.masks.tolist(), renderings.places.tolist()
    ([0, 1], [0, 1, 0])
    """
    bits = np.zeros(
        (len(masks), len(columns) + 1), dtype=bool
    )  # one more: a window of silence has no column, and one rendering
    bits[:, :-1] = masks[:, list(columns)].numpy()
    packed = np.packbits(bits, axis=1)
    # A row as one value of so many bytes, so that rows are compared and sorted whole.
    rows = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    keys, first, places = np.unique(rows, return_index=True, return_inverse=True)
    return Renderings(window, [key.tobytes() for key in keys], first, places)
