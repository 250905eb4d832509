"""Which precision sums run in, and products that keep it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


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
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)
