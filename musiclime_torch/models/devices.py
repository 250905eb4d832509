"""Devices by name, refused in a sentence where they aren't there."""

import torch

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
