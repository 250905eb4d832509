"""Two published data sets as manifests: Music4All as its folder comes, and splits in JSON, the AudioSet subset's.

Music4All (Santana et al. 2020): `audios/ID.mp3`, `lyrics/ID.txt`, and tables separated by tabs, `id_genres.csv` (id, genres)
and `id_metadata.csv` (id, ..., energy, ..., valence, ...). A song's genre is the first it lists.

Splits, of the AudioSet subset or of Music4All: `train.json`, `val.json`, `test.json`, each a list of objects with `id`,
`lyrics`, and `genre` (or `primary_short`) and `emotion` (or `valence` and `energy`), beside a folder `audios` (or `audio`)
of `ID.mp3`, `.wav`, `.flac`, `.ogg` or `.m4a`.

Emotions are the paper's nine: valence × energy, cut at .35 and .65.
"""

import csv
import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.manifest import Entry, check_ids, read_cell

Label = Literal["genre", "emotion"]

#: By valence, from low to high, and in it by energy.
EMOTIONS = (("depressed", "sad", "angry"), ("calm", "neutral", "tense"), ("relaxed", "happy", "excited"))
#: Cut points of both scales; the cut points themselves belong to the middle.
CUTS = (0.35, 0.65)

_SPLITS = {"train": ("train",), "valid": ("val", "valid", "validation"), "test": ("test",)}
_SOUNDS = (".mp3", ".wav", ".flac", ".ogg", ".m4a")


def read_dataset(folder: str | Path, label: Label) -> tuple[Entry, ...]:
    """The songs of a data set's folder that have the label; InputError for a folder with neither layout."""
    folder = Path(folder)
    if any((folder / f"{name}.json").is_file() for name in _SPLITS["train"]):
        entries = _read_splits(folder, label)
    elif (folder / "id_genres.csv").is_file() or (folder / "id_metadata.csv").is_file():
        entries = _read_music4all(folder, label)
    else:
        raise InputError(
            f"the folder {str(folder)!r} is not a known data set: it has neither train.json nor Music4All's "
            f"id_genres.csv; write a manifest instead."
        )
    if not entries:
        raise InputError(f"no song in {str(folder)!r} has a label for {label}.")
    check_ids(entries, folder.name)
    return entries


def name_emotion(valence: float, energy: float) -> str:
    """One of the nine.

    >>> name_emotion(0.9, 0.1), name_emotion(0.35, 0.65), name_emotion(0.1, 0.8)
    ('relaxed', 'neutral', 'angry')
    """
    low, high = CUTS
    return EMOTIONS[(valence >= low) + (valence > high)][(energy >= low) + (energy > high)]


def _read_music4all(folder: Path, label: Label) -> tuple[Entry, ...]:
    name = "id_genres.csv" if label == "genre" else "id_metadata.csv"
    entries = []
    for place, row in _read_table(folder / name):
        found = _find_label(row, label, f"{name}, {place}")
        if found:
            lyrics = folder / "lyrics" / f"{row['id']}.txt"
            entries.append(
                Entry(
                    id=row["id"],
                    audio=_find_sound(folder, row["id"]),
                    lyrics=lyrics if lyrics.is_file() else None,
                    labels=(found,),
                    place=f"{name}, {place}",
                )
            )
    return tuple(entries)


def _read_splits(folder: Path, label: Label) -> tuple[Entry, ...]:
    entries = []
    for split, names in _SPLITS.items():
        path = next((folder / f"{name}.json" for name in names if (folder / f"{name}.json").is_file()), None)
        if path is None:
            continue
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{str(path)!r} can't be read as JSON ({error}).") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("id") for row in rows):
            raise InputError(f"{str(path)!r} is not a list of objects with an id.")
        for number, row in enumerate(rows, 1):
            place = f"{path.name}, row {number}"
            found = _find_label(row, label, place)
            if found:
                name = str(row["id"])
                text = read_cell(row.get("lyrics"))
                entries.append(Entry(name, _find_sound(folder, name), text or None, None, (found,), split, place))
    return tuple(entries)


def _read_table(path: Path) -> list[tuple[str, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{str(path)!r} can't be read ({error}).") from error
    if not rows or not rows[0].get("id"):
        raise InputError(f"{str(path)!r} has no column `id` between tabs: is it Music4All's?")
    return [(f"line {number}", row) for number, row in enumerate(rows, 2)]


def _find_label(row: Mapping[str, Any], label: Label, place: str) -> str:
    """What the row says, or makes of its numbers; "" where it says nothing."""
    if label == "genre":
        cell = next(filter(None, (read_cell(row.get(name)) for name in ("genre", "primary_short", "genres"))), "")
        return cell.split(",")[0].strip().casefold()
    if cell := read_cell(row.get("emotion")):
        return cell.casefold()
    if not read_cell(row.get("valence")) or not read_cell(row.get("energy")):
        return ""
    try:
        valence, energy = float(row["valence"]), float(row["energy"])
        if not (isfinite(valence) and isfinite(energy)):
            raise ValueError
        return name_emotion(valence, energy)
    except (TypeError, ValueError):
        raise InputError(f"{place}: valence {row['valence']!r} and energy {row['energy']!r} are not numbers.") from None


def _find_sound(folder: Path, name: str) -> Path:
    """The song's file; if there is none, the first that it could have been, for the message."""
    candidates = [folder / part / f"{name}{kind}" for part in ("audios", "audio") for kind in _SOUNDS]
    return next((path for path in candidates if path.is_file()), candidates[0])
