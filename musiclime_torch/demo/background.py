"""The ordinary music of a song: four stems from its seed alone, whatever causes it has.

A stem's generator is its own. Sounds are float64 and unbounded here; ``songs`` sets the levels.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from musiclime_torch.demo.plan import HALF_BARS, SAMPLE_RATE, STEPS, SongPlan, place_words, spawn
from musiclime_torch.demo.synthesis import VOWELS, Sound, add, hit_hat, hit_kick, hit_snare, play, shape, sing, to_hertz

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
