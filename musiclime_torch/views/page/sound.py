"""The sound of a page: encoded for the browser, equally loud, and outlined.

Sound is an mp3 where libsndfile writes one, else ogg or wav, in the page itself or next to it. Loudness is that of
ITU-R BS.1770-4; gains match it without clipping. Outlines are SVG paths in a box of 1000 × 100 that the page stretches.
"""

import base64
import io
import math
from pathlib import Path

import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.files import write_atomically
from musiclime_torch.song.audio.recording import resample

#: Up to this length in seconds sound is embedded in the page: three longer mixes would make it many megabytes.
EMBED_SECONDS = 45.0

#: Sample rates of mp3; others are resampled to the last one.
_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

#: The highest sample in dBFS: lossy encoders overshoot their input.
CEILING = -1.5

#: Blocks below this loudness (LUFS) are ignored, by the standard: silence has no loudness.
ABSOLUTE_GATE = -70.0

#: Seconds of a block and between blocks, by the standard: they overlap by 75%.
_BLOCK, _STEP = 0.4, 0.1

#: Steps of an outline: about one per pixel on a wide screen for the song, fewer for its stems.
SONG_STEPS, STEM_STEPS = 900, 300


def encode_sound(sound: Float[Tensor, "channel frame"], sample_rate: int, gain: float) -> tuple[str, bytes]:
    """File ending and bytes of a sound with `gain` dB applied. Constant bit rate, so that seeking is exact."""
    rate = sample_rate if sample_rate in _RATES else _RATES[-1]
    samples = (resample(sound, sample_rate, rate) * 10 ** (gain / 20)).T.contiguous().numpy()
    for ending, form, more in (
        ("mp3", "MP3", {"bitrate_mode": "CONSTANT", "compression_level": 0.5}),
        ("ogg", "OGG", {}),
        ("wav", "WAV", {}),
    ):
        if form not in soundfile.available_formats():
            continue
        buffer = io.BytesIO()
        # In pieces of a second: libsndfile's Vorbis encoder takes a call's samples onto the stack, and minutes overflow it.
        with soundfile.SoundFile(buffer, "w", rate, samples.shape[1], format=form, **more) as file:
            for start in range(0, len(samples), rate):
                file.write(samples[start : start + rate])
        return ending, buffer.getvalue()
    raise AssertionError("libsndfile always writes wav")


def embed_sound(ending: str, data: bytes) -> str:
    """The sound as a data URI."""
    kinds = {"mp3": "audio/mpeg", "ogg": "audio/ogg", "wav": "audio/wav"}
    return f"data:{kinds[ending]};base64,{base64.b64encode(data).decode()}"


def lay_beside(name: str, ending: str, data: bytes, folder: Path) -> str:
    """Write the sound to `folder`/audio; returns its address relative to a page in `folder`."""
    path = folder / "audio" / f"{name}.{ending}"
    write_atomically(data, path, "out")
    return f"audio/{path.name}"


