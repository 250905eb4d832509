"""Sounds in plain numpy: one mono float64 array a call, 16 kHz, about unit loudness, all chance from the given generator."""

from functools import cache

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy.signal import lfilter

from musiclime_torch.demo.plan import SAMPLE_RATE

#: One length each: the underscore keeps two sounds in a call from having to match.
Sound = Float64[ndarray, " _frame"]

#: Formants in Hz of a, e, i, o, u.
VOWELS = ((800, 1150, 2900), (400, 1700, 2600), (300, 2200, 3000), (450, 800, 2830), (325, 700, 2530))


def to_hertz(pitch: float) -> float:
    """Frequency of a MIDI pitch; 69 is 440 Hz."""
    return float(440 * 2 ** ((pitch - 69) / 12))


@cache
def _fill_table(harmonics: int, slope: float) -> Sound:
    turns = np.arange(4096) / 4096
    numbers = np.arange(1, harmonics + 1)
    wave = (np.sin(2 * np.pi * turns[:, None] * numbers) / numbers**slope).sum(1)
    return np.asarray(wave / np.abs(wave).max())


def play(hertz: float | Sound, frames: int, harmonics: int, slope: float = 1.0) -> Sound:
    """A steady tone, or a gliding one for one frequency a frame; slope 1 is a sawtooth's spectrum, higher is duller."""
    # The phase is the running sum of the frequency, so that a glide has no jumps.
    turns = np.cumsum(np.broadcast_to(np.asarray(hertz, dtype=np.float64), (frames,))) / SAMPLE_RATE
    # One table per timbre, read at the phase: many times cheaper than a sum of sines in every note.
    return np.asarray(_fill_table(harmonics, slope)[(turns * 4096).astype(np.int64) & 4095])


def shape(sound: Sound, attack: float, decay: float, release: float = 0.01) -> Sound:
    """Rise in ``attack`` seconds, fall exponentially by ``decay``, end at zero in ``release``: all in seconds."""
    seconds = np.arange(len(sound)) / SAMPLE_RATE
    rise = np.minimum(seconds / attack, 1)
    end = np.minimum((len(sound) / SAMPLE_RATE - seconds) / release, 1)
    return np.asarray(sound * rise * np.exp(-seconds / decay) * end)


def add(stem: Sound, sound: Sound, start: int, gain: float) -> None:
    """Mix a sound into a stem in place; what lies past the end is lost."""
    kept = sound[: len(stem) - start]
    stem[start : start + len(kept)] += gain * kept


def hit_kick() -> Sound:
    """A bass drum."""
    seconds = np.arange(3200) / SAMPLE_RATE
    # A falling sine: the thump is its glide from 155 Hz down to 45.
    return shape(play(45 + 110 * np.exp(-seconds / 0.03), 3200, 1), 0.001, 0.07)


def hit_snare(rng: np.random.Generator) -> Sound:
    """A snare drum."""
    return shape(0.7 * rng.standard_normal(2400) * 0.5 + 0.5 * play(190.0, 2400, 2), 0.001, 0.05)


def hit_hat(rng: np.random.Generator, decay: float) -> Sound:
    """A hi-hat, closed or (longer) open."""
    frames = int(min(6 * decay, 0.25) * SAMPLE_RATE)
    return shape(np.diff(rng.standard_normal(frames + 1)) * 0.4, 0.001, decay)


def hit_tom(hertz: float, rng: np.random.Generator) -> Sound:
    """A tom-tom."""
    seconds = np.arange(2400) / SAMPLE_RATE
    tone = play(hertz * (1 + 0.5 * np.exp(-seconds / 0.04)), 2400, 2, 2.0)
    return shape(tone + 0.15 * rng.standard_normal(2400), 0.001, 0.08)


def ring_bell(hertz: float, frames: int) -> Sound:
    """A bell: partials that are no harmonics."""
    partials = ((1.0, 1.0, 0.5), (2.76, 0.6, 0.25), (5.4, 0.25, 0.12))
    return np.asarray(sum(shape(level * play(hertz * ratio, frames, 1), 0.002, decay) for ratio, level, decay in partials))


def sing(hertz: Sound, vowel: tuple[int, ...], bandwidth: float) -> Sound:
    """A sung vowel: a rich tone through three resonances; ``hertz`` is the pitch of every frame."""
    source = play(hertz, len(hertz), 14, 0.7)
    # A two-pole resonator per formant: the poles' radius follows from its bandwidth, their angle from its frequency.
    radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
    voice = sum(
        lfilter([(1 - radius) / level], [1, -2 * radius * np.cos(2 * np.pi * f / SAMPLE_RATE), radius**2], source)
        for level, f in zip((1.0, 1.6, 3.0), vowel, strict=True)
    )
    return np.asarray(voice, dtype=np.float64)
