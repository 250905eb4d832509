"""What a model learns from at one step: songs, or altered versions of songs, padded to one length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Batch:
    """Rows of sound and lyrics with their labels. `attended` is False for dropped words and padding; `known` says which
    labels there are. A model of one modality gets no frames, or no tokens, of the other.
    """

    audio: Float[Tensor, "row channel frame"]
    ids: Int[Tensor, "row token"]
    attended: Bool[Tensor, "row token"]
    labels: Float[Tensor, "row class"]
    known: Bool[Tensor, "row class"]


@runtime_checkable
class Songs(Protocol):
    """Songs to learn from: item `epoch * len(songs) + song` is the song as that epoch has it."""

    def __len__(self) -> int:
        """Number of songs."""
        ...

    def __getitem__(self, index: int) -> Batch:
        """One song, as one row or several."""
        ...


def join(batches: Sequence[Batch]) -> Batch:
    """All rows, padded with silence and with tokens nobody attends to."""
    frames = max(batch.audio.shape[2] for batch in batches)
    tokens = max(batch.ids.shape[1] for batch in batches)
    return Batch(
        torch.cat([pad(batch.audio, (0, frames - batch.audio.shape[2])) for batch in batches]),
        torch.cat([pad(batch.ids, (0, tokens - batch.ids.shape[1])) for batch in batches]),
        torch.cat([pad(batch.attended, (0, tokens - batch.attended.shape[1])) for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        torch.cat([batch.known for batch in batches]),
    )
