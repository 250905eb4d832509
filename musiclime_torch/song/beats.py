"""Beats, bars and sections of a song's sound, and groups of them.

The onset envelope is the rise of a log-mel spectrogram. Its autocorrelation gives the tempo. Beats are placed by dynamic
programming (Ellis, "Beat Tracking by Dynamic Programming", 2007), and sections end where the checkerboard novelty of the
bars' self-similarity peaks (Foote, "Automatic audio segmentation using a measure of audio novelty", 2000).
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from musiclime_torch.models.beatnet import HOP as STEP, BeatNet
from musiclime_torch.song.audio.recording import resample

#: Sample rate in Hz, hop in frames (10 ms) and window of the onset envelope.
RATE, HOP, WINDOW = 22050, 220, 1024

#: Tempi that are looked for, in beats per minute.
SLOWEST, FASTEST = 50.0, 200.0

#: Beats in a bar. Downbeats are told by their strength, the meter isn't.
METER = 4

#: Seconds by which the envelope rises before a sound begins, for its window reaches that far ahead.
_LEAD = 0.016

#: The same for the network, which answers that long before a click.
_NEURAL_LEAD = 0.014

#: How much more a bar's first beat counts than any beat, where the network tells them apart.
_FIRST = 3.0

#: How much worse an uneven beat is than a weak one; Ellis's alpha.
_TIGHTNESS = 400.0

#: Bars on both sides of a border that are compared.
_REACH = 4

#: How much less alike bars are across a border than on each side of it, at least; correlations are at most 1.
_CHANGE = 0.4

#: Hz of the bands in which drums and basses mark the first beat of a bar.
_LOW = 200.0


@dataclass(frozen=True)
class Beats:
    """Seconds from the first frame, beats per minute, and which of the first four beats begins a bar."""

    times: tuple[float, ...]
    tempo: float
    phase: int

    @property
    def bars(self) -> tuple[float, ...]:
        """First beats of the bars."""
        return self.times[self.phase :: METER]


@dataclass(frozen=True)
class Limits:
    """Number of segments at most, and seconds of each at least, but for a rounding error."""

    most: int = 10
    shortest: float = 0.1

    def allow(self, edges: tuple[float, ...]) -> bool:
        """Whether segments with these edges keep within the limits."""
        return len(edges) - 1 <= self.most and min(b - a for a, b in pairwise(edges)) >= 0.999 * self.shortest


@dataclass(frozen=True)
class Groups:
    """Stretches of beats that cover a song: edges in seconds from its first frame, their names, and notes for the reader."""

    edges: tuple[float, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def track_beats(song: Float[Tensor, "channel frame"], sample_rate: int, network: BeatNet | None = None) -> Beats | None:
    """Beats of a song, None where nothing in it is periodic. `network` says how likely each moment is a beat, and a bar's
    first one, in place of onsets.

    Beats go on through pauses, for the tempo does.
    """
    # A song as short as a few beats shows no tempo.
    if song.shape[-1] < 3 * sample_rate or not bool(song.any()):
        return None
    sound = resample(song.mean(0), sample_rate, RATE)
    onsets, low = _find_onsets(sound) if network is None else _ask_network(sound, network)
    period = _find_period(onsets)
    if period is None:
        return None
    frames = _place_beats(onsets, period)
    if len(frames) < METER:
        return None
    strengths = (onsets + low)[np.clip(frames.round().astype(int), 0, len(onsets) - 1)]
    phase = int(np.argmax([strengths[start::METER].mean() for start in range(METER)]))
    times = frames * HOP / RATE + (_LEAD if network is None else _NEURAL_LEAD)
    tempo = 60 / float(np.median(np.diff(times)))
    return Beats(tuple(round(float(time), 4) for time in times), round(tempo, 1), phase)


def _find_onsets(sound: Float[Tensor, " frame"]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much louder each 10 ms are than those before, in all mel bands and in the low ones; scaled to a deviation of 1."""
    levels = _measure_bands(sound, WINDOW, HOP, 64)
    # Two hops back: a window of 46 ms rises for longer than one.
    rises = (levels[:, 2:] - levels[:, :-2]).clamp_min(0)
    rises = torch.nn.functional.pad(rises, (1, 1))
    bands = int((torch.linspace(_mel(30.0), _mel(RATE / 2), 66)[1:-1] < _mel(_LOW)).sum())
    curves = [rises.mean(0).double().numpy(), rises[: max(bands, 1)].mean(0).double().numpy()]
    kernel = np.hanning(5) / np.hanning(5).sum()
    smooth = [np.convolve(curve, kernel, "same") for curve in curves]
    scaled = [curve / max(float(curve.std()), 1e-9) for curve in smooth]
    return scaled[0], scaled[1]


