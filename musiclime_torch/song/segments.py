"""Musical segments: from beats, bars and sections of the sound, from files of labels, and from the lyrics' headings.

Read are label tracks of Audacity (start, end and label by tabs, or by spaces as in .lab files), layers of Sonic Visualiser
(CSV of instants or regions, with a header or without) and JAMS (Humphrey et al., ISMIR 2014), whose first annotation of
segments or beats counts. Times are seconds in the recording. What lies between labels is a segment without a name.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from musiclime_torch.basics.arguments import LABEL_FILES, Segments, read_segments, split_units
from musiclime_torch.basics.choices import NEURAL, Timeline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.beatnet import BeatNet, load_beatnet
from musiclime_torch.song.beats import METER, Limits, cut_sections, group_beats, track_beats
from musiclime_torch.song.lyrics.lyrics import Lyrics
from musiclime_torch.song.track import Track

#: No more segments of beats than the equal ones that are the default.
TEN = Limits()

#: Characters of a label that are shown.
LONGEST_NAME = 40

#: Seconds that labels may overlap, and that a gap between them may last without being a segment.
SLACK = 0.02


@dataclass(frozen=True)
class Label:
    """A named stretch of the recording in seconds; `end` is None for an instant, which lasts until the next one."""

    start: float
    end: float | None
    name: str


def place_segments(track: Track, segments: Segments, limits: Limits = TEN) -> int | str | list[float] | Timeline:
    """Segments with names for everything that is musical; numbers, lengths and cut points are returned as they are.

    Args:
        track: the song, or its part.
        segments: as `explain` takes them.
        limits: for groups of beats and bars, and for sections: ten segments at most. Labels are taken as they are.

    Raises:
        InputError: a file that isn't one of labels, labels out of order or outside the song, lyrics without times.
    """
    asked = read_segments(segments)
    if isinstance(asked, Timeline) and not _fits(asked, track):
        labels = [Label(*times, name) for name, times in zip(asked.names, pairwise(asked.edges), strict=True)]
        covering = cover(labels, track, asked.source)
        return replace(asked, edges=covering.edges, names=covering.names, notes=covering.notes)
    if not isinstance(asked, str):
        return asked
    units, file = ("", asked) if isinstance(segments, Path) else split_units(asked)
    if not units and not file:
        return asked
    if file == NEURAL and units in ("", "lyrics"):
        raise InputError(f"{NEURAL} finds beats: give beats, bars, 4bars or sections:{NEURAL}.", argument="segments")
    network = load_beatnet() if file == NEURAL else None
    labels = read_labels(file) if file and network is None else []
    if units in ("", "lyrics"):
        labels = labels or list_sections(track.lyrics)
        return cover(labels, track, Path(file).name if file else "the lyrics")
    return _measure(track, units, labels or _list_headings(track.lyrics), limits, network)


def _fits(timeline: Timeline, track: Track) -> bool:
    """Whether it begins and ends with the track, but for rounding."""
    ends = (timeline.edges[0] - track.offset, timeline.edges[-1] - track.offset - track.seconds)
    return all(abs(off) < SLACK for off in ends)


def list_sections(lyrics: Lyrics | None) -> list[Label]:
    """The lyrics' sections, each from its first timed line to the next one's; InputError without times."""
    labels = [] if lyrics is None else _guess_sections(lyrics)
    if not labels:
        lack = "there are no lyrics" if lyrics is None else "the lyrics carry no times"
        raise InputError(
            f"{lack} to take segments from: give an .lrc file with times, or a file of labels.", argument="segments"
        )
    return labels


def _guess_sections(lyrics: Lyrics | None) -> list[Label]:
    labels: list[Label] = []
    for section in () if lyrics is None else lyrics.sections:
        times = [line.start_seconds for line in lyrics.lines if section.start <= line.start < section.end] if lyrics else []
        start = next((time for time in times if time is not None), None)
        # Lines that are sung again come back at their own times: only what goes forward is a section's beginning.
        if start is not None and (not labels or start > labels[-1].start + SLACK):
            labels.append(Label(start, None, section.name))
    return labels


def _list_headings(lyrics: Lyrics | None) -> list[Label]:
    """Sections with their headings; those that a blank line opened have no name."""
    labels = _guess_sections(lyrics)
    return [replace(label, name="" if re.fullmatch(r"section \d+", label.name) else label.name) for label in labels]


def read_labels(path: str | Path) -> list[Label]:
    """Labels from a file, in its order, which must be that of time; InputError in one sentence for anything else."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else "it isn't UTF-8 text"
        raise InputError(f"the labels {str(path)!r} can't be read: {reason}.", argument="segments") from error
    if file.suffix.lower() not in LABEL_FILES:
        raise InputError(f"the ending of {file.name!r} isn't known: use {', '.join(LABEL_FILES)}.", argument="segments")
    read = {".csv": _read_csv, ".jams": _read_jams, ".json": _read_jams}.get(file.suffix.lower(), _read_columns)
    try:
        labels = list(read(text))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise InputError(f"{file.name!r} isn't a file of labels ({error}).", argument="segments") from error
    if not labels:
        raise InputError(f"{file.name!r} holds no labels: give each segment a line.", argument="segments")
    _check_order(labels, file.name)
    return labels


