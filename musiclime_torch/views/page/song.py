"""The page of one song: its picture, its words, its numbers for every class, what to listen to, and how far to trust it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from markupsafe import Markup

from musiclime_torch.basics.files import write_atomically
from musiclime_torch.explanation.answers import recall_track
from musiclime_torch.explanation.explanation import SUMMING, Explanation
from musiclime_torch.explanation.sentences import REMOVED, say_changed, say_edit, say_end, say_percent, tell_kinds
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.sound import AudioBaseline
from musiclime_torch.views.page.document import SheetLine, isolate, lay_out_lyrics, lay_out_question, render
from musiclime_torch.views.page.mixes import Version, make_versions
from musiclime_torch.views.page.origins import list_checks, list_origins, list_settings, list_unseen
from musiclime_torch.views.page.packing import pack_classes, round_to, tell
from musiclime_torch.views.page.sound import (
    EMBED_SECONDS,
    SONG_STEPS,
    STEM_STEPS,
    draw_outline,
    embed_sound,
    encode_sound,
    lay_beside,
    match_loudness,
    measure_peaks,
)

#: Beats that are drawn at most: more would be a grey band.
MOST_BEATS = 400

#: (name, file ending, bytes) of a sound -> its address in the page.
Placing = Callable[[str, str, bytes], str]

#: By version: gain in dB, and what `encode_sound` will have given.
Encoding = dict[str, tuple[float, Future[tuple[str, bytes]]]]


def to_html(explanation: Explanation, track: Track, *, baseline: AudioBaseline | None = None) -> str:
    """A page that needs no other file, sound included: megabytes for a long song, where `write_report` writes separate
    files.

    Args:
        explanation: made with ``evidence=True``, if the evidence is to be shown and played.
        track: the track that was explained.
        baseline: the track whose stems replaced removed ones, if one was used.

    Raises:
        InputError: the track isn't the one that was explained, or its baseline is missing.
    """
    return _compose(explanation, track, baseline, lambda name, ending, data: embed_sound(ending, data), "data:")


def write_report(explanation: Explanation, track: Track, folder: Path, *, baseline: AudioBaseline | None = None) -> Path:
    """Write index.html, and for songs over `EMBED_SECONDS` the sound as audio/* next to it; returns the page's path."""
    if track.seconds <= EMBED_SECONDS:
        text = to_html(explanation, track, baseline=baseline)
    else:

        def place(name: str, ending: str, data: bytes) -> str:
            return lay_beside(name, ending, data, folder)

        # A page opened as a file has no origin, so 'self' matches nothing there: file: is needed too.
        text = _compose(explanation, track, baseline, place, "'self' file:")
    write_atomically(text.encode(), folder / "index.html", "out")
    return folder / "index.html"


def _compose(explanation: Explanation, track: Track, baseline: AudioBaseline | None, place: Placing, media: str) -> str:
    track = recall_track(explanation.provenance, track)
    versions = make_versions(explanation, track, baseline)
    # Encoders run outside Python's lock: while the rest is made, and as many sounds at a time as there are cores.
    with ThreadPoolExecutor() as pool:
        return _fill(explanation, track, versions, _encode(versions, track.sample_rate, pool), place, media)


def _encode(versions: list[Version], sample_rate: int, pool: ThreadPoolExecutor) -> Encoding:
    """Begin to encode; loudness is matched over all versions: a quieter mix would seem to lack more than it does."""
    sounds = {version.name: version.sound for version in versions if version.sound is not None}
    gains = match_loudness(list(sounds.values()), sample_rate)
    return {
        name: (gain, pool.submit(encode_sound, sound, sample_rate, gain))
        for (name, sound), gain in zip(sounds.items(), gains, strict=True)
    }


def _fill(
    explanation: Explanation, track: Track, versions: list[Version], encoding: Encoding, place: Placing, media: str
) -> str:
    packed = pack_classes(explanation)
    lines = () if track.lyrics is None else lay_out_lyrics(track.lyrics, explanation.components)
    data = {
        "classes": packed.classes,
        "columns": [item.name for item in explanation.components.items],
        "unseen": {str(column): reason for column, reason in explanation.unseen.items()},
        "cells": explanation.components.n_audio,
        "offset": track.offset,
        "seconds": track.seconds,
        "space": explanation.space,
        "value": explanation.value,
        "confidence": f"{100 * explanation.confidence:g}%",
        "exact": explanation.value == SUMMING,
        "end": say_end(explanation),
        "edited": say_end(explanation) != REMOVED,
        "sought": any(version.name != "song" for version in versions),
        "pairSpace": None if explanation.interactions is None else explanation.interactions.default_space,
        "pairCount": 0 if explanation.interactions is None else len(explanation.interactions.columns),
    }
    # Everything in `values` is plain data: the template escapes what came from outside, and no script is made of it.
    values = {
        "title": explanation.provenance.get("title") or "untitled song",
        "model": explanation.provenance.get("model", ""),
        "target": explanation.classes[explanation.target],
        "asked": explanation.provenance.get("asked", ""),
        "sentences": tell(explanation, explanation.target),
        "kinds": tell_kinds(explanation),
        "decision": "" if explanation.evidence is None else isolate(explanation.evidence.decision, explanation.classes),
        "chance": packed.classes[0]["chance"] if explanation.space != "probability" else "",
        "data": data,
        "picture": _draw(explanation, track, versions[0]),
        "lines": [_describe_line(line) for line in lines],
        "question": [_describe_line(line) for line in lay_out_question(explanation, track)],
        "timed": any(line.start_seconds is not None for line in lines),
        "reads": explanation.components.n_audio < len(explanation.components),
        "versions": _describe_versions(explanation, track, versions, encoding, place),
        "matched": len(encoding) > 1,
        "evidence": None if explanation.evidence is None else asdict(explanation.evidence),
        "edited": say_end(explanation) != REMOVED,
        "otherwise": say_end(explanation, "else"),
        "checks": list_checks(explanation),
        "settings": list_settings(explanation),
        "origins": list_origins(explanation),
        "unseen": list_unseen(explanation),
        "warnings": list(explanation.warnings),
        "shown": packed.shown,
        "total": packed.total,
        "plain": Markup(explanation._repr_html_()),
    }
    return render("song.html.j2", ("figures.js", "song.js", "playing.js"), media, values)


def _draw(explanation: Explanation, track: Track, song: Version) -> dict[str, Any]:
    """Outlines of the song and its stems, and the segments' positions in percent of the song."""
    peaks = measure_peaks(track.stems.sum(0) if song.sound is None else song.sound, SONG_STEPS)
    components, seconds = explanation.components, track.seconds
    edges = [round(100 * edge / seconds, 3) for edge in components.edges]
    outlines = [measure_peaks(stem, STEM_STEPS) for stem in track.stems] if edges else []
    # Not scaled by the largest peak: a single click would make all else look silent.
    loudest = max([float(outline.quantile(0.98)) for outline in outlines], default=0.0)
    return {
        **_mark_music(components, track),
        "song": draw_outline(peaks, float(peaks.max()), mirrored=True),
        "edges": edges,
        "stems": [
            {"name": name, "outline": draw_outline(outline, loudest, mirrored=False)}
            for name, outline in zip(track.stem_names, outlines, strict=False)
        ],
        "ticks": _mark_time(track.offset, seconds),
    }


def _mark_music(components: Components, track: Track) -> dict[str, Any]:
    """Places of beats and bars in percent of the song, the tempo, and the segments' names with their places and widths."""
    timeline = components.timeline
    if timeline is None:
        return {"beats": [], "bars": [], "tempo": "", "names": []}
    places = [
        [round(100 * (time - track.offset) / track.seconds, 3) for time in some] for some in (timeline.beats, timeline.bars)
    ]
    edges = [100 * edge / track.seconds for edge in components.edges]
    stretches = zip(timeline.names, pairwise(edges), strict=True)
    return {
        "beats": places[0] if len(places[0]) <= MOST_BEATS else [],
        "bars": places[1],
        "tempo": "" if timeline.tempo is None else f"{timeline.tempo:.0f} BPM",
        "names": [(name, round(first, 3), round(last - first, 3)) for name, (first, last) in stretches if name],
    }


def _mark_time(offset: float, seconds: float) -> list[tuple[float, str]]:
    """At most nine round times, (percent, clock)."""
    # The smallest round step that leaves eight intervals at most; a day-long song gets its first mark alone.
    step = next(step for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 10**9) if seconds / step <= 8)
    first = -(-offset // step) * step
    times = [first + step * number for number in range(9) if first + step * number <= offset + seconds]
    shown = [(100 * (time - offset) / seconds, time) for time in times]
    return [(round(place, 3), f"{int(time // 60)}:{int(time % 60):02d}") for place, time in shown if place <= 97]


def _describe_line(line: SheetLine) -> dict[str, Any]:
    pieces = [(piece.text, piece.column, piece.start_seconds) for piece in line.pieces]
    return {"pieces": pieces, "start": line.start_seconds, "opens": line.opens}


def _describe_versions(
    explanation: Explanation, track: Track, versions: list[Version], encoding: Encoding, place: Placing
) -> dict[str, Any]:
    """By name: sound, gain, the model's output, the components' names and the remaining lyrics."""
    evidence = explanation.evidence
    columns = {} if evidence is None else {"keeping": evidence.keeping, "flipping": evidence.flipping}
    if evidence is not None and evidence.edit is not None:
        columns["edited"] = evidence.edit.columns
    described: dict[str, Any] = {"keeping": None, "flipping": None, "edited": None}
    for version in versions:
        gain, encoded = encoding.get(version.name, (0.0, None))
        address = None if encoded is None else place(version.name, *encoded.result())
        named = columns.get(version.name) or ()
        described[version.name] = {
            "address": address,
            "hears": "" if address else _say_unheard(explanation, version),
            "gain": round(gain, 1),
            "output": round_to(version.output, 3),
            "chance": "" if version.chance is None or explanation.space == "probability" else say_percent(version.chance),
            "columns": [(column, explanation.components.items[column].name) for column in named],
            "heading": _name_changed(explanation, version.name, named),
            "lyrics": _list_left(explanation, track, version),
        }
    return described


def _name_changed(explanation: Explanation, name: str, columns: tuple[int, ...]) -> str:
    """The song without these, or with these changed: by name where it is one, else the page lists them."""
    if name == "edited":
        said = say_edit(explanation)
        return f"{said[:1].upper()}{said[1:]}"
    if len(columns) == 1:
        return f"The song {say_changed(explanation, columns)}"
    if say_end(explanation) == REMOVED:
        return f"The song without these {len(columns)} parts"
    return f"The song with these {len(columns)} parts changed"


def _say_unheard(explanation: Explanation, version: Version) -> str:
    """Why the version has no sound of its own."""
    cells = version.kept[: explanation.components.n_audio]
    if not len(cells):
        return ""
    return "Its sound is the song’s, unchanged." if bool(cells.all()) else "There is no sound in it."


def _list_left(explanation: Explanation, track: Track, version: Version) -> list[list[tuple[str, bool]]]:
    """Lines of (text, kept) where the version takes words away; nothing where it doesn't."""
    read = version.kept[explanation.components.n_audio :]
    if track.lyrics is None or bool(read.all()):
        return []
    lines, swaps = [], explanation.provenance.get("swaps", {})
    for line in lay_out_lyrics(track.lyrics, explanation.components):
        runs: list[tuple[str, bool]] = []
        for piece in line.pieces:
            kept = piece.column is None or bool(version.kept[piece.column])
            # What lies between two removed words goes with them: one run is less to read, and to send.
            if runs and (runs[-1][1] == kept or (piece.column is None and not piece.text.strip())):
                runs[-1] = (runs[-1][0] + piece.text, runs[-1][1])
            else:
                runs.append((piece.text, kept))
            if not kept and str(piece.column) in swaps:
                runs.append((f" {swaps[str(piece.column)]}", True))
        lines.append(runs)
    return lines