@torch.inference_mode()
def _ask_network(sound: Float[Tensor, " frame"], network: BeatNet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How likely each 10 ms are a beat, and a bar's first one, scaled like onsets; bars count more than beats."""
    chances = network(sound).double().numpy()
    times, grid = np.arange(len(chances)) * STEP / RATE, np.arange(len(sound) // HOP + 1) * HOP / RATE
    curves = [np.interp(grid, times, column) for column in (chances.sum(1), chances[:, 1])]
    beat, first = (curve / max(float(curve.std()), 1e-9) for curve in curves)
    return beat, _FIRST * first


def _mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


def _measure_bands(sound: Float[Tensor, " frame"], window: int, hop: int, count: int) -> Float[Tensor, "band step"]:
    """Log levels of mel bands, at most 80 dB below the loudest."""
    # Imported where it is used: it takes as long as torch, and explaining needs no beats.
    from torchaudio.functional import melscale_fbanks

    shape = torch.hann_window(window)
    # Mirrored at its ends: a song that is cut out of another one doesn't begin with an onset.
    spectrum = torch.stft(sound, window, hop, window=shape, pad_mode="reflect", return_complex=True).abs()
    filters = melscale_fbanks(window // 2 + 1, 30.0, RATE / 2, count, RATE)
    levels = (filters.T @ spectrum.square()).clamp_min(1e-12).log10()
    return torch.maximum(levels, levels.max() - 8)


def _find_period(onsets: NDArray[np.float64]) -> float | None:
    """Hops from beat to beat, None where the envelope repeats no better than noise does."""
    centred = onsets - onsets.mean()
    size = 2 * len(centred)
    likeness = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2)[: len(centred)]
    # Divided by the overlap, so that slow tempi of short songs don't lose.
    likeness = likeness / max(float(likeness[0]), 1e-12) * len(centred) / (len(centred) - np.arange(len(centred)))
    shortest, longest = round(60 * RATE / HOP / FASTEST), min(round(60 * RATE / HOP / SLOWEST), len(centred) // 2)
    lags = np.arange(shortest, longest + 1)
    # Listeners prefer tempi near 120, by a log-normal curve one octave wide (Ellis 2007, equation 7).
    scores = likeness[lags] * np.exp(-0.5 * np.log2(lags * HOP / RATE / 0.5) ** 2)
    best = int(lags[np.argmax(scores)])
    # Noise reaches four standard errors by chance, and five hardly ever.
    if likeness[best] < max(0.12, 5 / np.sqrt(len(centred))):
        return None
    half = max((lag for lag in (best // 2, best // 2 + 1)), key=lambda lag: likeness[lag])
    # As alike after half the time: each of these is a beat.
    if half >= shortest and likeness[half] > 0.9 * likeness[best]:
        best = half
    return best + _find_vertex(likeness, best)


def _find_vertex(curve: NDArray[np.float64], place: int) -> float:
    """Where the parabola through a peak and its neighbours is highest, relative to the peak."""
    if not 0 < place < len(curve) - 1:
        return 0.0
    left, middle, right = curve[place - 1 : place + 2]
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))


def _place_beats(onsets: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """Hops of the beats, by the best sum of onset strengths less a penalty on uneven intervals (Ellis 2007, equation 5)."""
    gaps = np.arange(-round(2 * period), -round(period / 2) + 1)
    penalty = -_TIGHTNESS * np.log(-gaps / period) ** 2
    best, before = onsets.copy(), np.full(len(onsets), -1)
    for step in range(len(onsets)):
        reached = step + gaps
        inside = reached >= 0
        if inside.any():
            candidates = best[reached[inside]] + penalty[inside]
            place = int(np.argmax(candidates))
            # A beat is the first one where nothing before it is worth its penalty.
            if candidates[place] > 0:
                best[step] += candidates[place]
                before[step] = reached[inside][place]
    last = len(onsets) - round(period) + int(np.argmax(best[-round(period) :]))
    beats = [last]
    while before[beats[-1]] >= 0:
        beats.append(int(before[beats[-1]]))
    return np.array([beat + _find_vertex(onsets, beat) for beat in _drop_weak_ends(beats[::-1], onsets)])


def _drop_weak_ends(beats: list[int], onsets: NDArray[np.float64]) -> list[int]:
    """Beats without those before the first and after the last that is heard."""
    strengths = np.array([onsets[max(beat - 2, 0) : beat + 3].max() for beat in beats])
    heard = np.flatnonzero(strengths > 0.5 * np.median(strengths[strengths > 0]) if (strengths > 0).any() else strengths)
    return beats[heard[0] : heard[-1] + 1] if len(heard) else []


def find_changes(song: Float[Tensor, "channel frame"], sample_rate: int, bars: tuple[float, ...], most: int) -> list[int]:
    """Places in `bars` where the music changes most, rising, `most` of them or fewer."""
    sound = resample(song.mean(0), sample_rate, RATE)
    levels = _measure_bands(sound, 4096, 2048, 48)
    borders = [min(round(time * RATE / 2048), levels.shape[1] - 1) for time in bars] + [levels.shape[1]]
    means = [levels[:, first : max(last, first + 1)].mean(1) for first, last in pairwise(borders)]
    features = torch.stack(means).double()
    features = features - features.mean(0)
    features = features / features.norm(dim=1, keepdim=True).clamp_min(1e-9)
    novelty = _compare_sides((features @ features.T).numpy())
    # Peaks from the highest down; two within a few bars are one change.
    chosen: list[int] = []
    for place in np.argsort(-novelty, kind="stable").tolist():
        if len(chosen) == most or novelty[place] <= _CHANGE:
            break
        if all(abs(place - other) >= _REACH for other in chosen):
            chosen.append(place)
    return sorted(chosen)


def _compare_sides(likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """By bar: how alike the bars on each side are, less how alike they are across; Foote's checkerboard kernel.

    Of both sides the less uniform one counts, or noise on one would look like a change.
    """
    count = len(likeness)
    novelty = np.zeros(count)
    for place in range(2, count - 1):
        before, after = slice(max(place - _REACH, 0), place), slice(place, place + _REACH)
        novelty[place] = min(_average(likeness[before, before]), _average(likeness[after, after]))
        novelty[place] -= likeness[before, after].mean()
    return novelty


def _average(likeness: NDArray[np.float64]) -> float:
    """Mean likeness of bars to each other, without that of each to itself."""
    count = len(likeness)
    return float(likeness.sum() - np.trace(likeness)) / (count * (count - 1))


def group_beats(beats: Beats, units: str, limits: Limits, seconds: float) -> Groups:
    """Beats or bars of a song of so many seconds, in groups that double until they keep within the limits."""
    asked = size = 1 if units == "beats" else METER * int(units.removesuffix("bars") or 1)
    groups = _cut_groups(beats, size, limits, seconds)
    while not limits.allow(groups.edges) and size <= len(beats.times):
        size *= 2
        groups = _cut_groups(beats, size, limits, seconds)
    if size == asked:
        return groups
    of = f"{size // METER} bars" if size > METER else "a bar" if size == METER else f"{size} beats"
    note = (
        f"{units} would be more or shorter segments than the {limits.most} equal ones that are the default, and cost more "
        f"passes: groups of {of} were made; a shorter part of the song shows more."
    )
    return replace(groups, notes=(note,))


def _cut_groups(beats: Beats, size: int, limits: Limits, seconds: float) -> Groups:
    # Groups of less than a bar may begin before the first bar.
    starts = list(range(beats.phase % size, len(beats.times), size))
    # A rest of a quarter or less joins the last group.
    while len(starts) > 1 and (
        len(beats.times) - starts[-1] <= size / 4 or seconds - beats.times[starts[-1]] < limits.shortest
    ):
        starts.pop()
    ends = [*starts[1:], len(beats.times)]
    names = [_name_group(first - beats.phase, last - first, size) for first, last in zip(starts, ends, strict=True)]
    return _fit([beats.times[start] for start in starts], names, seconds, limits.shortest)


def _name_group(start: int, count: int, size: int) -> str:
    """The bars, or the beats of a bar, that so many beats from `start` on are; the first bar is 1."""
    bar = start // METER + 1
    if size < METER:
        beat = start % METER + 1
        return f"bar {bar} beat {beat}" if count == 1 else f"bar {bar} beats {beat}-{beat + count - 1}"
    # A single beat at the end is where the bar before it ends.
    last = max((start + count - 2) // METER + 1, bar)
    return f"bar {bar}" if bar == last else f"bar {bar}-{last}"


def cut_sections(beats: Beats, song: Float[Tensor, "channel frame"], sample_rate: int, limits: Limits) -> Groups:
    """Sections that begin at bars."""
    bars, seconds = beats.bars, song.shape[-1] / sample_rate
    changes = [0]
    # What lies before the first bar may become one more.
    for place in find_changes(song, sample_rate, bars, max(limits.most - 2, 0)):
        if min(bars[place] - bars[changes[-1]], seconds - bars[place]) >= limits.shortest:
            changes.append(place)
    names = [
        f"section {number}, bar {first + 1}" + (f"-{following}" if following > first + 1 else "")
        for number, (first, following) in enumerate(pairwise([*changes, len(bars)]), 1)
    ]
    notes = () if len(changes) > 1 else ("the music changes nowhere enough for more than one section.",)
    return replace(_fit([bars[place] for place in changes], names, seconds, limits.shortest), notes=notes)


def _fit(starts: list[float], names: list[str], seconds: float, shortest: float) -> Groups:
    """Groups as segments that cover the song. What lies before the first joins it, unless it is long enough."""
    typical = min((b - a for a, b in pairwise(starts)), default=seconds)
    edges = [max(start, 0.0) for start in starts]
    if edges[0] > max(typical / 2, shortest):
        return Groups((0.0, *edges, seconds), ("", *names))
    return Groups((0.0, *edges[1:], seconds), tuple(names))
