"""A model that has learned nothing: its weights in another order, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Int
from torch import Tensor, nn


@contextmanager
def shuffling(module: nn.Module, share: float, seed: int) -> Iterator[None]:
    """Inside, every weight tensor of the last `share` of all that has several has its entries in another order.

    The weights are as large as before, and what was learned is gone (the randomised weights of Adebayo et al. 2018; from the
    output down, as modules were registered, where `share` is below 1). Other storage stands in for the parameters', which
    get their own back: nothing is copied back, so that they are the same to the last bit. No random state is read or moved.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.numel() > 1]
    chosen = parameters[len(parameters) - round(share * len(parameters)) :]
    kept = [parameter.data for parameter in chosen]
    generator = torch.Generator().manual_seed(seed)
    try:
        for parameter in chosen:
            order = _draw_cycle(parameter.numel(), generator).to(parameter.device)
            parameter.data = parameter.data.flatten()[order].reshape(parameter.shape)
        yield
    finally:
        for parameter, own in zip(chosen, kept, strict=True):
            parameter.data = own


def _draw_cycle(count: int, generator: torch.Generator) -> Int[Tensor, " entry"]:
    """A random order in which nothing keeps its place: the bias of a few classes would often stay as it is in any order."""
    # Each entry moves to the place of the next one on a random ring: one cycle through all places (Sattolo's permutations),
    # so that none keeps its own.
    ring = torch.randperm(count, generator=generator)
    return torch.empty_like(ring).scatter_(0, ring, ring.roll(1))
