"""An explanation as rows of Parquet: one per class and component, one per song, one per significant pair."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import torch
from pyarrow import parquet

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.corpus.runs.controls import Control
from musiclime_torch.corpus.runs.shards import HASH_KEY
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.manifest import Entry
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Component

_NAME = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
_TEXTS = pyarrow.list_(pyarrow.string())
_NUMBERS = pyarrow.list_(pyarrow.float64())

#: `position` counts a stem's segments from 0; `start` and `end` are seconds; `line` counts from 1; `text` is given for
#: lines and sections. In `controls`, `position` is a segment's place in the control and `origin` its place in the song.
#: `proxy_gain` is how many times lower a proxy made squared errors. `seed` is the song's own: `explain` gives the same
#: numbers with it.
SCHEMAS = {
    "attributions": pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("class", _NAME),
            ("predicted", pyarrow.bool_()),
            ("attribution", pyarrow.float64()),
            ("standard_error", pyarrow.float64()),
            ("significant", pyarrow.bool_()),
            ("unseen", pyarrow.bool_()),
            ("kind", _NAME),
            ("stem", _NAME),
            ("position", pyarrow.int32()),
            ("start", pyarrow.float64()),
            ("end", pyarrow.float64()),
            ("word", pyarrow.string()),
            ("line", pyarrow.int32()),
            ("text", pyarrow.string()),
        ]
    ),
    "interactions": pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("class", _NAME),
            ("stem", _NAME),
            ("position", pyarrow.int32()),
            ("word", pyarrow.string()),
            ("line", pyarrow.int32()),
            ("interaction", pyarrow.float64()),
            ("standard_error", pyarrow.float64()),
        ]
    ),
    "controls": pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("class", _NAME),
            ("decoy", pyarrow.bool_()),
            ("kind", _NAME),
            ("stem", _NAME),
            ("position", pyarrow.int32()),
            ("origin", pyarrow.int32()),
            ("word", pyarrow.string()),
            ("attribution", pyarrow.float64()),
            ("standard_error", pyarrow.float64()),
        ]
    ),
    "failures": pyarrow.schema([("id", pyarrow.string()), ("place", pyarrow.string()), ("reason", pyarrow.string())]),
    "songs": pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("labels", _TEXTS),
            ("title", pyarrow.string()),
            ("predicted", pyarrow.string()),
            ("classes", _TEXTS),
            ("outputs", _NUMBERS),
            ("outputs_empty", _NUMBERS),
            ("fidelity", _NUMBERS),
            ("value", pyarrow.string()),
            ("space", pyarrow.string()),
            ("components", pyarrow.int32()),
            ("unseen", pyarrow.int32()),
            ("sound_seconds", pyarrow.float64()),
            ("seconds", pyarrow.float64()),
            ("seed", pyarrow.int64()),
            ("audio_passes", pyarrow.int64()),
            ("lyrics_passes", pyarrow.int64()),
            ("proxy_gain", pyarrow.float64()),
            ("audio_hash", pyarrow.string()),
            ("lyrics_hash", pyarrow.string()),
            ("model_hash", pyarrow.string()),
            ("warnings", _TEXTS),
            ("file", pyarrow.string()),
            ("lyrics_file", pyarrow.string()),
            ("start", pyarrow.float64()),
            ("end", pyarrow.float64()),
            ("model", pyarrow.string()),
            ("version", pyarrow.string()),
            ("command", pyarrow.string()),
        ]
    ),
}

#: The most pairs kept per song and class: significant ones, largest first.
MOST_PAIRS = 50


@dataclass
class Rows:
    """Rows by table, in the order they were added."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in SCHEMAS})

    def add(self, entry: Entry, track: Track, explanation: Explanation, asked: Sequence[int], seconds: float) -> None:
        """A song's rows, for the classes in `asked`; `seconds` is what explaining it took."""
        predicted = int(explanation.output_song.argmax())
        for row in asked:
            self.tables["attributions"] += _list_components(entry.id, track, explanation, row, row == predicted)
            self.tables["interactions"] += _list_pairs(entry.id, explanation, row)
        self.tables["songs"].append(_describe_song(entry, track, explanation, predicted, seconds))

    def add_control(self, entry: Entry, explanation: Explanation, control: Control) -> None:
        """A song explained as its own control, for the explanation's target."""
        self.tables["controls"] += _list_control(entry.id, explanation, control)

    def extend(self, other: "Rows") -> None:
        """Another song's rows after these."""
        for name, rows in other.tables.items():
            self.tables[name] += rows

    def fail(self, entry: Entry, reason: str) -> None:
        """A song that couldn't be explained."""
        self.tables["failures"].append({"id": entry.id, "place": entry.place, "reason": reason})


