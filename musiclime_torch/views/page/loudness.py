"""Loudness by ITU-R BS.1770-4, and gains that make sounds equally loud without clipping any of them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

#: dBFS that no sample passes: lossy encoders overshoot the samples they are given.
CEILING = -1.5
#: Below this (LUFS) nothing is measured, by the standard: silence has no loudness.
ABSOLUTE_GATE = -70.0
_BLOCK, _STEP = 0.4, 0.1


def measure_loudness(sound: Float[Tensor, "channel frame"], sample_rate: int) -> float | None:
    """Integrated, gated loudness in LUFS: of what sounds, however much silence is around it. None for silence.

    Sounds shorter than a block of 0.4 s are one block. A 997 Hz sine at full scale in one channel has −3.01 LUFS:

    >>> time = torch.arange(96000) / 48000
    >>> round(measure_loudness((2 * math.pi * 997 * time).sin()[None], 48000), 2)
    -3.01
    """
    energy = _weigh(sound.double(), sample_rate).square().sum(0)
    length, step = round(_BLOCK * sample_rate), round(_STEP * sample_rate)
    blocks = energy.unfold(0, length, step).mean(1) if len(energy) >= length else energy.mean()[None]
    loud = blocks[_to_lufs(blocks) > ABSOLUTE_GATE]
    if not len(loud):
        return None
    relative = float(_to_lufs(loud.mean())) - 10
    return float(_to_lufs(loud[_to_lufs(loud) > relative].mean()))


def match_loudness(sounds: list[Float[Tensor, "channel frame"]], sample_rate: int) -> list[float]:
    """Gains in dB that bring all to the first one's loudness, or lower where one would pass `CEILING`.

    Peaks are kept by gain alone, never by a limiter: all are turned down together. What is silent gets 0.
    """
    levels = [measure_loudness(sound, sample_rate) for sound in sounds]
    known = [level for level in levels if level is not None]
    if not known:
        return [0.0] * len(sounds)
    rooms = [
        level + CEILING - 20 * math.log10(float(sound.abs().max()))
        for level, sound in zip(levels, sounds, strict=True)
        if level is not None
    ]
    common = min([levels[0] if levels[0] is not None else known[0], *rooms])
    return [0.0 if level is None else common - level for level in levels]


def _to_lufs(power: Tensor) -> Tensor:
    return -0.691 + 10 * power.clamp_min(1e-30).log10()


def _weigh(sound: Float[Tensor, "channel frame"], sample_rate: int) -> Float[Tensor, "channel frame"]:
    """K-weighting: a shelf for the head, then a high pass; its two filters are given at 48 kHz and warped to other rates."""
    from scipy.signal import sosfilt

    sections = [
        _shelve(sample_rate, 1681.974450955533, 3.999843853973347, 0.7071752369554196),
        _pass_high(sample_rate, 38.13547087602444, 0.5003270373238773),
    ]
    return torch.from_numpy(sosfilt(sections, sound.numpy(), axis=-1))


def _shelve(sample_rate: int, frequency: float, gain: float, quality: float) -> list[float]:
    k, high = math.tan(math.pi * frequency / sample_rate), 10 ** (gain / 20)
    middle = high**0.4996667741545416
    a0 = 1 + k / quality + k * k
    b = [high + middle * k / quality + k * k, 2 * (k * k - high), high - middle * k / quality + k * k]
    return [*(value / a0 for value in b), 1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]


def _pass_high(sample_rate: int, frequency: float, quality: float) -> list[float]:
    k = math.tan(math.pi * frequency / sample_rate)
    a0 = 1 + k / quality + k * k
    return [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]
