"""Everything that a GPU is asked, in order of worth: at most six minutes, each result written as soon as it stands.

Parts run one after the other, each in a process of its own, forked from one that has imported everything: what fails takes
nothing else along, and says why. A part stops by its own clock, and is stopped if it doesn't. What is left out for lack of
time is named. `benchmarks/gpu_wheels.txt` lists what a bare machine needs besides torch.

    python -m benchmarks.gpu.suite [PART ...] [--device cuda] [--small] [--minutes 6] [--out DIR] [--smoke]
"""

import argparse
import json
import os
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import StringIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import run as results
from benchmarks.gpu.goals import judge_goals

#: Parts in order of worth, and the seconds that each may take of six minutes on a card.
PARTS = {
    "correctness": 40,
    "sweep": 110,
    "original": 55,
    "dropin": 25,
    "classes": 20,
    "songs": 30,
    "answering": 35,
    "watching": 20,
}
#: Seconds over its time after which a part is stopped: a forward or a compilation may be under way.
GRACE = 8.0
#: Seconds below which a part isn't begun.
PATIENCE = 5.0
#: What all parts import; none of it touches a device.
IMPORTED = ["torch", "transformers", "captum.attr", "musiclime_torch", "benchmarks.gpu.job", "benchmarks.worlds.subjects"]
#: So that memory of many sizes doesn't break up; torch reads it when it first allocates.
SEGMENTS = "expandable_segments:True"


@dataclass
class Outcome:
    """What a part has given so far, and how it ended."""

    name: str
    rows: list[dict[str, Any]]
    state: str = "running"
    seconds: float = 0.0


def work(name: str, device: str, small: bool, seconds: float, pipe: Connection) -> None:
    """A part, in a process of its own; every row is sent as soon as it stands."""
    import torch

    from benchmarks.gpu.job import Job, name_error

    try:
        where = torch.device(device)
        if where.type == "cuda":
            # With its number: torch refuses to make "cuda" alone the current one.
            where = torch.device("cuda", where.index or 0)
            torch.cuda.set_device(where)
        part = import_module(f"benchmarks.gpu.{name}")
        for row in part.measure(Job(where, small, time.monotonic() + seconds)):
            pipe.send(row)
        pipe.send("done")
    # All errors, for a part that fails must say why; what it has measured is with the parent already.
    except BaseException as error:
        pipe.send(f"failed: {name_error(error)}")
        raise


def run_part(name: str, device: str, small: bool, seconds: float, keep: Any) -> Outcome:
    """Run a part for so many seconds at most; `keep` is called after every row."""
    context = get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(name, device, small, seconds, theirs))
    outcome, started = Outcome(name, []), time.monotonic()
    process.start()
    theirs.close()
    while outcome.state == "running":
        left = started + seconds + GRACE - time.monotonic()
        try:
            if left <= 0 or not ours.poll(left):
                outcome.state = f"stopped after {seconds:.0f} s: its time was over"
                break
            message = ours.recv()
        except EOFError:
            process.join()
            outcome.state = f"failed: its process ended with code {process.exitcode}"
            break
        if isinstance(message, str):
            outcome.state = message
        else:
            outcome.rows.append(message)
        outcome.seconds = time.monotonic() - started
        keep(outcome)
    if outcome.state.startswith("stopped"):
        process.kill()
    process.join()
    outcome.seconds = time.monotonic() - started
    keep(outcome)
    return outcome


