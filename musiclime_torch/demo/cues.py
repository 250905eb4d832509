"""The sounds that cause tags: half a bar each, from the cause's own generator and the song's chords."""

from collections.abc import Callable

import numpy as np

from musiclime_torch.demo.background import Harmony
from musiclime_torch.demo.plan import STEPS, Cause, SongPlan
from musiclime_torch.demo.synthesis import (
    VOWELS,
    Sound,
    add,
    hit_kick,
    hit_snare,
    hit_tom,
    play,
    ring_bell,
    shape,
    sing,
    to_hertz,
)


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
