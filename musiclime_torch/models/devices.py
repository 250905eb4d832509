"""Where a model runs and in which precision.

Devices are given by name and refused where they aren't there. Encoders may run in bfloat16; front ends, heads, outputs,
losses and solves don't. Encodings are widened to float32 before anything is made of them. A model without separate
encoders runs in float32 throughout; the towers of an ensemble count as encoders.
"""

from contextlib import AbstractContextManager
from typing import Any

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


def is_compiled(function: Any) -> bool:
    """Whether torch.compile made a function, a module or a part of it; each shape it meets may then be compiled again.

    >>> layer = torch.nn.Sequential(torch.nn.Linear(2, 2))
    >>> is_compiled(layer), is_compiled(torch.compile(layer, backend="eager"))
    (False, True)
    """
    if isinstance(function, torch.nn.Module):
        # `compile` of a module leaves its class as it was; `torch.compile` wraps it, and keeps the original.
        return any(hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) for part in function.modules())
    return hasattr(function, "_torchdynamo_orig_callable")


def tries_out_kernels(device: torch.device) -> bool:
    """Whether cuDNN times its kernels at the first batch of each shape (`torch.backends.cudnn.benchmark`)."""
    return device.type == "cuda" and torch.backends.cudnn.benchmark


def widen(encoded: Tensor) -> Tensor:
    """An encoding as heads take it: at least float32."""
    # Heads sum over hundreds of features: in bfloat16's eight bits the sums would lose what a component changes.
    return encoded.float() if encoded.dtype in (torch.bfloat16, torch.float16) else encoded