def draw(outcome: Outcome) -> str:
    """A part's rows as a table for people; columns are those that any row has, in the order of their coming."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = f"{outcome.name}: {outcome.state}, {outcome.seconds:.0f} s"
    if not outcome.rows:
        return title
    columns = list(dict.fromkeys(key for row in outcome.rows for key in row))
    table = Table(*columns)
    for row in outcome.rows:
        # As they are: rich takes brackets in an error for its own marks.
        table.add_row(*(Text("" if row.get(column) is None else show(row.get(column))) for column in columns))
    text = StringIO()
    Console(file=text, width=170).print(table)
    return f"{title}\n{text.getvalue().rstrip()}"


def show(value: Any) -> str:
    """A number with four digits, anything else as it is."""
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def write(outcome: Outcome, device: str, about: dict[str, Any], folder: Path) -> None:
    """The part's file, in the form of `benchmarks/run.py`."""
    place = device.split(":")[0]
    name = f"gpu_{outcome.name}"
    kept = {
        "name": name,
        "command": f"python -m benchmarks.gpu.suite {outcome.name} --device {device}",
        "date": date.today().isoformat(),
        "minutes": round(outcome.seconds / 60, 1),
        **about,
        "state": outcome.state,
        "printed": draw(outcome),
        "figures": outcome.rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{place}.json"
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def describe() -> dict[str, Any]:
    """Commit, machine with its card and driver, and versions: the same for all parts."""
    return {
        "revision": results.tell_revision(),
        "machine": results.describe_machine(),
        "load": round(os.getloadavg()[1], 1),
        "versions": results.list_versions(),
    }


def run_all(names: list[str], device: str, small: bool, minutes: float, folder: Path) -> list[Outcome]:
    """All parts for which there is time."""
    until, about, outcomes = time.monotonic() + 60 * minutes, describe(), []
    for name in names:
        left = until - time.monotonic()
        seconds = min(PARTS[name] * minutes / 6, left - GRACE)
        if seconds < PATIENCE:
            outcome = Outcome(name, [], f"left out: {max(left, 0):.0f} s were left")
            write(outcome, device, about, folder)
        else:
            outcome = run_part(name, device, small, seconds, lambda outcome: write(outcome, device, about, folder))
        outcomes.append(outcome)
        print(draw(outcome), flush=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without one")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="the size for a CPU, whose figures mean nothing")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--out", type=Path, help="folder of the results  [default: benchmarks/results; none with --small]")
    parser.add_argument("--smoke", action="store_true", help="all parts on the CPU at the small size, and nothing kept")
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: choose of {', '.join(PARTS)}.")
    device, small = ("cpu", True) if options.smoke else (options.device, options.small)
    refuse_absent(parser, device)
    os.environ.setdefault("PYTORCH_ALLOC_CONF", SEGMENTS)
    with tempfile.TemporaryDirectory() as scratch:
        tell_version(Path(scratch) / "version")
        folder = options.out or (Path(scratch) if small else results.KEPT)
        outcomes = run_all(options.parts or list(PARTS), device, small, options.minutes, folder)
        measured = {} if small else {outcome.name: outcome.rows for outcome in outcomes}
        goals = Outcome("goals", judge_goals(measured), "not judged at the small size" if small else "done")
        write(goals, device, describe(), folder)
        print(draw(goals), flush=True)
    print(json.dumps({outcome.name: outcome.state for outcome in outcomes}))
    sys.exit(any(map(has_failed, outcomes)))


def has_failed(outcome: Outcome) -> bool:
    """Whether a part failed, or one of its checks or ways did."""
    rows = (row.get("result") == "FAILS" or str(row.get("note")).startswith("failed") for row in outcome.rows)
    return outcome.state.startswith("failed") or any(rows)


def tell_version(folder: Path) -> None:
    """Let processes find the package's version, which explanations record, in a checkout that isn't installed."""
    if find_spec("musiclime_torch") is None:
        sys.exit("musiclime_torch isn't here: run this in the root of a checkout.")
    try:
        version("musiclime_torch")
    except PackageNotFoundError:
        about = tomllib.loads((results.HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        metadata = folder / f"musiclime_torch-{about['version']}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: musiclime_torch\nVersion: {about['version']}\n", encoding="utf-8")
        sys.path.append(str(folder))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def refuse_absent(parser: argparse.ArgumentParser, device: str) -> None:
    """End the process where the device isn't there, before parts fail one by one."""
    import torch

    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        parser.error(f"device {device!r} can't be used here: try --device cpu --small.")


if __name__ == "__main__":
    main()