def _read_columns(text: str) -> Iterable[Label]:
    for row in text.splitlines():
        # Lines that begin with a backslash are the frequencies of a spectral selection.
        if row.strip() and not row.startswith("\\"):
            parts = row.split("\t", 2) if "\t" in row else row.split(None, 2)
            yield _make_label(parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else "")


def _make_label(start: str, end: str, name: str) -> Label:
    begun = float(start)
    done = float(end) if end.strip() else None
    # An instant is written as a stretch without length.
    return Label(begun, None if done == begun else done, _clean(name))


def _clean(name: str) -> str:
    """A label on one line, without marks that no reader sees, and not much longer than a cell."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1].rstrip() + "…"


def _read_csv(text: str) -> Iterable[Label]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(map(str.strip, row))]
    names = [cell.casefold() for cell in rows[0]] if rows and not _is_number(rows[0][0]) else []
    for row in rows[1:] if names else rows:
        cells = dict(zip(names, row, strict=False)) if names else _name_cells(row)
        start = cells.get("time", cells.get("start", ""))
        length = cells.get("duration", "")
        end = str(float(start) + float(length)) if length else cells.get("end", "")
        yield _make_label(start, end, cells.get("label", ""))


def _name_cells(row: list[str]) -> dict[str, str]:
    """Cells of a layer without a header: instants are time and label, regions time, value, duration and label."""
    if len(row) >= 3 and _is_number(row[2]):
        return dict(zip(("time", "value", "duration", "label"), row, strict=False))
    return {"time": row[0], "label": row[-1] if len(row) > 1 else ""}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_jams(text: str) -> Iterable[Label]:
    annotations = json.loads(text)["annotations"]
    known = [entry for entry in annotations if str(entry["namespace"]).startswith(("segment", "beat"))]
    # Beats are the finer ones: they count where there are no segments.
    known.sort(key=lambda entry: str(entry["namespace"]).startswith("beat"))
    if not known:
        names = ", ".join(str(entry["namespace"]) for entry in annotations) or "nothing"
        raise ValueError(f"it annotates {names}, and neither segments nor beats")
    data = known[0]["data"]
    rows: list[Any] = (
        [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)] if isinstance(data, dict) else data
    )
    for row in rows:
        start, length, value = float(row["time"]), float(row["duration"]), row.get("value")
        yield Label(start, start + length if length else None, "" if value is None else _clean(str(value)))


def _check_order(labels: Sequence[Label], name: str) -> None:
    for label in labels:
        end = label.start if label.end is None else label.end
        if not (math.isfinite(label.start) and math.isfinite(end) and 0 <= label.start <= end):
            raise InputError(
                f"the label {label.name!r} in {name!r} goes from {label.start:g} to {end:g} s: times must be 0 or more, and "
                "rise.",
                argument="segments",
            )
    for before, after in pairwise(labels):
        end = before.start if before.end is None else before.end
        if after.start <= before.start or after.start < end - SLACK:
            how = "is out of order after" if after.start <= before.start else "overlaps with"
            raise InputError(
                f"the label {after.name!r} at {after.start:g} s in {name!r} {how} {before.name!r} "
                f"({before.start:g} to {end:g} s): cut points must rise, and segments mustn't overlap.",
                argument="segments",
            )


def cover(labels: Sequence[Label], track: Track, source: str) -> Timeline:
    """Labels as segments that cover the track: what lies between them has no name, what lies outside is cut and told."""
    first, last = track.offset, track.offset + track.seconds
    ends = [*(label.start for label in labels[1:]), last]
    stretches = [
        (label.start, following if label.end is None or abs(following - label.end) < SLACK else label.end, label.name)
        for label, following in zip(labels, ends, strict=True)
    ]
    inside = [(max(a, first), min(b, last), name) for a, b, name in stretches if min(b, last) - max(a, first) >= SLACK]
    if not inside:
        raise InputError(
            f"{source} has no label between {first:g} and {last:g} s, where the song is: give labels of this song.",
            argument="segments",
        )
    notes = []
    if len(inside) < len(stretches):
        notes.append(
            f"{len(stretches) - len(inside)} of {len(stretches)} labels of {source} lie outside {first:g} to {last:g} s, or "
            f"are shorter than {1000 * SLACK:g} ms, and were left out."
        )
    late = [
        name
        for label, (_, end, name) in zip(labels, stretches, strict=True)
        if label.end and label.start < last < end - SLACK
    ]
    if late:
        notes.append(f"the label {late[-1]!r} of {source} goes on after the end at {last:g} s and was cut there.")
    edges, names = [first], []
    for start, end, name in inside:
        if start - edges[-1] >= SLACK:
            edges.append(start)
            names.append("")
        edges.append(end)
        names.append(name)
    if last - edges[-1] >= SLACK:
        edges.append(last)
        names.append("")
    edges[-1] = last
    return Timeline(tuple(edges), _number(names), source, notes=tuple(notes))


def _number(names: Sequence[str]) -> tuple[str, ...]:
    """Names with their counts where they occur again: chorus (1), chorus (2)."""
    return tuple(
        f"{name} ({names[: place + 1].count(name)})" if name and names.count(name) > 1 else name
        for place, name in enumerate(names)
    )


def _measure(track: Track, units: str, labels: Sequence[Label], limits: Limits, network: BeatNet | None = None) -> Timeline:
    """Segments of beats, bars or sections, named after them and after the labels that they lie in."""
    song = track.stems.sum(0)
    beats = track_beats(song, track.sample_rate, network)
    first, last = track.offset, track.offset + track.seconds
    if beats is None:
        most = limits.most
        equal = (first + track.seconds * place / most for place in range(most))
        note = f"no beat was found, so that there are no {units}: the song was cut into {most} equal segments."
        return Timeline((*equal, last), ("",) * most, units, notes=(note,))
    if units == "sections":
        groups = cut_sections(beats, song, track.sample_rate, limits)
    else:
        groups = group_beats(beats, units, limits, track.seconds)
    shifted = [first, *(round(edge + first, 4) for edge in groups.edges[1:-1]), last]
    named = [_append(name, (a + b) / 2, labels) for name, (a, b) in zip(groups.names, pairwise(shifted), strict=True)]
    by = "" if network is None else " by BeatNet"
    told = (
        f"the tempo is {beats.tempo:g} beats a minute{by}; bars of {METER} beats are assumed{_say_start(first)}.",
        *groups.notes,
    )
    source = units if network is None else f"{units}:{NEURAL}"
    timeline = Timeline(tuple(shifted), tuple(named), source, tempo=beats.tempo, notes=told)
    times, bars = (
        [round(time + first, 4) for time in some if 0 <= time < track.seconds] for some in (beats.times, beats.bars)
    )
    return replace(timeline, beats=tuple(times), bars=tuple(bars))


def _say_start(first: float) -> str:
    return f", and counted from {first:g} s" if first else ""


def _append(name: str, middle: float, labels: Sequence[Label]) -> str:
    """The name, and that of the label which the middle lies in."""
    ends = [*(label.start for label in labels[1:]), math.inf]
    inside = [
        label.name
        for label, following in zip(labels, ends, strict=False)
        if label.start <= middle < (following if label.end is None else label.end)
    ]
    return ", ".join(part for part in (name, *inside[:1]) if part)
