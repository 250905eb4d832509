"""A catalogue in pieces: which songs a shard holds, which shards a process takes, and when one is done.

Shards are consecutive songs of the manifest, so that they are the same for any number of processes. A shard's files appear
complete: they are written under another name, flushed and renamed. The one that marks the shard as done comes last.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import name_partial, remove_partials
from musiclime_torch.song.manifest import Entry

#: The key in a file's metadata of the hash of the settings it was made under.
HASH_KEY = b"musiclime_torch.settings"

#: The longest id that names a folder, in bytes: more is refused by file systems.
MOST_BYTES = 200

#: The folder of a run with its songs' own pages.
PAGES = "pages"

#: The tables of a run in the order they are written: `songs` marks the others as complete.
TABLES = ("attributions", "interactions", "controls", "failures", "songs")


@dataclass(frozen=True)
class Shard:
    """Some songs of a catalogue; `number` counts from 0."""

    number: int
    entries: tuple[Entry, ...]

    @property
    def file(self) -> str:
        """Name of its files. Ids, which may hold any characters, are never part of it."""
        return f"{self.number:06d}.parquet"


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is."""

    rank: int
    world: int


def place_page(folder: Path, song: str) -> Path | None:
    """Where a song's own page lies below a folder, named by its id; None for an id that can't name a folder in it."""
    # An id is any text: it may point out of the folder, or be no name of a file at all.
    if "\0" in song or len(song.encode()) > MOST_BYTES:
        return None
    path = folder.resolve() / song / "index.html"
    inside = path.parent.resolve().is_relative_to(folder.resolve()) and path.parent.resolve() != folder.resolve()
    return path if inside else None


def cut_shards(entries: Sequence[Entry], size: int, apart: int = 0) -> tuple[Shard, ...]:
    """Shards of `size` songs; the last one has what is left, and so has the last one of the first `apart` songs."""
    if size < 1:
        raise InputError(f"shard_size must be at least 1, got {size}.", argument="shard_size")
    apart = min(apart, len(entries))
    starts = [*range(0, apart, size), *range(apart, len(entries), size), len(entries)]
    return tuple(Shard(number, tuple(entries[start:end])) for number, (start, end) in enumerate(pairwise(starts)))


