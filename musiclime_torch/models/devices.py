"""Where a model runs and in which precision.

Devices are given by name and refused where they aren't there. Encoders may run in bfloat16; front ends, heads, outputs,
losses and solves don't. Encodings are widened to float32 before anything is made of them. A model without separate
encoders runs in float32 throughout; the towers of an ensemble count as encoders.
"""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from musiclime_torch.basics.choices import Precision
from musiclime_torch.basics.errors import InputError


def find_device(name: torch.device | str) -> torch.device:
    """The device with its index; InputError for a name torch doesn't know or a device this machine lacks.

    >>> find_device("cpu")
    device(type='cpu')
    """
    try:
        # Only making a tensor shows whether the device is really there, and which one "cuda" means.
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {str(name)!r} can't be used here ({str(error).splitlines()[0].split('. ')[0]}): try cpu."
        ) from error


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
