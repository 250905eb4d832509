"""What the command line takes before it does anything: `musiclime --help` beside an interpreter that does nothing.

Processor time (user and system) of whole processes, in turns, beyond that of `python -c pass`: the least and the median of
many. Byte code is kept from one to the next, as it is where the package is installed. With `--beside`, another checkout is
started in the same turns.

    python -m benchmarks.overhead.start [--smoke] [--beside CHECKOUT] [--rounds 40]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.tools.builds import add_options, list_builds

#: What is asked of the program, and the interpreter without it.
ASKED = (("-m", "musiclime_torch", "--help"), ("-m", "musiclime_torch", "explain", "--help"))
NOTHING = ("-c", "pass")


def measure(arguments: tuple[str, ...], checkout: Path, byte_code: str) -> float:
    """Milliseconds of processor time of one process."""
    kept = {"PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": byte_code, "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | kept, cwd=checkout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure_rounds(builds: dict[str, Path], rounds: int) -> dict[tuple[str, tuple[str, ...]], list[float]]:
    """Milliseconds of every command of every build, one a round; the first round, which writes byte code, isn't counted."""
    taken: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    with tempfile.TemporaryDirectory() as byte_code:
        for number in range(rounds + 1):
            for name, checkout in builds.items():
                for arguments in (NOTHING, *ASKED):
                    milliseconds = measure(arguments, checkout, byte_code)
                    if number:
                        taken.setdefault((name, arguments), []).append(milliseconds)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two rounds")
    add_options(parser, rounds=40)
    options = parser.parse_args()
    builds = list_builds(options.beside)
    taken = measure_rounds(builds, 2 if options.smoke else options.rounds)
    table = Table(title=f"processor milliseconds beyond python -c pass, {len(next(iter(taken.values())))} rounds")
    for heading in ("build", "command", "least", "median"):
        table.add_column(heading)
    figures = {}
    for name in builds:
        least, middle = (kind(taken[name, NOTHING]) for kind in (min, statistics.median))
        for arguments in ASKED:
            own = taken[name, arguments]
            spent = (min(own) - least, statistics.median(own) - middle)
            command = " ".join(("musiclime", *arguments[2:]))
            table.add_row(name, command, *(f"{value:.0f}" for value in spent))
            figures[f"{name}, {command}"] = [round(value, 1) for value in spent]
    Console(width=100).print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
