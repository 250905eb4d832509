"""Precision, stated once: encoders may run in bfloat16; front ends, heads, outputs, losses and solves don't.

Encodings are widened to float32 before anything is made of them. A model whose head can't be told from its encoder runs
in float32 as a whole; the towers of an ensemble are encoders as a whole.
"""

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]


def encoding(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Where an encoder runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Where spectra are taken, heads decide and losses are measured, whatever is around them."""
    return torch.autocast(device.type, enabled=False)


def widen(encoded: Tensor) -> Tensor:
    """An encoding as heads take it: at least float32."""
    return encoded.float() if encoded.dtype in (torch.bfloat16, torch.float16) else encoded
