"""The sound of a page: encoded for the browser, equally loud, and outlined.

Sound is an mp3 (ogg or wav where LAME is missing), in the page itself or next to it. Loudness is that of ITU-R BS.1770-4;
gains match it without clipping. Outlines are SVG paths in a box of 1000 × 100 that the page stretches.
"""

import base64
import io
import math
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
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

#: The lowest rate of MPEG-1, with frames of 1,152 samples; lower ones are MPEG-2's, of 576.
_FULL = 32_000

#: Samples by which LAME delays a sound.
_DELAY = 576

#: The highest sample in dBFS: lossy encoders overshoot their input.
CEILING = -1.5

#: Blocks below this loudness (LUFS) are ignored, by the standard: silence has no loudness.
ABSOLUTE_GATE = -70.0

#: Seconds of a block and between blocks, by the standard: they overlap by 75%.
_BLOCK, _STEP = 0.4, 0.1

#: Steps of an outline: about one per pixel on a wide screen for the song, fewer for its stems.
SONG_STEPS, STEM_STEPS = 900, 300


def encode_sound(sound: Float[Tensor, "channel frame"], sample_rate: int, gain: float) -> tuple[str, bytes]:
    """File ending and bytes of a sound with `gain` dB applied."""
    rate = sample_rate if sample_rate in _RATES else _RATES[-1]
    factor, sound = 10 ** (gain / 20), resample(sound, sample_rate, rate)
    # Sounds are encoded in threads: one may find the module while another is still importing it, and only `import` waits.
    with suppress(ImportError):
        return "mp3", encode_mp3(sound, rate, factor)
    samples = (sound * factor).T.contiguous().numpy()
    ending = "ogg" if "OGG" in soundfile.available_formats() else "wav"
    buffer = io.BytesIO()
    # In pieces of a second: libsndfile's Vorbis encoder takes a call's samples onto the stack, and minutes overflow it.
    with soundfile.SoundFile(buffer, "w", rate, samples.shape[1], format=ending.upper()) as file:
        for start in range(0, len(samples), rate):
            file.write(samples[start : start + rate])
    return ending, buffer.getvalue()


def encode_mp3(sound: Float[Tensor, "channel frame"], rate: int, factor: float) -> bytes:
    """An mp3 of the sound times a factor, of constant bit rate, so that seeking is exact.

    LAME takes a fifth of its time inside libsndfile, which asks for a quality (2) that only more difficult sounds gain from.
    """
    import lameenc

    encoder, kbits = lameenc.Encoder(), 80 if rate < _FULL else 128 + 32 * len(sound)
    encoder.silence()
    encoder.set_in_sample_rate(rate)
    encoder.set_channels(len(sound))
    encoder.set_bit_rate(kbits)
    encoder.set_quality(5)
    steps = (sound * (32767 * factor)).round_().clamp_(-32767, 32767).to(torch.int16).T.contiguous()
    data = bytes(encoder.encode(steps.numpy().astype("<i2", copy=False).tobytes()) + encoder.flush())
    return _head_mp3(data[:4], len(data), len(sound), sound.shape[1], rate, kbits) + data


