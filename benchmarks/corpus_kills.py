"""What kills cost a catalogue: nothing lost, nothing doubled, and how much is done again.

First the process that reads ahead is killed at random moments, then the whole run, which is begun again each time. Every
song that a run begins is noted, so that what is done twice shows.

    python benchmarks/corpus_kills.py [--smoke] [--kills 20]
"""

import argparse
import functools
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch.corpus import running
from musiclime_torch.corpus.explaining import Loaded, explain_shard
from musiclime_torch.corpus.job import Job, begin_job
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.demo.catalogue import write_catalogue
from musiclime_torch.demo.tags import TAGS
from musiclime_torch.reading.manifest import Entry, read_manifest

SHARD = 3


def begin(entries: tuple[Entry, ...], out: Path) -> Job:
    options = {"n_samples": 256, "segments": 4, "units": "line"}
    return begin_job(entries, out, options=options, loading={"separator": "hpss"}, shard_size=SHARD)


def note(log: Path, songs: Iterable[Loaded]) -> Iterator[Loaded]:
    """Songs as they are begun, each with a line in the log."""
    for entry, found in songs:
        with log.open("a") as file:
            file.write(f"{entry.id}\n")
        yield entry, found


def run(entries: tuple[Entry, ...], out: Path, log: Path, workers: int) -> None:
    """One run, as the command does it."""
    torch.set_num_threads(1)
    job = begin(entries, out)
    running.explain_shard = lambda model, job, songs, advance: explain_shard(model, job, note(log, songs), advance)
    done = running.run_here(load_demo_model(), job, workers=workers)
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


def kill_readers(entries: tuple[Entry, ...], folder: Path, kills: int, rng: random.Random) -> tuple[Path, Path, int]:
    """Runs until the readers have been killed so often; the last one's folder and log, and how many fell."""
    fallen, number = 0, 0
    while True:
        out, log = folder / f"readers{number}", folder / f"readers{number}.log"
        process = multiprocessing.get_context("spawn").Process(target=run, args=(entries, out, log, 1))
        process.start()
        while process.is_alive():
            # A process takes seconds to start: some are killed before they have read anything, some between songs.
            time.sleep(rng.uniform(0.3, 12))
            for reader in find_readers(process.pid or 0):
                if fallen < kills:
                    os.kill(reader, signal.SIGKILL)
                    fallen += 1
        assert process.exitcode == 0, "a run survives its readers"
        check(entries, folder, out)
        number += 1
        if fallen >= kills:
            return out, log, fallen


def kill_drivers(entries: tuple[Entry, ...], out: Path, log: Path, kills: int, rng: random.Random) -> tuple[int, int, int]:
    """One run killed again and again; how often it fell, shards done again at most after one kill, and changed ones."""
    fallen, redone, changed = 0, 0, 0
    done: dict[str, int] = {}
    shards = {entry.id: number // SHARD for number, entry in enumerate(entries)}
    while True:
        before = Counter(log.read_text().split()) if log.exists() else Counter()
        process = multiprocessing.get_context("spawn").Process(target=run, args=(entries, out, log, 1))
        process.start()
        # Starting takes seconds: a kill counts once the run has begun a song.
        while process.is_alive() and (Counter(log.read_text().split()) if log.exists() else Counter()) == before:
            time.sleep(0.02)
        process.join(rng.uniform(0, 1.5) if fallen < kills else None)
        if process.is_alive():
            process.kill()
            fallen += 1
        process.join()
        again = {shards[song] for song in Counter(log.read_text().split()) - before if before[song]}
        redone = max(redone, len(again))
        changed += sum((out / "songs" / name).stat().st_mtime_ns != when for name, when in done.items())
        done = {path.name: path.stat().st_mtime_ns for path in (out / "songs").glob("0*.parquet")}
        if len(done) * SHARD >= len(entries):
            return fallen, redone, changed


def read(out: Path) -> list[tuple[object, ...]]:
    return duckdb.sql(f"select * from read_parquet('{out}/attributions/0*.parquet') order by all").fetchall()


@functools.cache
def read_whole(folder: Path) -> list[tuple[object, ...]]:
    return read(folder / "whole")


def check(entries: tuple[Entry, ...], folder: Path, out: Path) -> Counter[str]:
    """Songs lost and doubled; the tables must be those of a run that nobody disturbed."""
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
        readers, log, fallen = kill_readers(entries, folder, kills, rng)
        first = check(entries, folder, readers)
        begun = Counter(log.read_text().split())
        drivers, redone, changed = kill_drivers(entries, folder / "drivers", folder / "drivers.log", kills, rng)
        second = check(entries, folder, folder / "drivers")
    table = Table(title=f"{len(entries)} songs in shards of {SHARD}")
    for heading in ("killed", "kills", "songs lost", "songs doubled", "shards done again a kill", "finished shards touched"):
        table.add_column(heading)
    again = max(begun.values()) - 1
    table.add_row("reader", *map(str, (fallen, first["lost"], first["doubled"], again, 0)))
    table.add_row("run", *map(str, (drivers, second["lost"], second["doubled"], redone, changed)))
    Console(width=110).print(table)
    lost, doubled = first["lost"] + second["lost"], first["doubled"] + second["doubled"]
    print(json.dumps({"kills": fallen + drivers, "lost": lost, "doubled": doubled, "redone": max(again, redone)}))


if __name__ == "__main__":
    main()
