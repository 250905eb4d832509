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

from musiclime_torch.failures import InputError
from musiclime_torch.reading.manifest import Entry
from musiclime_torch.writing import name_partial

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
    """Whether the shard's last file is there, whole and made under these settings."""
    from pyarrow import ArrowInvalid, parquet

    try:
        metadata = parquet.read_schema(out / "songs" / shard.file).metadata or {}
    except (OSError, ArrowInvalid):
        return False
    return bool(metadata.get(HASH_KEY, b"").decode() == settings_hash)


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
            # Whoever comes first; the others find the same there, or say that they don't.
            try:
                os.link(partial, path)
            except FileExistsError:
                pass
            finally:
                partial.unlink()
        began = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{str(out)!r} can't be written to ({error.strerror}): give another --out folder.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{str(path)!r} is no run's ({error}): give another --out folder.") from error
    if began.get("hash") != said["hash"]:
        changed = [name for name in said["settings"] if began["settings"].get(name) != said["settings"][name]]
        shown = ", ".join(f"{name} {began['settings'].get(name)!r} (now {said['settings'][name]!r})" for name in changed[:3])
        raise InputError(f"{str(out)!r} holds a run with other settings, {shown}: give another --out folder.")
    if began.get("manifest") != manifest_hash:
        raise InputError(
            f"the manifest isn't the one that the run in {str(out)!r} began with: give another --out folder, or the old one."
        )
    return str(said["hash"])


def describe_run(out: Path) -> dict[str, Any]:
    """What `run.json` says; InputError for a folder without one."""
    try:
        found: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(out)!r} holds no run of musiclime corpus ({error}).") from error
    return found