def _head_mp3(header: bytes, size: int, channels: int, frames: int, rate: int, kbits: int) -> bytes:
    """The silent first frame of `size` bytes of mp3, which says where the sound begins and ends: lameenc writes none.

    Without it players start 1,105 samples late. Layout: http://gabriel.mp3-tech.org/mp3infotag.html.
    """
    full = rate >= _FULL
    each, side = (1152, 17 if channels == 1 else 32) if full else (576, 9 if channels == 1 else 17)
    count, length = round(8 * size * rate / (1000 * kbits * each)), each * kbits * 125 // rate
    padding = count * each - _DELAY - frames
    # As many bytes as the others' frames, less the one that some have to keep the rate.
    plain = bytes([*header[:2], header[2] & 0xFD, header[3]]) + bytes(side)
    table = bytes(256 * percent // 100 for percent in range(100))
    head = plain + b"Info" + struct.pack(">III", 0b1111, count, size + length) + table + bytes(4) + b"LAME3.100\x01"
    head += bytes(10) + bytes([kbits]) + (_DELAY << 12 | padding).to_bytes(3, "big") + bytes(4)
    head += struct.pack(">IH", size + length, 0)
    return (head + _check(head).to_bytes(2, "big")).ljust(length, b"\0")


def _check(data: bytes) -> int:
    """CRC-16 as in the header of LAME's files (polynomial x¹⁶ + x¹⁵ + x² + 1, lowest bit first)."""
    rest = 0
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ 0xA001 * (rest & 1)
    return rest


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
    energy = _weigh(sound, sample_rate).square().sum(0)
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
    peaks = [20 * math.log10(max(map(abs, map(float, sound.aminmax())), default=0.0) or 1e-10) for sound in sounds]
    # A single one has nothing to match: whatever its loudness is, only its peak counts.
    levels = [0.0] if len(sounds) == 1 else [measure_loudness(sound, sample_rate) for sound in sounds]
    known = [level for level in levels if level is not None]
    if not known:
        return [0.0] * len(sounds)
    # The most each may be raised until its peak reaches the ceiling, as the loudness it then has: the common loudness is the
    # first one's or the smallest of these.
    rooms = [level + CEILING - peak for level, peak in zip(levels, peaks, strict=True) if level is not None]
    common = min([levels[0] if levels[0] is not None else known[0], *rooms])
    return [0.0 if level is None else common - level for level in levels]


def _to_lufs(power: Tensor) -> Tensor:
    # −0.691 cancels the K-weighting's gain at 997 Hz. The clamp keeps silence finite.
    return -0.691 + 10 * power.clamp_min(1e-30).log10()


def _weigh(sound: Float[Tensor, "channel frame"], sample_rate: int) -> Float[Tensor, "channel frame"]:
    """K-weighting: a shelf for the head, then a high pass; its two filters are given at 48 kHz and warped to other rates.

    By their frequency responses, in blocks that overlap by 0.3 s: after so long the high pass has died away.
    """
    # The standard tabulates coefficients at 48 kHz only. These are the analogue prototypes behind them: frequency in Hz,
    # gain in dB and quality, so that the same two filters can be made at any rate.
    sections = (
        _shelve(sample_rate, 1681.974450955533, 3.999843853973347, 0.7071752369554196),
        _pass_high(sample_rate, 38.13547087602444, 0.5003270373238773),
    )
    history = math.ceil(0.3 * sample_rate)
    size = 2 ** math.ceil(math.log2(6 * history))
    step, frames = size - history, sound.shape[1]
    # At z = e^(2πi k / size) a section's response is (b₀ + b₁ z⁻¹ + b₂ z⁻²) / (a₀ + a₁ z⁻¹ + a₂ z⁻²).
    back = torch.exp(-2j * math.pi * torch.arange(size // 2 + 1, dtype=torch.float64) / size)
    powers = torch.stack([back**0, back, back**2])
    numerators, denominators = torch.tensor(sections, dtype=powers.dtype).unflatten(1, (2, 3)).unbind(1)
    response = (numerators @ powers / (denominators @ powers)).prod(0)
    # Overlap-save: the first `history` frames of each block come round from its end, and are dropped.
    padded = torch.nn.functional.pad(sound, (history, -frames % step))
    spectra = torch.fft.rfft(padded.unfold(1, size, step))
    spectra *= response.to(spectra.dtype)
    return torch.fft.irfft(spectra, size)[..., history:].flatten(1)[:, :frames]


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
    frames = sound.shape[1]
    steps = min(steps, frames)
    starts, samples = torch.linspace(0, frames, steps + 1).round().long()[:-1].numpy(), sound.numpy()
    # The extremes of each stretch, of either sign: without a copy of the absolute values, and without a search.
    above, below = np.maximum.reduceat(samples, starts, axis=1), np.minimum.reduceat(samples, starts, axis=1)
    return torch.from_numpy(np.maximum(above, -below).max(0)).abs()


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
