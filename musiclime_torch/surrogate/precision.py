"""Which precision sums run in, and products that keep it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

#: Whose products of float32 torch lets a caller round: a GPU's and a CPU's.
_BACKENDS: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]


def pick_precision(values: Tensor) -> torch.dtype:
    """float64 on a CPU. Elsewhere float32: consumer GPUs run float64 at a thirty-second of its speed or less.

    >>> pick_precision(torch.zeros(2))
    torch.float64
    """
    return torch.float64 if values.device.type == "cpu" else torch.float32


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Keep products of float32 in float32, also where the caller allows TensorFloat-32 or bfloat16.

    Products of float64 were never rounded; those of ±1 with float32 must not be either.
    """
    # By backend: torch's older setting for all of them can't even be read where a caller has set one of these.
    before = [backend.fp32_precision for backend in _BACKENDS]
    try:
        for backend in _BACKENDS:
            backend.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(_BACKENDS, before, strict=True):
            backend.fp32_precision = precision


def rounds_products() -> bool:
    """Whether the caller allows products of float32 to be rounded, as TensorFloat-32 does to ten bits.

    >>> rounds_products()
    False
    """
    return any(backend.fp32_precision not in ("none", "ieee") for backend in _BACKENDS)
