"""Which weights a model has, as a hash that is computed again only when they may have changed."""

import hashlib
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

#: What was last seen of a module's weights, and their hash: a large model takes seconds to hash, a song on a GPU no more.
_KNOWN: WeakKeyDictionary[nn.Module, tuple[Any, str]] = WeakKeyDictionary()


def hash_weights(module: nn.Module | None) -> str:
    """SHA-256 over names and bytes of all parameters and buffers; empty for a bare callable."""
    if module is None:
        return ""
    tensors = sorted((name, found) for name, found in module.state_dict().items() if isinstance(found, Tensor))
    seen = _glance(tensors)
    if module in _KNOWN and seen is not None and _KNOWN[module][0] == seen:
        return _KNOWN[module][1]
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(name.encode())
        digest.update(_read_bits(tensor).cpu().numpy().tobytes())
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
    return places, [int(_read_bits(tensor).sum(dtype=torch.int32)) for _, tensor in tensors]


def _read_bits(tensor: Tensor) -> Tensor:
    flat = tensor.detach().contiguous().flatten()
    return flat.view(torch.int32 if flat.element_size() == 4 else torch.uint8)
