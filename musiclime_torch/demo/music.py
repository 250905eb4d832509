"""The sound of a song: four stems of ordinary music, and the cues that cause tags.

The music follows from the song's seed alone, whatever causes it has; a stem's generator is its own. A cue lasts half a
bar and follows from the cause's own generator and the song's chords. Sounds are float64 and unbounded here; ``song``
sets the levels. The instruments come first, in plain numpy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy.signal import lfilter

from musiclime_torch.demo.plan import HALF_BARS, SAMPLE_RATE, STEPS, Cause, SongPlan, place_words, spawn

# Instruments: one mono float64 array a call, 16 kHz, about unit loudness, all chance from the given generator.

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


SCALE = (0, 2, 4, 5, 7, 9, 11)

#: Degrees of the major scale, one a bar.
PROGRESSIONS = ((0, 4, 5, 3, 0), (5, 3, 0, 4, 5), (0, 5, 3, 4, 0), (0, 3, 5, 4, 3), (1, 4, 0, 5, 1))


@dataclass(frozen=True)
class Harmony:
    """Key (0 to 11 semitones above C) and the degree of the scale that each bar's chord stands on."""

    key: int
    degrees: tuple[int, ...]

    def pitch(self, half_bar: int, third: int) -> int:
        """Semitones above C of the chord's root (third 0), third (1), fifth (2), seventh (3) and so on up."""
        octave, degree = divmod(self.degrees[half_bar // 2] + 2 * third, 7)
        return self.key + SCALE[degree] + 12 * octave


def draw_harmony(seed: int) -> Harmony:
    """The song's key and chords."""
    rng = spawn(seed, "harmony")
    return Harmony(int(rng.integers(12)), PROGRESSIONS[rng.integers(len(PROGRESSIONS))])


def play_drums(plan: SongPlan) -> Sound:
    """Kick on the beat, snare on every second one, hi-hats on eighths; now and then a kick or a soft snare between."""
    rng = spawn(plan.seed, "drums")
    kick, snare, hat, ride = hit_kick(), hit_snare(rng), hit_hat(rng, 0.025), hit_hat(rng, 0.08)
    stem = np.zeros(plan.frames)
    syncopated = rng.random(STEPS) < 0.25
    for step in range(STEPS * HALF_BARS):
        place, beat = step * plan.step, step % STEPS
        loud = rng.uniform(0.8, 1.0)
        if beat == 0 or (beat in (3, 5, 6) and syncopated[beat]):
            add(stem, kick, place, 1.6 * loud)
        if beat == 4 or (beat in (2, 7) and rng.random() < 0.15):
            add(stem, snare, place, (1.1 if beat == 4 else 0.45) * loud)
        if beat % 2 == 0:
            add(stem, ride if beat == 6 and rng.random() < 0.3 else hat, place, 0.5 * loud)
    return stem


def play_bass(plan: SongPlan, harmony: Harmony) -> Sound:
    """Roots, with fifths between, each half-bar in one of four rhythms; the pitch holds still through every note."""
    rng = spawn(plan.seed, "bass")
    rhythms = ((0,), (0, 4), (0, 3, 6), (0, 2, 4, 6))
    stem = np.zeros(plan.frames)
    for half_bar in range(HALF_BARS):
        onsets = (*rhythms[rng.integers(len(rhythms))], STEPS)
        for first, last in pairwise(onsets):
            third = 2 if first and rng.random() < 0.3 else 0
            pitch = 28 + (harmony.pitch(half_bar, third) - 4) % 12
            frames = (last - first) * plan.step
            sound = shape(play(to_hertz(pitch), frames, 10, 1.3), 0.005, 0.8)
            add(stem, sound, (half_bar * STEPS + first) * plan.step, 0.6)
    return stem


def play_other(plan: SongPlan, harmony: Harmony) -> Sound:
    """Chords in the middle: held, struck off the beat, or broken into slow eighths, one way for each section."""
    rng = spawn(plan.seed, "other")
    ways = rng.integers(3, size=2)
    dullness = rng.uniform(1.2, 1.8)
    stem = np.zeros(plan.frames)
    for half_bar in range(HALF_BARS):
        pitches = [48 + (harmony.pitch(half_bar, third) + rng.integers(2) * 12) % 24 for third in range(3)]
        way = ways[int(half_bar >= plan.section_break)]
        onsets = {0: (0,), 1: (2, 6), 2: (0, 2, 4, 6)}[int(way)]
        for index, onset in enumerate(onsets):
            frames = (STEPS if way == 0 else 2) * plan.step
            chosen = [pitches[index % 3]] if way == 2 else pitches
            for pitch in chosen:
                tone = play(to_hertz(pitch + rng.uniform(-0.05, 0.05)), frames, 12, dullness)
                sound = shape(tone, 0.03 if way == 0 else 0.005, 3.0 if way == 0 else 0.3, release=0.03)
                add(stem, sound, (half_bar * STEPS + onset) * plan.step, 0.6 if way == 2 else 0.3)
    return stem


def play_vocals(plan: SongPlan, harmony: Harmony) -> Sound:
    """One sung note a word, with vibrato, near the chord; its vowel is drawn, so that words can be swapped alone."""
    rng = spawn(plan.seed, "vocals")
    low = int(rng.integers(50, 60))
    stem = np.zeros(plan.frames)
    for first, last in place_words(plan):
        pitch = low + (harmony.pitch(first // STEPS, int(rng.integers(3))) - low) % 12 + 2 * int(rng.random() < 0.2)
        frames = int((last - first) * plan.step * 0.92)
        seconds = np.arange(frames) / SAMPLE_RATE
        vibrato = 1 + 0.012 * np.sin(2 * np.pi * 5.5 * seconds) * np.minimum(seconds / 0.2, 1)
        voice = sing(to_hertz(pitch) * vibrato, VOWELS[rng.integers(len(VOWELS))], 90.0)
        add(stem, shape(voice, 0.03, 2.0, release=0.04), first * plan.step, 0.6)
    return stem


def play_cue(plan: SongPlan, cause: Cause, harmony: Harmony) -> Sound:
    """The cue's half-bar; ``plan.half_bar`` frames."""
    rng = np.random.default_rng(cause.form)
    return _CUES[cause.tag](plan.step, harmony, cause.place, rng)


def play_drum_fill(step: int, harmony: Harmony, half_bar: int, rng: np.random.Generator) -> Sound:
    """Sixteen strokes from the snare down the toms, ever louder."""
    stem = np.zeros(STEPS * step)
    drums = [hit_snare(rng), *(hit_tom(hertz * rng.uniform(0.9, 1.1), rng) for hertz in (240, 170, 110))]
    add(stem, hit_kick(), 0, 0.8)
    for stroke in range(2 * STEPS):
        add(stem, drums[stroke // 4], stroke * step // 2, (0.6 + stroke / 40) * rng.uniform(0.85, 1.0))
    return stem


def play_bass_drop(step: int, harmony: Harmony, half_bar: int, rng: np.random.Generator) -> Sound:
    """One buzzing note that slides down two octaves or more to the root."""
    frames = STEPS * step
    goal = 26 + (harmony.pitch(half_bar, 0) - 2) % 12
    pitch = goal + rng.uniform(24, 29) * (1 - np.linspace(0, 1, frames)) ** rng.uniform(0.9, 1.4)
    return shape(1.3 * play(440 * 2 ** ((pitch - 69) / 12), frames, 20, 0.8), 0.01, 5.0, release=0.03)


def play_synth_solo(step: int, harmony: Harmony, half_bar: int, rng: np.random.Generator) -> Sound:
    """Sixteen fast bright notes up and down the chord, high above everything else."""
    stem = np.zeros(STEPS * step)
    base = 72 + int(rng.integers(0, 5))
    top = int(rng.integers(5, 8))
    for note in range(2 * STEPS):
        third = top - abs(note % (2 * top) - top)
        pitch = base + harmony.pitch(half_bar, third) - harmony.pitch(half_bar, 0)
        add(stem, shape(play(to_hertz(pitch), step // 2, 6, 0.6), 0.002, 0.08), note * step // 2, 0.9)
    return stem


def play_shout(step: int, harmony: Harmony, half_bar: int, rng: np.random.Generator) -> Sound:
    """A crowd's "hey", two or three times: several voices that fall together, with breath."""
    stem = np.zeros(STEPS * step)
    for onset in ((0, 4), (0, 2, 4), (0, 3, 6))[rng.integers(3)]:
        frames = 2 * step
        fall = np.linspace(1.15, 0.8, frames)
        voices = [sing(rng.uniform(230, 330) * fall, VOWELS[1], 250.0) for _ in range(4)]
        breath = 0.12 * rng.standard_normal(frames)
        add(stem, shape(np.sum(voices, 0) + breath, 0.01, 0.35, release=0.05), onset * step, 0.35)
    return stem


def play_bells(step: int, harmony: Harmony, half_bar: int, rng: np.random.Generator) -> Sound:
    """A music box: four or more bell tones of the chord, each ringing on to the end of the half-bar."""
    stem = np.zeros(STEPS * step)
    for onset in ((0, 2, 4, 6), (0, 2, 3, 4, 6), (0, 1, 2, 4, 5))[rng.integers(3)]:
        pitch = 84 + (harmony.pitch(half_bar, int(rng.integers(4))) + 0) % 12
        add(stem, ring_bell(to_hertz(pitch), (STEPS - onset) * step), onset * step, 0.8)
    return stem


_CUES: dict[str, Callable[[int, Harmony, int, np.random.Generator], Sound]] = {
    "drum fill": play_drum_fill,
    "bass drop": play_bass_drop,
    "synth solo": play_synth_solo,
    "anthem": play_shout,
    "lullaby": play_bells,
}
