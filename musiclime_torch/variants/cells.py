"""What a student hears: every combination of stems in every segment of a song, as numbers."""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.variants.probe import Sources
from musiclime_torch.variants.sound import Window, mix

#: More stems have too many combinations to hear each.
MOST_STEMS = 6

#: Seconds of a frame of the spectrum, and of the step to the next one.
FRAME, STEP = 0.064, 0.032

#: Stretches of a segment whose means are taken: what moves within a segment shows in them.
STRETCHES = 8

#: Power below which a band counts as silent: fainter sounds would differ from silence more than from loud ones.
FLOOR = 1e-3


def measure_cells(sources: Sources, rate: int, mels: int) -> Float[Tensor, "segment combination feature"]:
    """Means of eight stretches, and the maximum, of every band's level, on the CPU.

    A combination is heard throughout the song at once, so that this takes 2^stems spectra. What stands in for removed stems
    is heard too.

    Raises:
        InputError: more stems than can be combined, or spectra in the place of sound.
    """
    if sources.n_stems > MOST_STEMS:
        raise InputError(f"a student hears {MOST_STEMS} stems at most, got {sources.n_stems}.", argument="proxy")
    if any(window.bins is not None for window in sources.windows):
        raise InputError("a student hears sound, and this baseline works on the model's own spectra.", argument="proxy")
    numbers = torch.arange(2**sources.n_stems)
    gates = ((numbers[:, None] >> torch.arange(sources.n_stems)) & 1).bool()
    return torch.stack([_describe(sources, gate, rate, mels) for gate in gates], 1)


def _describe(sources: Sources, gate: Tensor, rate: int, mels: int) -> Float[Tensor, "segment feature"]:
    """One combination in every segment."""
    heard: list[list[Tensor]] = [[] for _ in range(sources.n_segments)]
    for window in sources.windows:
        levels = _measure(window, gate.expand(sources.n_segments, -1).T[None], rate, mels)
        for zone in window.zones:
            if zone.ramp is None:
                share = levels.shape[1] / window.frames
                first, last = round(zone.start * share), round(zone.end * share)
                heard[zone.segment].append(levels[:, min(first, levels.shape[1] - 1) : max(last, first + 1)])
    return torch.stack([_summarise(torch.cat(parts, 1)) for parts in heard])


def _measure(window: Window, gates: Tensor, rate: int, mels: int) -> Float[Tensor, "mel frame"]:
    wave = mix(window, gates.to(window.zones[0].stems.device))[0].mean(0).float().cpu()
    return (_make_mel(rate, mels)(wave) + FLOOR).log10()


@cache
def _make_mel(rate: int, mels: int) -> Any:
    # Only where a student hears: whoever has none can do with a torchaudio that doesn't fit torch.
    import torchaudio

    size = 2 ** round(torch.tensor(FRAME * rate).log2().item())
    return torchaudio.transforms.MelSpectrogram(rate, size, hop_length=max(round(STEP * rate), 1), n_mels=mels)


def _summarise(levels: Float[Tensor, "mel frame"]) -> Float[Tensor, " feature"]:
    # Short segments repeat their frames: every stretch has one.
    if (frames := levels.shape[1]) < STRETCHES:
        levels = levels[:, torch.arange(STRETCHES) * frames // STRETCHES]
    means = [part.mean(1) for part in levels.tensor_split(STRETCHES, 1)]
    return torch.cat([*means, levels.amax(1)])