def write_table(rows: Sequence[dict[str, Any]], name: str, path: Path, settings_hash: str) -> None:
    """Write one table of one shard atomically. InputError where the disk is full or can't be written to."""
    schema = SCHEMAS[name].with_metadata({HASH_KEY: settings_hash.encode()})
    with changing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_atomically(path) as partial, partial.open("wb") as file:
            parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Inside, a file of a run that can't be written or removed raises an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{str(path)!r} can't be written ({error.strerror or error}): make room and resume the run; what is done stays."
        ) from error


def _list_components(song: str, track: Track, explanation: Explanation, row: int, predicted: bool) -> list[dict[str, Any]]:
    significant = explanation.significant[row].tolist()
    values, errors = explanation.attributions[row].tolist(), explanation.standard_errors[row].tolist()
    segments = max(explanation.components.n_segments, 1)
    return [
        {
            "id": song,
            "class": explanation.classes[row],
            "predicted": predicted,
            "attribution": values[column],
            "standard_error": errors[column],
            "significant": significant[column],
            "unseen": column in explanation.unseen,
            "kind": item.kind,
            "stem": item.stem,
            "position": column % segments if item.kind == "audio" else None,
            "start": item.start,
            "end": item.end,
            "word": item.word,
            "line": item.line,
            "text": _quote(track, item),
        }
        for column, item in enumerate(explanation.components.items)
    ]


def _quote(track: Track, item: Component) -> str | None:
    if track.lyrics is None or item.kind == "audio" or item.word is not None:
        return None
    return " ".join(track.lyrics.text[start:end] for start, end in item.spans)


def _list_control(song: str, explanation: Explanation, control: Control) -> list[dict[str, Any]]:
    components, row = explanation.components, explanation.target
    values, errors = explanation.attributions[row].tolist(), explanation.standard_errors[row].tolist()
    segments = max(components.n_segments, 1)
    rows = []
    for column, item in enumerate(components.items):
        if column not in explanation.unseen:
            is_audio = item.kind == "audio"
            rows.append(
                {
                    "id": song,
                    "class": explanation.classes[row],
                    "decoy": control.is_decoy(components, column),
                    "kind": item.kind,
                    "stem": item.stem,
                    "position": column % segments if is_audio else None,
                    "origin": (column + control.shift) % segments if is_audio else None,
                    "word": item.word,
                    "attribution": values[column],
                    "standard_error": errors[column],
                }
            )
    return rows


def _list_pairs(song: str, explanation: Explanation, row: int) -> list[dict[str, Any]]:
    interactions = explanation.interactions
    if interactions is None or not interactions.covers(row):
        return []
    scale, place = interactions.find_space(None), interactions.find_row(row)
    values, errors = interactions.values[scale, place], interactions.standard_errors[scale, place]
    items = explanation.components.items
    # Joint masks also give pairs of two words and of two stems, which are left out.
    mixed = torch.tensor([(items[a].kind, items[b].kind) == ("audio", "lyrics") for a, b in interactions.columns.tolist()])
    order = values.abs().argsort(descending=True, stable=True)
    kept = order[(interactions.significant[scale, place] & mixed.bool())[order]][:MOST_PAIRS].tolist()
    segments = max(explanation.components.n_segments, 1)
    rows = []
    for pair in kept:
        sound, words = interactions.columns[pair].tolist()
        rows.append(
            {
                "id": song,
                "class": explanation.classes[row],
                "stem": items[sound].stem,
                "position": sound % segments,
                "word": items[words].word,
                "line": items[words].line,
                "interaction": float(values[pair]),
                "standard_error": float(errors[pair]),
            }
        )
    return rows


def _tell_gain(explanation: Explanation, predicted: int) -> float | None:
    """How many times lower a proxy made squared errors, of the predicted class; None where none was asked."""
    gains = explanation.provenance.get("proxy", {}).get("gain")
    return None if gains is None else float(gains[predicted])


def _describe_song(entry: Entry, track: Track, explanation: Explanation, predicted: int, seconds: float) -> dict[str, Any]:
    origin = explanation.provenance
    return {
        "id": entry.id,
        "labels": list(entry.labels),
        "title": origin["title"],
        "predicted": explanation.classes[predicted],
        "classes": list(explanation.classes),
        "outputs": explanation.output_song.tolist(),
        "outputs_empty": explanation.output_empty.tolist(),
        "fidelity": explanation.fidelity.tolist(),
        "value": explanation.value,
        "space": explanation.space,
        "components": len(explanation.components),
        "unseen": len(explanation.unseen),
        "sound_seconds": track.seconds,
        "seconds": seconds,
        "seed": origin["settings"]["seed"],
        "audio_passes": explanation.audio_passes,
        "lyrics_passes": explanation.lyrics_passes,
        "proxy_gain": _tell_gain(explanation, predicted),
        "audio_hash": origin["audio_hash"],
        "lyrics_hash": origin["lyrics_hash"],
        "model_hash": origin["model_hash"],
        "warnings": list(explanation.warnings),
        **{name: origin[name] for name in ("file", "lyrics_file", "start", "end", "model")},
        "version": origin["versions"]["musiclime_torch"],
        "command": origin.get("command", ""),
    }
