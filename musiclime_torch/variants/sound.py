"""Sound from masks: the stems at the model's rate, what stands in for a removed one, and the mix of every variant.

A track is brought to the model's form (`fit_stems`), gets its baseline (`make_stand_in`), and is cut into windows and zones
once (`gate_stems`). After that a variant is one matrix product per zone (`mix`), and no component is stored on its own.
Audio masks are (variant, stem, segment). The all-ones mask renders the song itself. Mixing stays on the device of its
tensors and never asks the host.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from musiclime_torch.basics.arguments import suggest
from musiclime_torch.basics.edits import read_edit, split_stems
from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.recording import resample
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components, find_borders
from musiclime_torch.variants.edits import Grid, edit_stem

#: What a removed stem becomes: an edit by its name, the stem of another song, or either of them for each stem by name. Stems
#: that aren't named become silence.
AudioBaseline = str | Track | Mapping[str, str | Track]

#: Seconds a gate takes to open or close: long enough to hide the click, short against any segment.
CROSS_FADE = 0.005


@dataclass(frozen=True)
class Zone:
    """A stretch of a window in which the gates stand still (`ramp` None) or pass from `segment` to the next one."""

    start: int
    end: int
    segment: int
    ramp: Float[Tensor, " frame"] | None
    stems: Float[Tensor, "stem channel_frame"]


@dataclass(frozen=True)
class Window:
    """What a model hears in one call: its zones, and the sum of the baseline under them (None for silence)."""

    zones: tuple[Zone, ...]
    channels: int
    frames: int
    floor: Float[Tensor, "channel frame"] | None
    #: Columns that change it: its stems × segments, fades included, without those that are silent throughout it.
    columns: tuple[int, ...]
    #: Its share in the average over windows, up to a common factor.
    weight: float = 1.0
    #: Channels and bins, where its sound is complex spectra.
    bins: tuple[int, int] | None = None


@dataclass(frozen=True)
class Place:
    """Where a window lies, in frames; within which segment, if it lies within one."""

    start: int
    end: int
    segment: int | None = None
    weight: float = 1.0


def fit_stems(track: Track, sample_rate: int, channels: int | None) -> Float[Tensor, "stem channel frame"]:
    """Stems at a model's rate and number of channels (None keeps the track's); two channels become one by their mean."""
    stems = track.stems
    if channels == 1:
        stems = stems.mean(1, keepdim=True)
    elif channels == 2 and stems.shape[1] == 1:
        stems = stems.expand(-1, 2, -1)
    elif channels not in (None, stems.shape[1]):
        raise InputError(f"the model asks for {channels} channels, but tracks have one or two.")
    return resample(stems.contiguous(), track.sample_rate, sample_rate)


def make_stand_in(
    stems: Float[Tensor, "stem channel frame"],
    names: tuple[str, ...],
    sample_rate: int,
    baseline: AudioBaseline,
    seed: int,
    grid: Grid | None = None,
) -> Float[Tensor, "stem channel frame"] | None:
    """What replaces each stem where it is removed, in the form of the stems themselves; None for silence.

    `grid` is that of the model's front end, where it declares one.
    """
    if isinstance(baseline, Track):
        other = fit_stems(baseline, sample_rate, stems.shape[1])
        return borrow_stems(other, baseline.stem_names, names, stems.shape[-1])
    if baseline == "silence":
        return None
    if baseline == "noise":
        return make_noise(stems, seed)
    asked = spread_baseline(baseline, names)
    parts = [
        _take(other, name, stem, sample_rate)
        if isinstance(other, Track)
        else make_noise(stems, seed)[place]
        if other == "noise"
        else edit_stem(stem, sample_rate, read_edit(other), grid)
        for place, (name, stem, other) in enumerate(zip(names, stems, asked, strict=True))
    ]
    return torch.stack(parts)


def spread_baseline(baseline: str | Mapping[str, str | Track], names: Sequence[str]) -> list[str | Track]:
    """The stand-in of every stem; InputError for a stem that isn't there."""
    if isinstance(baseline, str) and "=" not in baseline:
        return [baseline] * len(names)
    asked = split_stems(baseline) if isinstance(baseline, str) else baseline
    unknown = next((name for name in asked if name not in names), None)
    if unknown is not None:
        raise InputError(
            f"baseline names the stem {unknown!r}{suggest(unknown, names)}, and the song's are {', '.join(names)}: name "
            "these.",
            argument="baseline",
        )
    return [asked.get(name, "silence") for name in names]


