"""What solving takes: joint and crossed surrogates, their errors, shares and discoveries, beside another build of ours.

Each figure is the process time of one call, on one thread, the median of several; with `--beside`, another checkout (from
d79e3d6 on) solves the same problems in a process of its own, in turn with this one, and each ratio is taken within its
round. Differences are the largest ones of coefficients (relative to the largest coefficient) and of standard errors
(relative), of both builds. Memory is the peak of a process above what the problem itself takes. A build that can't leave
interactions out solves them for all classes.

    python -m benchmarks.overhead.solving [--smoke] [--beside CHECKOUT] [--rounds 5]
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import musiclime_torch

#: A problem gives coefficients and standard errors.
Problem = Callable[[], tuple[Tensor, Tensor]]

#: Where d79e3d6 has what the `surrogate` room has now.
HOMES = {
    "CrossedDesign": "design",
    "draw_foldover": "design",
    "draw_kerdock": "design",
    "solve": "solver",
    "solve_crossed": "statistics.crossed",
    "split_errors": "statistics.crossed",
    "solve_pairs": "statistics.pairs",
    "split_variance": "statistics.variance",
    "discover": "statistics.intervals",
}


def find(name: str) -> Any:
    """A function of the build that is measured, by the name that it has in this one."""
    room = Path(musiclime_torch.__path__[0], "surrogate").is_dir()
    module = import_module(f"musiclime_torch.{'surrogate' if room else HOMES[name]}")
    assert Path(module.__file__).is_relative_to(musiclime_torch.__path__[0]), f"{module.__file__} is another build's"
    return getattr(module, name)


def read(fitted: Any) -> tuple[Tensor, Tensor]:
    """Coefficients and errors, the class as the first axis: of a fit, or of values with their errors."""
    known = getattr(fitted, "coefficients", fitted)
    if isinstance(known, Tensor):  # d79e3d6: side by side, and the class last unless they are crossed
        return (known, fitted.standard_errors) if known.ndim == 3 else (known.T, fitted.standard_errors.T)
    return known.values, getattr(known, "errors", getattr(known, "standard_errors", None))


def read_main(fitted: Any) -> tuple[Tensor, Tensor]:
    """Main effects of a crossed fit."""
    if hasattr(fitted, "main"):
        return read(fitted.main)
    return tuple(torch.cat([table[:, 1:, 0], table[:, 0, 1:]], 1) for table in read(fitted))


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def list_problems(smoke: bool) -> dict[str, Problem]:
    """By name; `few` classes of a crossed problem stand for all where a laptop would take minutes."""
    rows, classes, side, few = (600, 20, 128, 2) if smoke else (5000, 527, 1024, 16)
    names = ("solve", "solve_crossed", "split_errors", "solve_pairs", "split_variance", "discover")
    solve, solve_crossed, split_errors, solve_pairs, split_variance, discover = map(find, names)
    draw_foldover = find("draw_foldover")
    joint, kerdock = draw_foldover(140, rows, 0), find("draw_kerdock")(40, rows, 0)
    crossed = find("CrossedDesign")(draw_foldover(40, side, 0), draw_foldover(100, side + 16, 1))
    nine, many, cycle = draw(joint.n_samples, 9), draw(joint.n_samples, classes), draw(kerdock.n_samples, 9)
    grid = draw(few, crossed.audio.n_samples, crossed.lyrics.n_samples)
    values = draw(1, classes * rows)
    # All classes of a large problem, made from few: a standard normal grid of 527 takes half a minute to draw.
    every = grid.repeat(-(-classes // few), 1, 1)[:classes]
    ours = "kept" in signature(solve_crossed).parameters

    def cross() -> tuple[Tensor, Tensor]:
        return read_main(solve_crossed(crossed, every, kept=(0,)) if ours else solve_crossed(crossed, every))

    def discover_all() -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(values)
        return discover(values, ones, 200 * ones, 0.05).double().sum(1), ones[:, 0]

    shape = f"{crossed.audio.n_samples:,} × {crossed.lyrics.n_samples:,}"
    return {
        f"joint, {joint.n_samples:,} × 140, 9 classes": lambda: read(solve(joint, nine, 0.0)),
        f"joint, {joint.n_samples:,} × 140, {classes} classes": lambda: read(solve(joint, many, 0.0)),
        f"Kerdock, {kerdock.n_samples:,} × 40, 9 classes": lambda: read(solve(kerdock, cycle, 0.0)),
        f"interactions of Kerdock, {kerdock.n_samples:,} × 40": lambda: read(
            solve_pairs(kerdock, cycle, solve(kerdock, cycle, 0.0))
        ),
        f"crossed, {shape}, {classes} classes, interactions of one": cross,
        f"crossed, {shape}, {few} classes, all interactions": lambda: read(solve_crossed(crossed, grid)),
        f"crossed, {few} classes, errors by side": lambda: (split_errors(crossed, grid), torch.ones(1)),
        f"crossed, {few} classes, shares of the variance": lambda: read(split_variance(crossed, grid)),
        f"discoveries among {values.numel():,}": discover_all,
    }


def tell_peak() -> float:
    """MiB of this process at its peak; not from `benchmarks.tools`, which the other build may have none of."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def solve_all(smoke: bool, folder: Path) -> dict[str, list[float]]:
    """Milliseconds and MiB of each problem; what they give is saved to be compared."""
    torch.set_num_threads(1)
    figures = {}
    for number, (name, problem) in enumerate(list_problems(smoke).items()):
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        before = tell_peak()
        torch.save(problem(), folder / f"{number}.pt")
        added = tell_peak() - before
        spent: list[float] = []
        # Once more is enough where one call takes seconds.
        while len(spent) < 5 and sum(spent) < 2000:
            started = time.process_time()
            problem()
            spent.append(1e3 * (time.process_time() - started))
        figures[name] = [statistics.median(spent), added]
    return figures


