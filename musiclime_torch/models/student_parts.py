"""The two parts of a student, and what they share: a song made ready once, masks of it in, outputs out.

One hears: every combination of stems in every segment of a song, of which a mask picks some. The other reads: the
embeddings of a song's tokens, some of their words removed, to outputs. It sees what the model sees first: the model's own
embeddings of the words, or of what stands in for them. What the model makes of these is the student's to learn.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

#: Rows that are answered at a time: what they are answered from stays small.
ROWS = 1024

#: Ways in which a part weighs what it is given, cells or tokens, by their own importance.
HEADS = 8


@runtime_checkable
class Part(Protocol):
    """A part of a student: it hears cells, or reads words. Inputs and outputs are in units of their own spread."""

    mean: Tensor
    spread: Tensor
    output_spread: Tensor

    def embed(self, source: Any) -> Any:
        """A song, made ready once."""
        ...

    def __call__(self, embedded: Any, masks: Bool[Tensor, "n column"]) -> Float[Tensor, "n class"]:
        """What the part makes of masks of it."""
        ...


def add_scales(module: nn.Module, features: int, outputs: int) -> None:
    """Mean and spreads, which training sets."""
    module.register_buffer("mean", torch.zeros(features))
    for name, count in (("spread", features), ("output_spread", outputs)):
        module.register_buffer(name, torch.ones(count))


def make_judge(width: int, outputs: int) -> nn.Sequential:
    """From what `pool` returns to outputs."""
    return nn.Sequential(
        nn.Linear((2 + HEADS) * width, 2 * width),
        nn.GELU(),
        nn.Linear(2 * width, width),
        nn.GELU(),
        nn.Linear(width, outputs),
    )


def pool(weigh: nn.Linear, given: Float[Tensor, "n place width"]) -> Float[Tensor, "n pooled"]:
    """Mean, maximum and softly chosen means over places."""
    # The mean and the softly chosen means say how much of something is left, the maximum whether any of it is.
    chosen = torch.einsum("nph,npw->nhw", weigh(given).softmax(1), given).flatten(1)
    return torch.cat([given.mean(1), given.amax(1), chosen], 1)


@torch.no_grad()
def answer(part: Part, source: Any, masks: Bool[Tensor, "n column"]) -> Float[Tensor, "n class"]:
    """A part's outputs under masks of a song, but for a constant of the song's own; on the CPU, where masks are."""
    embedded = part.embed(source)
    rows = [part(embedded, some) for some in masks.split(ROWS)]
    return torch.cat(rows) * part.output_spread


class Listener(nn.Module):
    """Cells to outputs. Weights are plain tensors."""

    mean: Float[Tensor, " feature"]
    spread: Float[Tensor, " feature"]
    output_spread: Float[Tensor, " class"]

    def __init__(self, features: int, width: int, n_outputs: int) -> None:
        super().__init__()
        add_scales(self, features, n_outputs)
        self.hear = nn.Sequential(nn.Linear(features, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        #: Where a segment lies in the song, as a share of it.
        self.place = nn.Linear(2, width)
        self.near = nn.Conv1d(width, width, 3, padding=1)
        self.nearer = nn.Conv1d(width, width, 3, padding=1)
        self.weigh = nn.Linear(width, HEADS)
        self.judge = make_judge(width, n_outputs)

    def embed(self, source: Float[Tensor, "segment combination feature"]) -> Float[Tensor, "segment combination width"]:
        """Every combination of stems in every segment, once a song."""
        heard: Tensor = self.hear((source - self.mean) / self.spread)
        place = torch.linspace(0, 1, len(source), device=source.device)
        return heard + self.place(torch.stack([place, 1 - place], 1))[:, None]

    def forward(
        self, embedded: Float[Tensor, "segment combination width"], masks: Bool[Tensor, "n column"]
    ) -> Float[Tensor, "n class"]:
        """Outputs under masks of stems × segments, stem-major, in units of their own spread."""
        chosen = choose(masks, len(embedded))
        picked = embedded[torch.arange(len(embedded), device=chosen.device), chosen].transpose(1, 2)
        picked = picked + self.nearer(nn.functional.gelu(self.near(picked)))
        outputs: Tensor = self.judge(pool(self.weigh, picked.mT))
        return outputs


def choose(masks: Bool[Tensor, "n column"], segments: int) -> Int[Tensor, "n segment"]:
    """The combination of stems in each segment, as a number: bit s is stem s.

    >>> choose(torch.tensor([[True, False, True, True]]), 2).tolist()
    [[3, 2]]
    """
    stems = masks.unflatten(1, (-1, segments)).long()
    return (stems << torch.arange(stems.shape[1], device=masks.device)[:, None]).sum(1)


#: Tokens that have a place of their own; later ones share the last.
PLACES = 512


@dataclass(frozen=True)
class Words:
    """What a student reads of a song: each token's embedding as sung and as removed, and the column that owns it.

    Tokens that no column owns have the number of columns for one.
    """

    sung: Float[Tensor, "token dim"]
    removed: Float[Tensor, "token dim"]
    owner: Int[Tensor, " token"]


#: Tokens as removed and as sung, and who owns them.
Read = tuple[Float[Tensor, "2 token width"], Int[Tensor, " token"]]


class Reader(nn.Module):
    """Tokens to outputs. Weights are plain tensors."""

    mean: Float[Tensor, " dim"]
    spread: Float[Tensor, " dim"]
    output_spread: Float[Tensor, " class"]

    def __init__(self, dim: int, width: int, n_outputs: int) -> None:
        super().__init__()
        add_scales(self, dim, n_outputs)
        self.look = nn.Sequential(nn.Linear(dim, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.place = nn.Embedding(PLACES, width)
        nn.init.normal_(self.place.weight, std=0.3)
        self.weigh = nn.Linear(width, HEADS)
        self.judge = make_judge(width, n_outputs)

    def embed(self, source: Words) -> Read:
        """Every token, once a song."""
        seen: Tensor = self.look((torch.stack([source.removed, source.sung]) - self.mean) / self.spread)
        place = torch.arange(len(source.owner), device=seen.device).clamp(max=PLACES - 1)
        return seen + self.place(place), source.owner

    def forward(self, embedded: Read, masks: Bool[Tensor, "n column"]) -> Float[Tensor, "n class"]:
        """Outputs in units of their own spread."""
        (removed, sung), owner = embedded
        kept = torch.cat([masks, torch.ones_like(masks[:, :1])], 1)[:, owner]
        tokens = torch.where(kept[:, :, None], sung, removed)
        outputs: Tensor = self.judge(pool(self.weigh, tokens))
        return outputs
