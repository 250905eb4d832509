"""Which weights a model has, as a hash; and the same model with its weights shuffled, which has learned nothing.

The hash is computed again only when the weights may have changed. Shuffling lasts as long as its context.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor, nn

#: What was last seen of a module's weights, and their hash: a large model takes seconds to hash, a song on a GPU no more.
_KNOWN: WeakKeyDictionary[nn.Module, tuple[Any, str]] = WeakKeyDictionary()

#: Entries of a tensor that are summed at a time on the CPU.
PIECE = 2**16


def hash_weights(module: nn.Module | None) -> str:
    """SHA-256 over names and bytes of all parameters and buffers; empty for a bare callable.

    A module whose weights torch doesn't hold says theirs itself, as its `weights_hash`.
    """
    if module is None:
        return ""
    if (declared := getattr(module, "weights_hash", None)) is not None:
        return str(declared)
    tensors = sorted((name, value) for name, value in module.state_dict().items() if isinstance(value, Tensor))
    seen = _glance(tensors)
    if module in _KNOWN and seen is not None and _KNOWN[module][0] == seen:
        return _KNOWN[module][1]
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(name.encode())
        digest.update(_read_bits(tensor).cpu().numpy().data)
    _KNOWN[module] = seen, digest.hexdigest()
    return digest.hexdigest()


def _glance(tensors: Iterable[tuple[str, Tensor]]) -> Any:
    """Where the weights are in memory, how often torch saw them change, and sums of their bits, for changes it doesn't see.
    None if torch doesn't count changes.
    """
    tensors = list(tensors)
    if any(tensor.is_inference() for _, tensor in tensors):
        return None
    # The address and torch's version counter catch optimizer steps and loaded checkpoints. Writes through `.data` or from
    # numpy don't move the counter: the sums of the bits catch these, at a fraction of the cost of hashing.
    places = [
        (name, tensor.data_ptr(), tensor._version, tensor.shape, tensor.dtype, tensor.device) for name, tensor in tensors
    ]
    sums = [_sum_bits(tensor) for _, tensor in tensors]
    # One wait for the device, not one a tensor.
    return places, torch.stack([some.to(sums[0].device) for some in sums]).tolist() if sums else []


def _sum_bits(tensor: Tensor) -> Int[Tensor, ""]:
    """A sum, modulo 2³², that other bits and another order change; a plain one knows neither order nor pairs of signs."""
    bits = _read_bits(tensor)
    # On the CPU in pieces that stay in its cache: a tenth of the time of whole tensors, and of what hashing takes.
    step = PIECE if bits.device.type == "cpu" else max(bits.numel(), 1)
    odd = 2 * torch.arange(min(step, bits.numel()), dtype=torch.int32, device=bits.device) + 1
    total = torch.zeros((), dtype=torch.int32, device=bits.device)
    for number, piece in enumerate(bits.split(step)):
        some = piece.to(torch.int32)
        # The sign is spread over lower bits, or two flipped signs would add 2³¹ twice, whatever their weights. The weight of
        # entry i is 2 i + 1: in a piece that begins at b, 2 b more than in the first.
        mixed = (some >> 15).bitwise_xor_(some)
        before = 2 * number * step % 2**32
        total += mixed.sum(dtype=torch.int32) * (before - 2**32 if before >= 2**31 else before)
        total += mixed.mul_(odd[: len(mixed)]).sum(dtype=torch.int32)
    return total


def _read_bits(tensor: Tensor) -> Tensor:
    flat = tensor.detach().contiguous().flatten()
    return flat.view(torch.int32 if flat.element_size() == 4 else torch.uint8)


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
