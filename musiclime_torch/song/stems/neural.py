"""Separation by a demucs model: to its rate and channels, through it, and back.

``shifts=0``: demucs' default draws a random shift from Python's global state, so that results differ from run to run.
What resampling, mono and the model lose is the residual's.
"""

import random
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.recording import resample

#: As `demucs.api.Separator`: overlap of the windows of a long song.
_OVERLAP = 0.25


def split_neural(
    samples: Float[Tensor, "channel frame"], sample_rate: int, model: Any, device: torch.device | str
) -> tuple[Float[Tensor, "stem channel frame"], tuple[str, ...]]:
    """Stems on the CPU at the song's own rate, and the model's names for them. The model stays on the CPU."""
    from demucs.apply import apply_model

    channels, frames = samples.shape
    mixture = resample(samples, sample_rate, model.samplerate)
    if channels < model.audio_channels:
        mixture = mixture.expand(model.audio_channels, -1)
    elif channels > model.audio_channels:
        mixture = mixture.mean(0, keepdim=True)
    # The model was trained on songs scaled so; the constant it takes away is left to the residual.
    reference = mixture.mean(0)
    mean, scale = reference.mean(), reference.std(correction=0) + 1e-8
    with torch.no_grad():
        # Some models shift their position embedding by Python's global state, which the caller keeps: the same for each run.
        random.seed(0)
        separated = apply_model(
            model, ((mixture - mean) / scale)[None], shifts=0, split=True, overlap=_OVERLAP, device=torch.device(device)
        )[0]
    model.to("cpu")
    separated = (separated * scale).cpu()
    if not separated.isfinite().all():
        raise InputError("the weights of demucs turn this song into NaN: they are damaged, or use hpss.")
    if channels != model.audio_channels:
        separated = separated.mean(1, keepdim=True).expand(-1, channels, -1)
    stems = separated.new_zeros(len(separated), channels, frames)
    for stem, target in zip(separated, stems, strict=True):
        back = resample(stem.contiguous(), model.samplerate, sample_rate)[..., :frames]
        target[:, : back.shape[-1]] = back
    return stems, tuple(model.sources)
