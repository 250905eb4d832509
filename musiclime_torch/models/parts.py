"""What the two parts of a student have in common: a song made ready once, masks of it in, outputs out."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

#: Rows that are answered at a time: what they are answered from stays small.
ROWS = 1024


@runtime_checkable
class Part(Protocol):
    """A part of a student: it hears cells, or reads words. Inputs and outputs are in units of their own spread."""

    mean: Tensor
    spread: Tensor
    output_mean: Tensor
    output_spread: Tensor

    def embed(self, source: Any) -> Any:
        """A song, made ready once."""
        ...

    def __call__(self, embedded: Any, masks: Bool[Tensor, "n column"]) -> Float[Tensor, "n class"]:
        """What the part makes of masks of it."""
        ...


def add_scales(module: nn.Module, features: int, outputs: int) -> None:
    """Means and spreads, which training sets."""
    for name, count in (("mean", features), ("output_mean", outputs)):
        module.register_buffer(name, torch.zeros(count))
    for name, count in (("spread", features), ("output_spread", outputs)):
        module.register_buffer(name, torch.ones(count))


@torch.no_grad()
def answer(part: Part, source: Any, masks: Bool[Tensor, "n column"]) -> Float[Tensor, "n class"]:
    """A part's outputs under masks of a song, on the CPU, where masks are."""
    embedded = part.embed(source)
    rows = [part(embedded, some) for some in masks.split(ROWS)]
    return torch.cat(rows) * part.output_spread + part.output_mean