def measure_loudness(sound: Float[Tensor, "channel frame"], sample_rate: int) -> float | None:
    """Integrated, gated loudness in LUFS: silence around the sound doesn't count. None for silence alone.

    Sounds shorter than a block of 0.4 s are one block. A 997 Hz sine at full scale in one channel has −3.01 LUFS:

    >>> time = torch.arange(96000) / 48000
    >>> round(measure_loudness((2 * math.pi * 997 * time).sin()[None], 48000), 2)
    -3.01
    """
    # The power of the K-weighted channels, summed, in overlapping blocks of 0.4 s. Gated twice: first at an absolute −70
    # LUFS, then at 10 LU below the mean of what passed, so that pauses don't lower the loudness of what is played.
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

    Peaks are kept by gain alone, never by a limiter: all are turned down together. Silent sounds get 0.
    """
    levels = [measure_loudness(sound, sample_rate) for sound in sounds]
    known = [level for level in levels if level is not None]
    if not known:
        return [0.0] * len(sounds)
    # The most each may be raised until its peak reaches the ceiling, as the loudness it then has: the common loudness is the
    # first one's or the smallest of these.
    rooms = [
        level + CEILING - 20 * math.log10(float(sound.abs().max()))
        for level, sound in zip(levels, sounds, strict=True)
        if level is not None
    ]
    common = min([levels[0] if levels[0] is not None else known[0], *rooms])
    return [0.0 if level is None else common - level for level in levels]


def _to_lufs(power: Tensor) -> Tensor:
    # −0.691 cancels the K-weighting's gain at 997 Hz. The clamp keeps silence finite.
    return -0.691 + 10 * power.clamp_min(1e-30).log10()


def _weigh(sound: Float[Tensor, "channel frame"], sample_rate: int) -> Float[Tensor, "channel frame"]:
    """K-weighting: a shelf for the head, then a high pass; its two filters are given at 48 kHz and warped to other rates."""
    # The standard tabulates coefficients at 48 kHz only. These are the analogue prototypes behind them: frequency in Hz,
    # gain in dB and quality, so that the same two filters can be made at any rate.
    from scipy.signal import sosfilt

    sections = [
        _shelve(sample_rate, 1681.974450955533, 3.999843853973347, 0.7071752369554196),
        _pass_high(sample_rate, 38.13547087602444, 0.5003270373238773),
    ]
    return torch.from_numpy(sosfilt(sections, sound.numpy(), axis=-1))


def _shelve(sample_rate: int, frequency: float, gain: float, quality: float) -> list[float]:
    # A high shelf by the bilinear transform: k = tan(π f / rate) warps the corner so that it lands at f exactly; the gain is
    # `high` above it, and `middle` is its value at the corner.
    k, high = math.tan(math.pi * frequency / sample_rate), 10 ** (gain / 20)
    middle = high**0.4996667741545416
    a0 = 1 + k / quality + k * k
    b = [high + middle * k / quality + k * k, 2 * (k * k - high), high - middle * k / quality + k * k]
    return [*(value / a0 for value in b), 1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]


def _pass_high(sample_rate: int, frequency: float, quality: float) -> list[float]:
    # A second-order high pass, warped in the same way; its numerator 1 − 2 z⁻¹ + z⁻² is left unnormalised, as in the
    # standard.
    k = math.tan(math.pi * frequency / sample_rate)
    a0 = 1 + k / quality + k * k
    return [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]


def measure_peaks(sound: Float[Tensor, "channel frame"], steps: int) -> Float[Tensor, " step"]:
    """The largest absolute sample of each of `steps` equal intervals (fewer where there are fewer frames).

    >>> measure_peaks(torch.tensor([[0.0, 0.5, -1.0, 0.0]]), 2).tolist()
    [0.5, 1.0]
    """
    loud = sound.abs().amax(0)
    steps = min(steps, len(loud))
    edges = torch.linspace(0, len(loud), steps + 1).round().long()
    step_of = torch.bucketize(torch.arange(len(loud)), edges[1:-1], right=True)
    return torch.zeros(steps, dtype=loud.dtype).scatter_reduce(0, step_of, loud, "amax")


def draw_outline(peaks: Float[Tensor, " step"], loudest: float, mirrored: bool) -> str:
    """SVG path data, symmetric about the middle where `mirrored`, else from the bottom up; `loudest` reaches the edge."""
    reach = (peaks / loudest if loudest > 0 else peaks).clamp(0, 1).tolist()
    wide = 1000 / max(len(reach), 1)
    base, height = (50, 49) if mirrored else (100, 100)
    above = [f"{round(wide * place)} {round(base - height * high)}" for place, high in enumerate([*reach, *reach[-1:]])]
    if not mirrored:
        return f"M0 100L{'L'.join(above)}L1000 100Z"
    below = [f"{round(wide * place)} {round(base + height * high)}" for place, high in enumerate([*reach, *reach[-1:]])]
    return f"M{'L'.join(above)}L{'L'.join(reversed(below))}Z"