def _take(take: Track, name: str, stem: Float[Tensor, "channel frame"], sample_rate: int) -> Float[Tensor, "channel frame"]:
    """Another take's stem: the one of that name, or the only one there is; repeated or cut to length."""
    if name not in take.stem_names and len(take.stem_names) > 1:
        raise InputError(
            f"the take {take.title!r} for the stem {name!r} has only {', '.join(take.stem_names)}: give a track of that "
            "stem alone.",
            argument="baseline",
        )
    place = take.stem_names.index(name) if name in take.stem_names else 0
    other = fit_stems(take, sample_rate, stem.shape[0])[place : place + 1]
    return borrow_stems(other, (name,), (name,), stem.shape[-1])[0]


def describe_fit(track: Track, baseline: AudioBaseline) -> tuple[str, ...]:
    """What was done to other songs and takes to fit the song, for the warnings: repeated, cut, resampled."""
    takes = {"": baseline} if isinstance(baseline, Track) else {} if isinstance(baseline, str) else baseline
    notes = []
    for name, take in takes.items():
        if not isinstance(take, Track):
            continue
        what = f"the take {take.title!r} for {name}" if name else f"the baseline song {take.title!r}"
        done = []
        if abs(take.seconds - track.seconds) > 0.05:
            how = "repeated" if take.seconds < track.seconds else "cut"
            done.append(f"{how} from {take.seconds:.1f} s to the song's {track.seconds:.1f} s")
        if take.sample_rate != track.sample_rate:
            done.append(f"resampled, as its rate is {take.sample_rate} Hz and the song's {track.sample_rate} Hz")
        notes += [f"{what} is {' and '.join(done)}."] if done else []
    return tuple(notes)


