"""Precision in one place: encoders may run in bfloat16; front ends, heads, outputs, losses and solves don't.

Encodings are widened to float32 before anything is made of them. A model without separate encoders runs in float32
throughout; the towers of an ensemble count as encoders.
"""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from musiclime_torch.basics.choices import Precision


def encoding(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context that an encoder runs in."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """The context for spectra, heads and losses, whatever context surrounds them."""
    return torch.autocast(device.type, enabled=False)


def widen(encoded: Tensor) -> Tensor:
    """An encoding as heads take it: at least float32."""
    # Heads sum over hundreds of features: in bfloat16's eight bits the sums would lose what a component changes.
    return encoded.float() if encoded.dtype in (torch.bfloat16, torch.float16) else encoded