def find_place(environment: Mapping[str, str] = os.environ) -> Place:
    """The place of this process, from what torchrun or a Slurm array sets; the only one where nothing is set.

    >>> find_place({"RANK": "1", "WORLD_SIZE": "4"}), find_place({})
    (Place(rank=1, world=4), Place(rank=0, world=1))
    """
    try:
        if "RANK" in environment and "WORLD_SIZE" in environment:
            place = Place(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
        elif "SLURM_ARRAY_TASK_ID" in environment:
            place = _find_task(environment)
        else:
            place = Place(0, 1)
    except InputError:
        raise
    except (KeyError, ValueError) as error:
        raise InputError(f"the launcher's rank can't be read ({error}): set RANK and WORLD_SIZE.") from error
    if not 0 <= place.rank < place.world:
        raise InputError(
            f"RANK must be from 0 to WORLD_SIZE - 1, got {place.rank} of {place.world}: set RANK and WORLD_SIZE."
        )
    return place


def _find_task(environment: Mapping[str, str]) -> Place:
    """A task's place in a Slurm array with any step. In a list, such as 1,3,7, a task can't know the other numbers."""
    given = {name: int(environment.get(f"SLURM_ARRAY_TASK_{name}", default)) for name, default in (("MIN", 0), ("STEP", 1))}
    count, step = int(environment["SLURM_ARRAY_TASK_COUNT"]), max(given["STEP"], 1)
    last = int(environment.get("SLURM_ARRAY_TASK_MAX", given["MIN"] + (count - 1) * step))
    rank, rest = divmod(int(environment["SLURM_ARRAY_TASK_ID"]) - given["MIN"], step)
    if rest or last - given["MIN"] != (count - 1) * step:
        raise InputError(
            f"the Slurm array of {count} tasks from {given['MIN']} to {last} in steps of {step} is not a range, so a task "
            f"can't know its place: use --array=0-{count - 1}, or set RANK and WORLD_SIZE."
        )
    return Place(rank, count)


def hash_settings(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings in any order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def hash_entries(entries: Sequence[Entry]) -> str:
    """SHA-256 of a manifest's entries in their order; relative and absolute paths to the same file are equal."""
    rows = [[entry.id, *map(_spell, (entry.audio, entry.lyrics, entry.stems)), list(entry.labels)] for entry in entries]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _spell(value: Path | str | None) -> str:
    return os.path.abspath(value) if isinstance(value, Path) else str(value)


def is_done(out: Path, shard: Shard, settings_hash: str) -> bool:
    """Whether the shard's files are there and complete, the last one made under these settings."""
    from pyarrow import ArrowInvalid, parquet

    if not all(_has_end(out / name / shard.file) for name in TABLES):
        return False

    try:
        metadata = parquet.read_schema(out / "songs" / shard.file).metadata or {}
    except (OSError, ArrowInvalid):
        return False
    return bool(metadata.get(HASH_KEY, b"").decode() == settings_hash)


def _has_end(path: Path) -> bool:
    """Whether a Parquet file has its end: something may have truncated it since it was written."""
    try:
        with path.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            return file.read() == b"PAR1"
    except OSError:
        return False


def claim_folder(out: Path, settings: Mapping[str, Any], manifest_hash: str) -> str:
    """Begin a run in a folder, or resume the same one; returns the settings' hash.

    InputError where the folder holds a run with other settings or of another manifest: nothing is overwritten.
    """
    described: dict[str, Any] = {"settings": dict(settings), "hash": hash_settings(settings), "manifest": manifest_hash}
    path = out / "run.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if any((out / name).exists() for name in TABLES):
                raise InputError(f"{str(out)!r} holds tables but no run.json: give another out folder.", argument="out")
            partial = name_partial(path)
            partial.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            # A hard link fails if the file exists: of several processes exactly one creates it, and the others then compare
            # what they find. Each removes its own temporary file here, and leftovers of killed ones below.
            try:
                os.link(partial, path)
            except (FileExistsError, FileNotFoundError):
                pass
            finally:
                partial.unlink(missing_ok=True)
        began = _read_run(path)
        remove_partials(out, (path.name,))
    except OSError as error:
        raise InputError(
            f"{str(out)!r} can't be written to ({error.strerror}): give another out folder.", argument="out"
        ) from error
    if began["hash"] != described["hash"]:
        shown = ", ".join(_list_changes(began["settings"], described["settings"])[:3])
        raise InputError(f"{str(out)!r} holds a run with other settings, {shown}: give another out folder.", argument="out")
    if began["manifest"] != manifest_hash:
        raise InputError(
            f"the run in {str(out)!r} began with another manifest: give another out folder, or the old manifest.",
            argument="out",
        )
    return str(described["hash"])


def describe_run(out: Path) -> dict[str, Any]:
    """The contents of `run.json`; InputError for a folder without one."""
    try:
        return _read_run(out / "run.json")
    except OSError as error:
        raise InputError(f"{str(out)!r} holds no run of musiclime corpus ({error}).") from error


def _read_run(path: Path) -> dict[str, Any]:
    """InputError where the file isn't as `claim_folder` writes it."""
    try:
        run: Any = json.loads(path.read_text(encoding="utf-8"))
        fault = "" if _is_run(run) else "it doesn't hold settings, their hash and the manifest's"
    except ValueError as error:
        fault = str(error)
    if fault:
        raise InputError(f"{str(path)!r} is not the record of a run ({fault}): give another folder.")
    return dict(run)


def _is_run(run: Any) -> bool:
    if not isinstance(run, dict) or not isinstance(run.get("settings"), dict):
        return False
    return run.get("hash") == hash_settings(run["settings"]) and isinstance(run.get("manifest"), str)


def _list_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Every setting that differs, in words; settings in groups one by one."""
    changes = []
    for name in {**before, **now}:
        if name in before and name in now and before[name] == now[name]:
            continue
        if isinstance(before.get(name), dict) and isinstance(now.get(name), dict):
            changes += [f"{name} {change}" for change in _list_changes(before[name], now[name])]
        else:
            changes.append(f"{name} {_show(before, name)} (now {_show(now, name)})")
    return changes


def _show(settings: Mapping[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "not given"
