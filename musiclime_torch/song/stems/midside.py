"""Mid and side: what the two channels of a stereo song have in common, and where they differ."""

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError


def split_midside(
    samples: Float[Tensor, "channel frame"],
) -> tuple[Float[Tensor, "2 channel frame"], tuple[str, str]]:
    """Mid, (L + R) / 2 in both channels, and side, (L - R) / 2 left and its negative right. InputError unless stereo."""
    if len(samples) != 2:
        raise InputError(
            "separator 'midside' takes a stereo song and this one is mono: use hpss, demucs or none.", argument="separator"
        )
    mid = samples.mean(0, keepdim=True).expand(2, -1)
    return torch.stack([mid, samples - mid]), ("mid", "side")
