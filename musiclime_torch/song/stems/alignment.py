"""Stems that lie earlier or later than their song by an encoder's delay, found by correlation and moved back.

Encoders begin with silence of a length of their own, and files without a place for that number (raw AAC, and mp3 as
`demucs --mp3` writes it) don't tell it. 25 ms are enough that a song minus its stems is louder than the song.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from musiclime_torch.song.audio.recording import Recording

#: Frames by which the sound of an encoder is late where nothing tells a decoder.
_DELAYS = {
    1105: "an mp3 encoder (LAME, as demucs --mp3 uses it)",
    1024: "an AAC encoder (FFmpeg's)",
    2048: "an AAC encoder (Fraunhofer's)",
    2112: "an AAC encoder (Apple's)",
    481: "an MP2 encoder",
    256: "an AC-3 encoder",
    312: "an Opus encoder",
}
_REACH, _FRAMES = 0.1, 1 << 20
#: Power of a residual relative to the song below which nothing needs to be moved.
_LOW = 0.01
#: A delay of an unknown length must take three quarters of the residual away, a known one less.
_SURE, _KNOWN = 0.25, 0.9


def find_delay(stems: list[Recording], song: Recording) -> int:
    """Frames by which the stems' sum is later than the song, negative if earlier; 0 where moving it gains nothing."""
    frames = min([song.samples.shape[-1], *(stem.samples.shape[-1] for stem in stems), _FRAMES])
    mix = song.samples[:, :frames].mean(0)
    total = torch.stack([stem.samples[:, :frames].mean(0) for stem in stems]).sum(0)
    reach = min(round(_REACH * song.sample_rate), frames - 1)
    apart = _measure_residual(total, mix, 0)
    if reach < 1 or apart <= _LOW * float(mix.square().sum()):
        return 0
    delay = _correlate(total, mix, reach)
    gain = _SURE if abs(delay) not in _DELAYS else _KNOWN
    return delay if _measure_residual(total, mix, delay) < gain * apart else 0


def describe_delay(delay: int, rate: int) -> str:
    """How far the stems are from their song, in words: "1105 frames (25 ms) later than the song, by the ..."."""
    known = _DELAYS.get(abs(delay))
    named = f", by the delay of {known}" if known else ""
    side = "later" if delay > 0 else "earlier"
    return f"{abs(delay)} frames ({1000 * abs(delay) / rate:.0f} ms) {side} than the song{named}"


def move(stem: Recording, delay: int, frames: int) -> Recording:
    """A stem that many frames earlier, brought to a length with silence at the end."""
    samples = stem.samples[:, delay:] if delay > 0 else functional.pad(stem.samples, (-delay, 0))
    samples = samples[:, :frames]
    return replace(stem, samples=functional.pad(samples, (0, frames - samples.shape[-1])))


def _correlate(sound: Float[Tensor, " frame"], reference: Float[Tensor, " frame"], reach: int) -> int:
    size = 1 << (2 * len(sound) - 1).bit_length()
    spectrum = torch.fft.rfft(sound, size) * torch.fft.rfft(reference, size).conj()
    product = torch.fft.irfft(spectrum, size)
    # Lags below zero are at the end.
    near = torch.cat([product[-reach:], product[: reach + 1]])
    return int(near.argmax()) - reach


def _measure_residual(sound: Float[Tensor, " frame"], reference: Float[Tensor, " frame"], delay: int) -> float:
    late, early = max(delay, 0), max(-delay, 0)
    frames = len(sound) - late - early
    return float((sound[late : late + frames] - reference[early : early + frames]).square().sum())
