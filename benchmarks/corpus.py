"""What running a catalogue costs over explaining its songs in a plain loop, and what a second process gives.

Generated songs with the embedded model, all in one run: a loop of `load_track` and `explain`; the corpus runner with one
process that reads ahead, as by default, and reading by itself; and two ranks side by side, each with a thread of its own.
Loading a model isn't counted, and ranks wait for each other before they begin. The process that reads ahead is begun before
the model is loaded, as `musiclime corpus` does; what is left of its start then counts, once a run: on a short catalogue it
is a larger share. Beside the ranks stands what two cores give without the runner: two plain loops, half the songs each.

    python benchmarks/corpus.py [--smoke] [--songs 64]
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch.corpus.ahead import prepare_readers
from musiclime_torch.corpus.job import begin_job
from musiclime_torch.corpus.running import run_here
from musiclime_torch.corpus.shards import Place
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.demo.catalogue import write_catalogue
from musiclime_torch.demo.tags import TAGS
from musiclime_torch.explainer import explain
from musiclime_torch.reading.manifest import Entry, read_manifest
from musiclime_torch.track import load_track

OPTIONS = {"n_samples": 512}


def loop(entries: tuple[Entry, ...]) -> float:
    """Seconds of the plain loop."""
    model, started = load_demo_model(), time.perf_counter()
    for entry in entries:
        explain(model, load_track(entry.audio, lyrics=entry.lyrics, separator="none"), **OPTIONS)
    return time.perf_counter() - started


def run(entries: tuple[Entry, ...], out: Path, workers: int, place: Place) -> float:
    """Seconds of the runner."""
    if workers:
        prepare_readers()
    model, started = load_demo_model(), time.perf_counter()
    loading = {"separator": "none"}
    job = begin_job(entries, out, options=OPTIONS, loading=loading, shard_size=4)
    run_here(model, job, workers=workers, place=place)
    return time.perf_counter() - started


def take_part(barrier: Any, results: Any, entries: tuple[Entry, ...], out: Path | None, place: Place) -> None:
    """One of several processes: a rank, or without a folder a plain loop over its share of the songs."""
    torch.set_num_threads(1)
    loop(entries[:1])
    barrier.wait()
    results.put(run(entries, out, 0, place) if out else loop(entries[place.rank :: place.world]))


def run_side_by_side(entries: tuple[Entry, ...], world: int, out: Path | None = None) -> float:
    """Seconds of the slowest of all processes."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(world), context.Queue()
    processes = [
        context.Process(target=take_part, args=(barrier, results, entries, out, Place(rank, world))) for rank in range(world)
    ]
    for process in processes:
        process.start()
    seconds = max(results.get() for _ in processes)
    for process in processes:
        process.join()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="four songs")
    parser.add_argument("--songs", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = read_manifest(write_catalogue(folder, 4 if options.smoke else options.songs, 0, tuple(TAGS)))
        loop(entries[:2])  # designs and kernels are made once
        plain = loop(entries)
        alone = run(entries, folder / "alone", 0, Place(0, 1))
        ahead = run(entries, folder / "ahead", 1, Place(0, 1))
        one_loop, two_loops = (run_side_by_side(entries, world) for world in (1, 2))
        one, two = (run_side_by_side(entries, world, folder / f"ranks{world}") for world in (1, 2))
    table = Table(title=f"{len(entries)} songs, {OPTIONS['n_samples']} passes each, one thread a process")
    for heading in ("how", "seconds", "of the plain loop"):
        table.add_column(heading)
    named = {
        "plain loop": plain,
        "runner": alone,
        "runner, one process reads ahead": ahead,
        "a loop in a process of its own": one_loop,
        "two such loops, half the songs each": two_loops,
        "one rank": one,
        "two ranks": two,
    }
    for how, seconds in named.items():
        table.add_row(how, f"{seconds:.1f}", f"{seconds / plain:.2f}")
    Console(width=100).print(table)
    print(
        json.dumps(
            {
                "overhead": round(ahead / plain - 1, 4),
                "overhead_without_readers": round(alone / plain - 1, 4),
                "two_ranks": round(one / two, 3),
                "two_loops": round(one_loop / two_loops, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