def borrow_stems(
    other: Float[Tensor, "other channel other_frame"], names: tuple[str, ...], own_names: tuple[str, ...], frames: int
) -> Float[Tensor, "stem channel frame"]:
    """Another song's stems by name, repeated or cut to length; a stem that it lacks is replaced by silence."""
    repeated = other.repeat(1, 1, -(-frames // other.shape[-1]))[:, :, :frames]
    silence = torch.zeros_like(repeated[0])
    return torch.stack([repeated[names.index(name)] if name in names else silence for name in own_names])


def make_noise(stems: Float[Tensor, "stem channel frame"], seed: int) -> Float[Tensor, "stem channel frame"]:
    """White noise as loud (RMS) as each stem, drawn on the CPU from the seed."""
    generator = torch.Generator().manual_seed(seed)
    level = stems.square().mean((1, 2), keepdim=True).sqrt()
    return torch.randn(stems.shape, generator=generator) * level


def find_changes(
    stems: Float[Tensor, "stem channel frame"], stand_in: Float[Tensor, "stem channel frame"] | None
) -> Bool[Tensor, "stem frame"]:
    """Where switching a stem changes the sound at all."""
    return (stems if stand_in is None else stems != stand_in).any(1)


def find_unheard(
    stems: Float[Tensor, "stem channel frame"],
    stand_in: Float[Tensor, "stem channel frame"] | None,
    components: Components,
    sample_rate: int,
) -> dict[int, str]:
    """Columns whose stem equals its baseline throughout their segment, fades included, with the reason in words."""
    changes = find_changes(stems, stand_in)
    same = "the stem is silent there" if stand_in is None else "the stem equals its baseline there"
    # A gate reaches half a cross-fade beyond its segment; 10 ms on either side cover that at any rate.
    reach = sample_rate // 100
    return {
        stem * components.n_segments + segment: same
        for stem, row in enumerate(changes)
        for segment, (left, right) in enumerate(pairwise(components.borders(sample_rate, stems.shape[-1])))
        if not row[max(left - reach, 0) : right + reach].any()
    }


def gate_stems(
    stems: Float[Tensor, "stem channel frame"],
    baseline: Float[Tensor, "stem channel frame"] | None,
    edges: Sequence[float],
    sample_rate: int,
    max_seconds: float | None,
    changes: Bool[Tensor, "stem frame"] | None = None,
) -> tuple[Window, ...]:
    """Prepare a track for mixing: its windows, on one device; `edges` in seconds, `baseline` None for silence.

    `changes` on the CPU says where switching a stem changes anything; None that it may anywhere.

    A track longer than `max_seconds` gets windows of that length, as `lay_windows` lays them.
    """
    # With gates g in [0, 1] that say how far stem s is on at time t, a variant is
    #     Σ_s g_s(t) x_s(t) + (1 − g_s(t)) b_s(t)  =  Σ_s g_s(t) (x_s(t) − b_s(t))  +  Σ_s b_s(t).
    # The differences are what is gated. The last sum, the floor, is the same in all variants.
    frames = stems.shape[-1]
    borders = find_borders(edges, sample_rate, frames)
    fade = max(round(CROSS_FADE * sample_rate), 1)
    difference = stems if baseline is None else stems - baseline
    floor = None if baseline is None else baseline.sum(0)
    windows = []
    for place in lay_windows(borders, None if max_seconds is None else round(max_seconds * sample_rate), fade):
        start, end = place.start, place.end
        if place.segment is None:
            zones = lay_zones(difference, borders, fade, start, end)
        else:
            # No cut inside, no cross-fade: the neighbours' gates must not leak into the window's first milliseconds.
            zones = (Zone(0, end - start, place.segment, None, difference[:, :, start:end].flatten(1).contiguous()),)
        columns = list_columns(zones, None if changes is None else changes[:, start:end], len(stems), len(borders) - 1)
        part = None if floor is None else floor[:, start:end]
        windows.append(Window(zones, stems.shape[1], end - start, part, columns, place.weight))
    return tuple(windows)


def list_columns(
    zones: Sequence[Zone], changes: Bool[Tensor, "stem frame"] | None, n_stems: int, n_segments: int
) -> tuple[int, ...]:
    """Columns, stem-major, that a window's zones are gated by and whose stem changes anything in one of them."""
    columns = set()
    for zone in zones:
        segments = (zone.segment,) if zone.ramp is None else (zone.segment, zone.segment + 1)
        for stem in range(n_stems):
            if changes is None or changes[stem, zone.start : zone.end].any():
                columns |= {stem * n_segments + segment for segment in segments}
    return tuple(sorted(columns))


def lay_windows(borders: Sequence[int], longest: int | None, slack: int) -> list[Place]:
    """Windows of `longest` frames where they cost least; one window if all frames fit into it.

    A window across a cut contains the stems of both sides: 2^(2 × stems) renderings instead of 2^stems. Where every segment
    is at least a window long, windows therefore lie within segments, evenly spread in each, and a window's weight is its
    segment's length over the number of its windows: each second of the song counts alike. Else they are spread evenly over
    the song. `slack` frames may be missing for a window to fit, or be left out between two: cuts in seconds are rounded.

    >>> [(place.start, place.end, place.segment) for place in lay_windows([0, 10, 25], 10, 0)]
    [(0, 10, 0), (10, 20, 1), (15, 25, 1)]
    >>> [(place.start, place.end, place.segment) for place in lay_windows([0, 8, 25], 10, 0)]
    [(0, 10, None), (8, 18, None), (15, 25, None)]
    """
    frames = borders[-1]
    if longest is None or frames <= longest or any(end - start < longest - slack for start, end in pairwise(borders)):
        return [Place(start, end) for start, end in spread_windows(frames, longest)]
    # A segment of L frames gets n = ⌈L / longest⌉ windows of weight L / n. The song's output, Σ w f / Σ w, is then the mean
    # over its segments' own means, each weighted by its length, as if every window that fits had been run:
    #     Σ_s L_s (1 / n_s) Σ_i f_si / Σ_s L_s.
    # Windows of one segment overlap where L isn't a multiple; those of two segments never do, so that a component is in the
    # windows of its own segment alone.
    places = []
    for segment, (left, right) in enumerate(pairwise(borders)):
        count = max(math.ceil((right - left - slack) / longest), 1)
        for start in _spread(right - left, longest, count):
            first = min(max(left + start, 0), frames - longest)
            places.append(Place(first, first + longest, segment, (right - left) / count))
    return places


def spread_windows(frames: int, longest: int | None) -> list[tuple[int, int]]:
    """Windows of `longest` frames from the first frame to the last, evenly spread; one window if all frames fit into it.

    >>> spread_windows(25, 10)
    [(0, 10), (8, 18), (15, 25)]
    """
    if longest is None or frames <= longest:
        return [(0, frames)]
    return [(start, start + longest) for start in _spread(frames, longest, math.ceil(frames / longest))]


def _spread(frames: int, longest: int, count: int) -> list[int]:
    """Where so many windows begin, from first frame to last; a single one lies in the middle."""
    if count == 1:
        return [(frames - longest) // 2]
    return [round(index * (frames - longest) / (count - 1)) for index in range(count)]


def lay_zones(
    stems: Float[Tensor, "stem channel frame"], borders: list[int], fade: int, start: int, end: int
) -> tuple[Zone, ...]:
    """Flat zones and the fades between them, clipped to a window; half of a fade comes before its border, half after."""
    zones = []
    before, after = fade // 2, fade - fade // 2
    # Sampled in the middle of each frame: a gate that opens and one that closes are then mirror images.
    ramp = (torch.arange(fade, device=stems.device, dtype=stems.dtype) + 0.5) / fade
    last = len(borders) - 2
    for segment, (left, right) in enumerate(pairwise(borders)):
        flat = (left + (after if segment else 0), right - (before if segment < last else 0))
        stretches = [(*flat, None)] + ([(right - before, right + after, ramp)] if segment < last else [])
        for first, final, curve in stretches:
            a, b = max(first, start), min(final, end)
            if a < b:
                # Contiguous copies: a product with a slice of long rows would copy it in every batch.
                piece = stems[:, :, a:b].flatten(1).contiguous()
                zones.append(
                    Zone(a - start, b - start, segment, None if curve is None else curve[a - first : b - first], piece)
                )
    return tuple(zones)


def mix(window: Window, masks: Bool[Tensor, "variant stem segment"]) -> Shaped[Tensor, "variant channel *bin frame"]:
    """Render what the model hears of each variant: one matrix product per zone, memory for the batch only.

    Float sound, or complex spectra where the window has these.
    """
    stems = window.zones[0].stems
    gates = masks.to(stems.dtype)
    mixed = stems.new_empty(masks.shape[0], window.channels, window.frames)
    for zone in window.zones:
        # Gates are constant in a flat zone: Σ_s g_s x_s is (variant, stem) @ (stem, channel · frame). In a fade every gate
        # is (1 − r) g + r g' with the same ramp r, so the two mixes fade into each other, not each stem on its own.
        piece = (gates[:, :, zone.segment] @ zone.stems).unflatten(1, (window.channels, -1))
        if zone.ramp is not None:
            following = (gates[:, :, zone.segment + 1] @ zone.stems).unflatten(1, (window.channels, -1))
            piece = torch.lerp(piece, following, zone.ramp)
        mixed[:, :, zone.start : zone.end] = piece
    mixed = mixed if window.floor is None else mixed + window.floor
    if window.bins is None:
        return mixed
    return torch.view_as_complex(mixed.unflatten(1, (*window.bins, 2)).movedim(3, -1).contiguous())
