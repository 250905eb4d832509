"""What the two parts of a student have in common: a song made ready once, masks of it in, outputs out."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
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