def run_apart(checkout: Path, smoke: bool, folder: Path) -> dict[str, list[float]]:
    """`solve_all` in a process of its own that imports the package from a checkout."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(Path(__file__).resolve()), "--into", str(folder), *(["--smoke"] if smoke else [])]
    printed = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(checkout)}, check=True, capture_output=True, text=True
    )
    return json.loads(printed.stdout.splitlines()[-1])


def compare(first: Path, second: Path) -> tuple[float, float]:
    """The largest differences of coefficients and of errors."""
    (values, errors), (other, others) = torch.load(first), torch.load(second)
    apart = (values - other).abs().max() / other.abs().max().clamp_min(1e-300)
    return float(apart), float((errors / others - 1).abs().nan_to_num(0.0).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small problems, one round")
    parser.add_argument("--beside", type=Path, help="another checkout of this project")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.into:
        print(json.dumps(solve_all(options.smoke, options.into)))
        return
    here = Path(__file__).resolve().parents[2]
    table = Table(title=f"milliseconds of process time, one thread, torch {torch.__version__}")
    headings = (
        "this build",
        "the other",
        "times faster",
        "MiB",
        "the other's",
        "coefficients differ by",
        "errors differ by",
    )
    for heading in ("problem", *headings):
        table.add_column(heading)
    with tempfile.TemporaryDirectory() as folder:
        own, other = Path(folder, "own"), Path(folder, "other")
        rounds = [
            (run_apart(here, options.smoke, own), run_apart(options.beside or here, options.smoke, other))
            for _ in range(1 if options.smoke else options.rounds)
        ]
        speeds = {}
        for number, name in enumerate(rounds[0][0]):
            pairs = [(mine[name], theirs[name]) for mine, theirs in rounds]
            speeds[name] = statistics.median(theirs[0] / mine[0] for mine, theirs in pairs)
            times, memory = (
                [statistics.median(build[name][kind] for build in builds) for builds in zip(*rounds, strict=True)]
                for kind in (0, 1)
            )
            apart = compare(own / f"{number}.pt", other / f"{number}.pt")
            row = (*(f"{median:.1f}" for median in times), f"{speeds[name]:.1f}", *(f"{median:.0f}" for median in memory))
            table.add_row(name, *row, *(f"{value:.0e}" for value in apart))
    Console(width=160).print(table)
    print(json.dumps({name: round(speed, 2) for name, speed in speeds.items()}))


if __name__ == "__main__":
    main()
