"""Manifests: the songs of a catalogue or of a data set, one row each, as CSV, TSV, JSON lines or Parquet; or a folder.

Columns: `id`, `audio` (or `audio_path`), `lyrics` (text or a file; `lyrics_path` is always a file), `stems`, `label` and
`split`; only `id` must be there. Several labels are a list, or one cell with semicolons between them. Paths are relative to
the manifest. Other columns are left alone.
"""

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from os.path import exists, isdir, isfile  # pathlib's raise for folders without permission
from pathlib import Path
from typing import Any, TextIO

from musiclime_torch.basics.errors import InputError, needing

#: What splits are called elsewhere.
_SPLITS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid"}
_SPLITS |= {"test": "test", "testing": "test", "eval": "test", "evaluation": "test"}

#: A cell of one line with such an ending names a file, even if there is none.
_LYRIC_FILES = (".txt", ".lrc", ".srt", ".vtt", ".ass", ".ssa")

#: Suffixes of sound files.
SOUND_FILES = (
    *(".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".caf", ".w64", ".au"),
    *(".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka"),
)

#: Names of the stems that separators write: a folder of them is one song.
FOUR_STEMS = ("drums", "bass", "other", "vocals")

#: How the rows of a manifest are read, by its suffix.
_TABLES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet", ".pq": "parquet"}

_COLUMNS = ("id", "audio", "audio_path", "lyrics", "lyrics_path", "stems", "label", "labels", "split")


@dataclass(frozen=True)
class Entry:
    """One song. `lyrics` are a text, or the path of a file; `place` is its place in the manifest, in words."""

    id: str
    audio: Path | None = None
    lyrics: str | Path | None = None
    stems: Path | None = None
    labels: tuple[str, ...] = ()
    split: str = ""
    place: str = ""


@dataclass(frozen=True)
class BadEntry:
    """An entry that can't be used, and why."""

    entry: Entry
    reason: str

    def __str__(self) -> str:
        return f"{self.entry.place} ({self.entry.id}): {self.reason}"


def read_manifest(path: str | Path) -> tuple[Entry, ...]:
    """All rows, in their order.

    Raises:
        InputError: no such file, not a table, no `id` column, an id that is empty or given twice, no rows.
    """
    path = Path(path)
    if not isfile(path):
        raise InputError(f"there is no manifest {str(path)!r}: give a .csv, .tsv, .jsonl or .parquet file.")
    entries = tuple(_read_entry(cells, path, place) for place, cells in _read_rows(path))
    if not entries:
        raise InputError(f"the manifest {str(path)!r} has no rows: give one row a song.")
    check_ids(entries, path.name)
    return entries


def read_folder(folder: str | Path) -> tuple[Entry, ...]:
    """The songs in a folder and in the folders within it, in the order of their names.

    An id is the song's path in the folder, without the suffix where that is unique. Lyrics are the file of the song's name
    with a suffix of lyrics beside it: timed ones (.lrc, .srt) before plain text. A folder of stems, by their usual names, is
    one song. Hidden files are left out. InputError for a folder without a song.
    """
    folder = Path(folder)
    files = [
        path for path in sorted(folder.rglob("*")) if not any(p.startswith(".") for p in path.relative_to(folder).parts)
    ]
    sounds = [path for path in files if path.suffix.lower() in SOUND_FILES and isfile(path)]
    beside: dict[Path, set[str]] = {}
    for sound in sounds:
        beside.setdefault(sound.parent, set()).add(sound.stem.lower())
    separated = {parent for parent, names in beside.items() if parent != folder and len(names.intersection(FOUR_STEMS)) > 1}
    songs = sorted({sound.parent if sound.parent in separated else sound for sound in sounds})
    if not songs:
        raise InputError(f"there are no sound files in {str(folder)!r}: give a folder of songs, or a manifest.")
    bare = [song.relative_to(folder).with_suffix("") if isfile(song) else song.relative_to(folder) for song in songs]
    shared = {name for name, count in Counter(bare).items() if count > 1}
    return tuple(
        Entry(
            id=(song.relative_to(folder) if name in shared else name).as_posix(),
            audio=song,
            lyrics=_find_lyrics(song),
            place=str(song.relative_to(folder)),
        )
        for song, name in zip(songs, bare, strict=True)
    )


def _find_lyrics(song: Path) -> Path | None:
    """The lyrics beside a song, timed ones first."""
    order = (*(suffix for suffix in _LYRIC_FILES if suffix != ".txt"), ".txt")
    stem = song.name if isdir(song) else song.stem
    return next((path for suffix in order if isfile(path := song.parent / f"{stem}{suffix}")), None)


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest, by its suffix; any other is taken for a song."""
    return path.suffix.lower() in _TABLES


def check_ids(entries: Sequence[Entry], source: str) -> None:
    """InputError for an id that isn't text, or that is given twice."""
    seen: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        place = entry.place or f"song {number}"
        if entry.id in seen:
            raise InputError(f"{source}, {place}: the id {entry.id!r} is that of {seen[entry.id]} too: make ids unique.")
        seen[entry.id] = place
        try:
            entry.id.encode()
        except UnicodeEncodeError:
            raise InputError(f"{source}, {place}: the id {entry.id!r} holds half a character: write it again.") from None


def find_bad(entries: Sequence[Entry], needs: Sequence[str]) -> tuple[BadEntry, ...]:
    """Entries whose files aren't there, or can't be opened as what they should be; `needs` of "audio", "lyrics", "label"."""
    faults = ((entry, _find_fault(entry, needs)) for entry in entries)
    return tuple(BadEntry(entry, reason) for entry, reason in faults if reason is not None)


def leave_out(entries: Sequence[Entry], bad: Sequence[BadEntry], skip: bool) -> tuple[Entry, ...]:
    """The entries without the bad ones where `skip` allows it, else an InputError that lists the first of them."""
    if bad and not skip:
        shown = "; ".join(map(str, bad[:3])) + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")
        raise InputError(
            f"{len(bad)} of {len(entries)} songs can't be used: {shown}. Correct the manifest, or set skip_bad to leave "
            f"these songs out.",
            argument="skip_bad",
        )
    gone = {one.entry.id for one in bad}
    kept = tuple(entry for entry in entries if entry.id not in gone)
    if not kept:
        raise InputError(f"none of the {len(entries)} songs can be used: {bad[0]}.")
    return kept


def _find_fault(entry: Entry, needs: Sequence[str]) -> str | None:
    from musiclime_torch.song.audio.decoding import open_audio

    for need, value in (("audio", entry.audio or entry.stems), ("lyrics", entry.lyrics), ("label", entry.labels)):
        if need in needs and not value:
            return f"it has no {need}"
    for path in (entry.audio, entry.stems, entry.lyrics if isinstance(entry.lyrics, Path) else None):
        if path is not None and not exists(path):
            return f"there is no {str(path)!r}"
    if entry.audio is not None:
        try:
            with open_audio(entry.audio):
                return None
        except InputError as error:
            return str(error).rstrip(".")
    return None


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    form = _TABLES.get(path.suffix.lower())
    if form is None:
        raise InputError(f"the manifest {path.name!r} has an unknown suffix: give a .csv, .tsv, .jsonl or .parquet file.")
    if form == "json":
        yield from _read_json_lines(path)
    elif form == "parquet":
        yield from _read_parquet(path)
    else:
        yield from _read_csv(path, "\t" if form == "tsv" else None)


def _read_csv(path: Path, delimiter: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    # Lyrics in cells are longer than the 128 KB that the module allows.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _list_cells(file, delimiter)
            names = next(rows, (1, []))[1]
            while names and not names[-1].strip():
                names.pop()
            _check_columns(path, names)
            for number, (line, cells) in enumerate(rows, 1):
                place = f"row {number}, line {line}"
                # Spreadsheets leave out empty cells at a row's end, or add some. A single cell is rather the rest of a text
                # that wasn't quoted.
                if any(map(str.strip, cells[len(names) :])) or len(cells) == 1 < len(names):
                    raise InputError(f"{path.name}, {place} has a different number of cells than the header: quote commas.")
                yield place, dict(zip_longest(names, cells[: len(names)], fillvalue=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the manifest {str(path)!r} can't be read ({error}): save it as UTF-8 text.") from error


def _list_cells(file: TextIO, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Rows with anything in them, each with the number of its first line.

    Spreadsheets write rows of commas alone, and some a line `sep=;` before all others.
    """
    # Excel's hint to itself which delimiter it used; no other program removes the line.
    hint = re.fullmatch(r'"?sep=(.)"?', file.readline().rstrip("\r\n"))
    if hint is None:
        file.seek(0)
        delimiter = delimiter or max(",;\t", key=next(filter(str.strip, file), "").count)
        file.seek(0)
    rows = csv.reader(file, delimiter=hint[1] if hint else delimiter or ",", strict=True)
    before = 1 if hint else 0
    line = before + 1
    for cells in rows:
        if any(map(str.strip, cells)):
            yield line, cells
        line = before + rows.line_num + 1


def _read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, 1):
                if not text.strip():
                    continue
                number += 1
                cells = json.loads(text)
                if not isinstance(cells, dict):
                    raise InputError(f'{path.name}, row {number}, line {line} is not an object: write {{"id": ..., ...}}.')
                _check_columns(path, list(cells))
                yield f"row {number}, line {line}", cells
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the manifest {str(path)!r} can't be read at row {number} ({error}).") from error


def _read_parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with needing("pyarrow>=15"):
        from pyarrow import parquet
    try:
        file = parquet.ParquetFile(path)
        columns = [name for name in file.schema_arrow.names if name.casefold() in _COLUMNS]
        _check_columns(path, columns)
        number = 0
        for batch in file.iter_batches(columns=columns):
            for cells in batch.to_pylist():
                number += 1
                yield f"row {number}", cells
    except InputError:
        raise
    except Exception as error:  # the library's errors have no common ancestor but this
        raise InputError(f"the manifest {str(path)!r} can't be read as Parquet ({error}).") from error


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if "id" not in [name.casefold().strip() for name in names]:
        raise InputError(f"the manifest {path.name!r} has no column `id`, but {', '.join(names) or 'nothing'}: add one.")


def _read_entry(cells: dict[str, Any], path: Path, place: str) -> Entry:
    found = {name.casefold().strip(): value for name, value in cells.items()}
    odd = next(
        (name for name in _COLUMNS if name not in ("label", "labels") and isinstance(found.get(name), list | dict)), ""
    )
    if odd:
        raise InputError(f"{path.name}, {place}: {odd} is a list or an object: write one text.")
    number = read_cell(found.get("id"))
    if not number:
        raise InputError(f"{path.name}, {place} has no id: give every song one.")
    split = read_cell(found.get("split")).casefold()
    if split and split not in _SPLITS:
        raise InputError(f"{path.name}, {place}: the split {split!r} is not known: use train, valid or test.")
    audio = read_cell(found.get("audio")) or read_cell(found.get("audio_path"))
    stems = read_cell(found.get("stems"))
    return Entry(
        id=number,
        audio=path.parent / audio if audio else None,
        lyrics=_read_lyric_cell(found, path.parent),
        stems=path.parent / stems if stems else None,
        labels=_read_labels(found.get("label") if found.get("label") is not None else found.get("labels")),
        split=_SPLITS.get(split, ""),
        place=place,
    )


def _read_lyric_cell(found: dict[str, Any], folder: Path) -> str | Path | None:
    named = read_cell(found.get("lyrics_path"))
    if named:
        return folder / named
    text = read_cell(found.get("lyrics"))
    if not text:
        return None
    is_path = "\n" not in text and len(text) < 1000 and (text.lower().endswith(_LYRIC_FILES) or isfile(folder / text))
    return folder / text if is_path else text


def _read_labels(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list | tuple) else read_cell(value).split(";")
    return tuple(dict.fromkeys(text for part in parts if (text := read_cell(part))))


def read_cell(value: Any) -> str:
    """A cell's text; "" for an empty one, which is NaN in tables that pandas has written."""
    return "" if value is None or value != value else str(value).strip()
