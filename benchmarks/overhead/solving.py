"""What solving takes: joint and crossed surrogates, their errors, shares and discoveries, beside another build of ours
(one whose package has a `surrogate` room).

Each figure is the process time of one call, on one thread, the median of several; with `--beside`, another checkout solves
the same problems in a process of its own, in turn with this one, and each ratio is taken within its round. Differences are
the largest ones of coefficients (relative to the largest coefficient) and of standard errors (relative), of both builds.

    python -m benchmarks.overhead.solving [--smoke] [--beside CHECKOUT] [--rounds 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from musiclime_torch.surrogate import (
    CrossedDesign,
    discover,
    draw_foldover,
    draw_kerdock,
    solve,
    solve_crossed,
    solve_pairs,
    split_errors,
    split_variance,
)

#: A problem gives coefficients and standard errors.
Problem = Callable[[], tuple[Tensor, Tensor]]


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def list_problems(smoke: bool) -> dict[str, Problem]:
    """By name; the classes of a crossed problem that a laptop solves in seconds stand for 527."""
    rows, classes, side, kept = (600, 20, 128, 2) if smoke else (5000, 527, 1024, 16)
    joint, kerdock = draw_foldover(140, rows, 0), draw_kerdock(40, rows, 0)
    crossed = CrossedDesign(draw_foldover(40, side, 0), draw_foldover(100, side + 16, 1))
    few, many, cycle = draw(joint.n_samples, 9), draw(joint.n_samples, classes), draw(kerdock.n_samples, 9)
    grid = draw(kept, crossed.audio.n_samples, crossed.lyrics.n_samples)
    values = draw(1, classes * rows)

    def fit(design: object, outputs: Tensor) -> tuple[Tensor, Tensor]:
        known = (solve_crossed if outputs.ndim == 3 else lambda *given: solve(*given, 0.0))(design, outputs).coefficients
        return known.values, known.errors

    def pair() -> tuple[Tensor, Tensor]:
        known = solve_pairs(kerdock, cycle, solve(kerdock, cycle, 0.0)).coefficients
        return known.values, known.errors

    def split() -> tuple[Tensor, Tensor]:
        known = split_variance(crossed, grid)
        return known.values, known.errors

    def find() -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(values)
        return discover(values, ones, 200 * ones, 0.05).double().sum(1), ones[:, 0]

    return {
        f"joint, {joint.n_samples:,} × 140, 9 classes": lambda: fit(joint, few),
        f"joint, {joint.n_samples:,} × 140, {classes} classes": lambda: fit(joint, many),
        f"Kerdock, {kerdock.n_samples:,} × 40, 9 classes": lambda: fit(kerdock, cycle),
        f"interactions of Kerdock, {kerdock.n_samples:,} × 40": pair,
        f"crossed, {kept} classes": lambda: fit(crossed, grid),
        "crossed, errors by side": lambda: (split_errors(crossed, grid), torch.ones(1)),
        "crossed, shares of the variance": split,
        f"discoveries among {values.numel():,}": find,
    }


def solve_all(smoke: bool, folder: Path) -> dict[str, float]:
    """Milliseconds of each problem; what they give is saved to be compared."""
    torch.set_num_threads(1)
    figures = {}
    for number, (name, problem) in enumerate(list_problems(smoke).items()):
        torch.save(problem(), folder / f"{number}.pt")
        spent = []
        for _ in range(3):
            started = time.process_time()
            problem()
            spent.append(1e3 * (time.process_time() - started))
        figures[name] = statistics.median(spent)
    return figures


def run_apart(checkout: Path, smoke: bool, folder: Path) -> dict[str, float]:
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
    for heading in ("problem", "this build", "the other", "times faster", "coefficients differ by", "errors differ by"):
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
            speeds[name] = statistics.median(theirs / mine for mine, theirs in pairs)
            apart = compare(own / f"{number}.pt", other / f"{number}.pt")
            medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
            row = (*(f"{median:.1f}" for median in medians), f"{speeds[name]:.1f}", *(f"{value:.0e}" for value in apart))
            table.add_row(name, *row)
    Console(width=140).print(table)
    print(json.dumps({name: round(speed, 2) for name, speed in speeds.items()}))


if __name__ == "__main__":
    main()
