"""What kills cost a catalogue: nothing lost, nothing doubled, and how much is done again.

First the process that reads ahead is killed at random moments, then the whole run, which is begun again each time. Every
song that a run begins is logged, which shows what is done twice.

    python -m benchmarks.catalogues.corpus_kills [--smoke] [--kills 20]
"""

import argparse
import functools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch.corpus import Job, Loaded, begin_job, explain_shard, run_here
from musiclime_torch.demo import TAGS, load_demo_model, write_catalogue
from musiclime_torch.song import Entry, read_manifest

SHARD = 3


def begin(entries: tuple[Entry, ...], out: Path) -> Job:
    options = {"n_samples": 256, "segments": 4, "units": "line"}
    return begin_job(entries, out, options=options, loading={"separator": "hpss"}, shard_size=SHARD)


def note(log: Path, songs: Iterable[Loaded]) -> Iterator[Loaded]:
    """Songs as they are begun, each with a line in the log."""
    for entry, song in songs:
        with log.open("a") as file:
            file.write(f"{entry.id}\n")
        yield entry, song


def run(entries: tuple[Entry, ...], out: Path, log: Path, workers: int) -> None:
    """One run, as the command does it."""
    torch.set_num_threads(1)
    job = begin(entries, out)
    running: Any = sys.modules[run_here.__module__]  # which calls it by the name it imported
    running.explain_shard = lambda model, job, songs, *more: explain_shard(model, job, note(log, songs), *more)
    done = run_here(load_demo_model(), job, workers=workers)
    assert not done.failed, done.first_failure


def find_readers(driver: int) -> list[int]:
    """Processes that read ahead: children of the fork server, which is a child of the run."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = status.read_text().rsplit(")", 1)
        except OSError:
            continue
        parents[int(name.split(" ", 1)[0])] = int(rest.split()[1])
    servers = {child for child, parent in parents.items() if parent == driver}
    return [child for child, parent in parents.items() if parent in servers]


@dataclass(frozen=True)
class Sight:
    """A run as it stands at one moment: how often each song was begun, and when each finished shard was written."""

    begun: Counter[str]
    finished: dict[str, int]


def look(out: Path, log: Path) -> Sight:
    """A shard is finished once its file in `songs` is there, the last of its tables."""
    begun = Counter(log.read_text().split()) if log.exists() else Counter[str]()
    return Sight(begun, {path.name: path.stat().st_mtime_ns for path in (out / "songs").glob("0*.parquet")})


@dataclass(frozen=True)
class Toll:
    """The cost of kills: songs lost and doubled, the most shards begun again after one kill, finished shards touched."""

    kills: int = 0
    lost: int = 0
    doubled: int = 0
    redone: int = 0
    touched: int = 0

    def watch(self, shards: dict[str, int], before: Sight, after: Sight) -> "Toll":
        """With what was done again between two looks."""
        again = {shards[song] for song in after.begun - before.begun if before.begun[song]}
        touched = sum(after.finished.get(name) != when for name, when in before.finished.items())
        return replace(self, redone=max(self.redone, len(again)), touched=self.touched + touched)

    def close(self, entries: tuple[Entry, ...], folder: Path, out: Path) -> "Toll":
        """With the songs that a run which came to its end has lost or doubled."""
        counts = check(entries, folder, out)
        return replace(self, lost=self.lost + counts["lost"], doubled=self.doubled + counts["doubled"])


def number_shards(entries: tuple[Entry, ...]) -> dict[str, int]:
    """The shard of every song."""
    return {entry.id: number // SHARD for number, entry in enumerate(entries)}


def kill_readers(entries: tuple[Entry, ...], folder: Path, kills: int, rng: random.Random) -> Toll:
    """Runs, one after another, until their readers have been killed so often; all of them count."""
    toll, shards, number = Toll(), number_shards(entries), 0
    while toll.kills < kills:
        out, log = folder / f"readers{number}", folder / f"readers{number}.log"
        process = multiprocessing.get_context("spawn").Process(target=run, args=(entries, out, log, 1))
        process.start()
        before = look(out, log)
        while process.is_alive():
            # A process takes seconds to start: some are killed before they have read anything, some between songs.
            process.join(rng.uniform(0.3, 12))
            after = look(out, log)
            toll, before = toll.watch(shards, before, after), after
            for reader in find_readers(process.pid or 0)[: kills - toll.kills]:
                os.kill(reader, signal.SIGKILL)
                toll = replace(toll, kills=toll.kills + 1)
        assert process.exitcode == 0, "a run survives its readers"
        toll = toll.watch(shards, before, look(out, log)).close(entries, folder, out)
        number += 1
    return toll


def kill_drivers(entries: tuple[Entry, ...], folder: Path, kills: int, rng: random.Random) -> Toll:
    """One run killed again and again."""
    out, log = folder / "drivers", folder / "drivers.log"
    toll, shards, before = Toll(), number_shards(entries), look(out, log)
    while len(before.finished) * SHARD < len(entries):
        process = multiprocessing.get_context("spawn").Process(target=run, args=(entries, out, log, 1))
        process.start()
        # Starting takes seconds: a kill counts once the run has begun a song.
        while process.is_alive() and look(out, log).begun == before.begun:
            time.sleep(0.02)
        process.join(rng.uniform(0, 1.5) if toll.kills < kills else None)
        if process.is_alive():
            process.kill()
            toll = replace(toll, kills=toll.kills + 1)
        process.join()
        after = look(out, log)
        toll, before = toll.watch(shards, before, after), after
    return toll.close(entries, folder, out)


def read(out: Path) -> list[tuple[object, ...]]:
    return duckdb.sql(f"select * from read_parquet('{out}/attributions/0*.parquet') order by all").fetchall()


@functools.cache
def read_whole(folder: Path) -> list[tuple[object, ...]]:
    return read(folder / "whole")


def check(entries: tuple[Entry, ...], folder: Path, out: Path) -> Counter[str]:
    """Songs lost and doubled; the tables must equal those of an undisturbed run."""
    assert read(out) == read_whole(folder), "tables differ from an undisturbed run's"
    kept = [row[0] for row in duckdb.sql(f"select id from read_parquet('{out}/songs/0*.parquet')").fetchall()]
    counted, asked = Counter(kept), Counter(entry.id for entry in entries)
    return Counter(lost=(asked - counted).total(), doubled=(counted - asked).total())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two kills of each kind")
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    kills = 2 if options.smoke else options.kills
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A kill may come after a shard is done, or before: enough songs that no run ends before its last kill.
        entries = read_manifest(write_catalogue(folder / "songs", 6 if options.smoke else 3 * kills, 0, tuple(TAGS)))
        run(entries, folder / "whole", folder / "whole.log", 0)
        tolls = {
            "reader": kill_readers(entries, folder, kills, rng),
            "run": kill_drivers(entries, folder, kills, rng),
        }
    table = Table(title=f"{len(entries)} songs in shards of {SHARD}")
    for heading in ("killed", "kills", "songs lost", "songs doubled", "shards done again a kill", "finished shards touched"):
        table.add_column(heading)
    for killed, toll in tolls.items():
        table.add_row(killed, *map(str, (toll.kills, toll.lost, toll.doubled, toll.redone, toll.touched)))
    Console(width=110).print(table)
    both = tolls.values()
    added = {name: sum(getattr(toll, name) for toll in both) for name in ("kills", "lost", "doubled", "touched")}
    print(json.dumps(added | {"redone": max(toll.redone for toll in both)}))


if __name__ == "__main__":
    main()
