"""A catalogue in pieces: which songs a shard holds, which shards a process takes, and when one is done.

Shards are runs of the manifest's order, so that they are the same for any number of processes. A shard's files appear whole:
written under another name, flushed, renamed; the one that says it is done comes last.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import name_partial, remove_partials
from musiclime_torch.song.manifest import Entry

#: Under this key a file tells the settings it was made under.
HASH_KEY = b"musiclime_torch.settings"

#: What a run writes, in this order: songs say that the rest is there.
TABLES = ("attributions", "interactions", "controls", "failures", "songs")


@dataclass(frozen=True)
class Shard:
    """Some songs of a catalogue; `number` counts from 0."""

    number: int
    entries: tuple[Entry, ...]

    @property
    def file(self) -> str:
        """Name of its files. Ids, which may be anything, are never part of one."""
        return f"{self.number:06d}.parquet"


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is."""

    rank: int
    world: int


def cut_shards(entries: Sequence[Entry], size: int) -> tuple[Shard, ...]:
    """Shards of `size` songs, the last one of what is left."""
    if size < 1:
        raise InputError(f"a shard of {size} songs holds none: give 1 or more.")
    starts = range(0, len(entries), size)
    return tuple(Shard(number, tuple(entries[start : start + size])) for number, start in enumerate(starts))


def find_place(environment: Mapping[str, str] = os.environ) -> Place:
    """From what torchrun or a Slurm array sets; the only process where nothing is set.

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
        raise InputError(f"the launcher's rank isn't understood ({error}): set RANK and WORLD_SIZE.") from error
    if not 0 <= place.rank < place.world:
        raise InputError(f"rank {place.rank} of {place.world} processes is none of them: set RANK and WORLD_SIZE.")
    return place


def _find_task(environment: Mapping[str, str]) -> Place:
    """Tasks of an array are counted by its step. Of a list, such as 1,3,7, no task knows the others."""
    given = {name: int(environment.get(f"SLURM_ARRAY_TASK_{name}", default)) for name, default in (("MIN", 0), ("STEP", 1))}
    count, step = int(environment["SLURM_ARRAY_TASK_COUNT"]), max(given["STEP"], 1)
    last = int(environment.get("SLURM_ARRAY_TASK_MAX", given["MIN"] + (count - 1) * step))
    rank, rest = divmod(int(environment["SLURM_ARRAY_TASK_ID"]) - given["MIN"], step)
    if rest or last - given["MIN"] != (count - 1) * step:
        raise InputError(
            f"{count} tasks from {given['MIN']} to {last} in steps of {step} are no range, and in a list no task knows its "
            f"place: use --array=0-{count - 1}, or set RANK and WORLD_SIZE."
        )
    return Place(rank, count)


def hash_settings(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings in any order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def hash_entries(entries: Sequence[Entry]) -> str:
    """SHA-256 of what a manifest says, in its order; a path is the same however it is written."""
    rows = [[one.id, *map(_spell, (one.audio, one.lyrics, one.stems)), list(one.labels)] for one in entries]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _spell(value: Path | str | None) -> str:
    return os.path.abspath(value) if isinstance(value, Path) else str(value)


def is_done(out: Path, shard: Shard, settings_hash: str) -> bool:
    """Whether the shard's files are there and end as they should, the last one made under these settings."""
    from pyarrow import ArrowInvalid, parquet

    if not all(_has_end(out / name / shard.file) for name in TABLES):
        return False

    try:
        metadata = parquet.read_schema(out / "songs" / shard.file).metadata or {}
    except (OSError, ArrowInvalid):
        return False
    return bool(metadata.get(HASH_KEY, b"").decode() == settings_hash)


def _has_end(path: Path) -> bool:
    """Whether a Parquet file wasn't cut off: something else may have done so since it was written."""
    try:
        with path.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            return file.read() == b"PAR1"
    except OSError:
        return False


def claim_folder(out: Path, settings: Mapping[str, Any], manifest_hash: str) -> str:
    """Begin a run in a folder, or go on with the same one; returns the settings' hash.

    InputError where the folder holds a run with other settings or of another manifest: nothing is overwritten.
    """
    said: dict[str, Any] = {"settings": dict(settings), "hash": hash_settings(settings), "manifest": manifest_hash}
    path = out / "run.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if any((out / name).exists() for name in TABLES):
                raise InputError(f"{str(out)!r} holds tables but no run.json: give another --out folder.")
            partial = name_partial(path)
            partial.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            # Whoever comes first; the others find the same there, or say that they don't. Who has found it removes what
            # is left of others' attempts.
            try:
                os.link(partial, path)
            except (FileExistsError, FileNotFoundError):
                pass
            finally:
                partial.unlink(missing_ok=True)
        began = _read_run(path)
        remove_partials(out, (path.name,))
    except OSError as error:
        raise InputError(f"{str(out)!r} can't be written to ({error.strerror}): give another --out folder.") from error
    if began["hash"] != said["hash"]:
        shown = ", ".join(_list_changes(began["settings"], said["settings"])[:3])
        raise InputError(f"{str(out)!r} holds a run with other settings, {shown}: give another --out folder.")
    if began["manifest"] != manifest_hash:
        raise InputError(
            f"the manifest isn't the one that the run in {str(out)!r} began with: give another --out folder, or the old one."
        )
    return str(said["hash"])


def describe_run(out: Path) -> dict[str, Any]:
    """What `run.json` says; InputError for a folder without one."""
    try:
        return _read_run(out / "run.json")
    except OSError as error:
        raise InputError(f"{str(out)!r} holds no run of musiclime corpus ({error}).") from error


def _read_run(path: Path) -> dict[str, Any]:
    """InputError where the file isn't as `claim_folder` writes it."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        fault = "" if _is_run(found) else "it doesn't hold settings, their hash and the manifest's"
    except ValueError as error:
        fault = str(error)
    if fault:
        raise InputError(f"{str(path)!r} is no run's ({fault}): give another folder.")
    return dict(found)


def _is_run(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        return False
    return found.get("hash") == hash_settings(found["settings"]) and isinstance(found.get("manifest"), str)


def _list_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Every setting that differs, in words; of settings in groups those that do."""
    said = []
    for name in {**before, **now}:
        if name in before and name in now and before[name] == now[name]:
            continue
        if isinstance(before.get(name), dict) and isinstance(now.get(name), dict):
            said += [f"{name} {change}" for change in _list_changes(before[name], now[name])]
        else:
            said.append(f"{name} {_show(before, name)} (now {_show(now, name)})")
    return said


def _show(settings: Mapping[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "left out"
