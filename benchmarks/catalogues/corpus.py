"""What running a catalogue costs over explaining its songs in a plain loop, and what a second process gives.

Generated songs with the embedded model, everything once a round: a loop of `load_track` and `explain`; the corpus runner
with one process that reads ahead, as by default, and reading by itself; and two ranks side by side, each with a thread of
its own. Loading a model isn't counted, and ranks wait for each other before they begin. The process that reads ahead is
begun before the model is loaded, as `musiclime corpus` does; what is left of its start then counts, once a run: on a
short catalogue it is a larger share. Beside the ranks stands what two cores give without the runner: two plain loops,
half the songs each. Ratios are taken within a round, and the middle one of all rounds is given with the smallest and the
largest: on a shared machine a round differs from the next.

    python -m benchmarks.catalogues.corpus [--smoke] [--songs 64] [--rounds 3] [--device cpu|cuda]
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch import explain, load_track
from musiclime_torch.corpus import Place, begin_job, prepare_readers, run_here
from musiclime_torch.demo import TAGS, load_demo_model, write_catalogue
from musiclime_torch.song import Entry, read_manifest

OPTIONS = {"n_samples": 512}


def loop(entries: tuple[Entry, ...], device: str) -> float:
    """Seconds of the plain loop."""
    model, started = load_demo_model().to(device), time.perf_counter()
    for entry in entries:
        explain(model, load_track(entry.audio, lyrics=entry.lyrics, separator="none"), **OPTIONS)
    return time.perf_counter() - started


def run(entries: tuple[Entry, ...], out: Path, workers: int, place: Place, device: str) -> float:
    """Seconds of the runner."""
    if workers:
        prepare_readers()
    model, started = load_demo_model().to(device), time.perf_counter()
    loading = {"separator": "none"}
    job = begin_job(entries, out, options=OPTIONS, loading=loading, shard_size=4)
    run_here(model, job, workers=workers, place=place)
    return time.perf_counter() - started


def take_part(barrier: Any, results: Any, entries: tuple[Entry, ...], out: Path | None, place: Place, device: str) -> None:
    """One of several processes: a rank, or without a folder a plain loop over its share of the songs."""
    torch.set_num_threads(1)
    loop(entries[:1], device)
    barrier.wait()
    results.put(run(entries, out, 0, place, device) if out else loop(entries[place.rank :: place.world], device))


def run_side_by_side(entries: tuple[Entry, ...], world: int, device: str, out: Path | None = None) -> float:
    """Seconds of the slowest of all processes."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(world), context.Queue()
    processes = [
        context.Process(target=take_part, args=(barrier, results, entries, out, Place(rank, world), device))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    seconds = max(results.get() for _ in processes)
    for process in processes:
        process.join()
    return seconds


def time_all(entries: tuple[Entry, ...], folder: Path, device: str) -> dict[str, float]:
    """Seconds of a round, by way."""
    plain = loop(entries, device)
    alone = run(entries, folder / "alone", 0, Place(0, 1), device)
    ahead = run(entries, folder / "ahead", 1, Place(0, 1), device)
    one_loop, two_loops = (run_side_by_side(entries, world, device) for world in (1, 2))
    single, double = (run_side_by_side(entries, world, device, folder / f"ranks{world}") for world in (1, 2))
    return {
        "plain loop": plain,
        "runner": alone,
        "runner, one process reads ahead": ahead,
        "a loop in a process of its own": one_loop,
        "two such loops, half the songs each": two_loops,
        "one rank": single,
        "two ranks": double,
    }


def compare(rounds: list[dict[str, float]], slow: str, fast: str) -> tuple[float, float, float]:
    """How many times as long one way takes as another: the middle, the smallest and the largest of all rounds."""
    ratios = [seconds[slow] / seconds[fast] for seconds in rounds]
    return round(statistics.median(ratios), 3), round(min(ratios), 3), round(max(ratios), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="four songs, one round")
    parser.add_argument("--songs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="of all processes, ranks too")
    options = parser.parse_args()
    songs, count = (4, 1) if options.smoke else (options.songs, options.rounds)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = read_manifest(write_catalogue(folder, songs, 0, tuple(TAGS)))
        loop(entries[:2], options.device)  # designs and kernels are made once
        rounds = [time_all(entries, folder / f"round{number}", options.device) for number in range(count)]
    title = f"{songs} songs, {OPTIONS['n_samples']} passes each, {options.device}, one thread a process; "
    title += f"middle (and ends) of {count} rounds"
    table = Table(title=title)
    for heading in ("how", "seconds", "of the plain loop"):
        table.add_column(heading)
    for how in rounds[0]:
        middle, low, high = compare(rounds, how, "plain loop")
        table.add_row(
            how, f"{statistics.median(seconds[how] for seconds in rounds):.1f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"
        )
    Console(width=100).print(table)
    figures = {
        "runner_to_loop": compare(rounds, "runner, one process reads ahead", "plain loop"),
        "runner_to_loop_without_readers": compare(rounds, "runner", "plain loop"),
        "two_ranks": compare(rounds, "one rank", "two ranks"),
        "two_loops": compare(rounds, "a loop in a process of its own", "two such loops, half the songs each"),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
