"""Seconds to an explanation of a given accuracy: ours, the paper's procedure and other people's, on the same models.

Accuracy is what a method's own masks leave to chance: how far two runs with other seeds lie apart, half their squared
difference over their product (for the target's attributions; medians over pairs of seeds). That is the relative squared
error against the method's own limit, however good that limit is. Budgets are doubled until it is reached; the time is that
of a whole call, model included, at that budget. All run in turn in one process, after one warm-up call each.

The embedded model and a small AST + RoBERTa are run. For AST + RoBERTa of other sizes, whose runs take hours on a CPU,
seconds a pass are measured, eight at a time, and multiplied by the passes that the small one took; what a method spends
outside the model is added as measured on the small one. On a GPU all sizes are run like the rest.

    python -m benchmarks.cost.time_to_accuracy [--smoke] [--accuracies 0.1,0.01,0.001] [--most 4096] [--seeds 3]
        [--direct base,paper] [--threads 1] [--device cpu|cuda] [--rows 64] [--precision bfloat16] [--compile]
"""

import argparse
import json
import warnings
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.cost.methods import METHODS, Bench, RefusalError, Run, measure_run, prepare, tell_error
from benchmarks.tools.tuning import Tuning, add_options, read_options
from benchmarks.worlds.games import make_embedded
from benchmarks.worlds.subjects import SIZES, make_ast_roberta, make_track, measure_passes
from benchmarks.worlds.transformer import make_transformer
from benchmarks.worlds.world import make_probed

LEAST = 128


def search(bench: Bench, method: str, finest: float, most: int, seeds: int) -> list[tuple[float, Run]]:
    """Errors at growing budgets, each with a typical run, until the finest accuracy is reached."""
    runs_by_error: list[tuple[float, Run]] = []
    budget = LEAST
    while budget <= most and (not runs_by_error or runs_by_error[-1][0] > finest):
        try:
            if not runs_by_error or bench.tuning.compiled:
                measure_run(bench, method, budget, 0)  # imports, threads, and what other numbers of rows are compiled for
            runs = [measure_run(bench, method, budget, 100 + seed) for seed in range(seeds)]
            runs_by_error.append((tell_error(runs), typical(runs)))
        except RefusalError:
            pass
        budget *= 2
    return runs_by_error


def pick(runs: list[tuple[float, Run]], accuracy: float) -> Run | None:
    """The cheapest run that is accurate enough."""
    return next((run for error, run in runs if error <= accuracy), None)


def typical(runs: list[Run]) -> Run:
    """The median run by time."""
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="the embedded model, ours and one peer")
    parser.add_argument("--accuracies", default="0.1,0.01,0.001")
    parser.add_argument("--most", type=int, default=4096)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--direct", help="sizes of AST + RoBERTa to run instead of extrapolating: by default tiny,base,paper on a GPU"
    )
    parser.add_argument("--threads", type=int, default=1)
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    tuning = read_options(options)
    most, seeds = (256, 2) if options.smoke else (options.most, options.seeds)
    accuracies = [float(accuracy) for accuracy in options.accuracies.split(",")]
    methods = ["musiclime_torch", "audiolime"] if options.smoke else list(METHODS)
    asked = options.direct if options.direct is not None else "" if tuning.device.type == "cpu" else "tiny,base,paper"
    direct = [size for size in asked.split(",") if size]
    cheapest: dict[str, dict[str, dict[float, Run | None]]] = {}
    for bench in list_benches(options.smoke, direct, tuning):
        for method in methods:
            errors = search(bench, method, min(accuracies), most, seeds)
            cheapest.setdefault(bench.game.name, {})[method] = {accuracy: pick(errors, accuracy) for accuracy in accuracies}
    for size in () if options.smoke else [size for size in SIZES if size not in direct]:
        ear, eye = measure_passes(size, 8, replace(tuning, rows=8))
        cheapest[f"{size} (reckoned)"] = {
            method: {accuracy: run and reckon(run, ear, eye) for accuracy, run in by_accuracy.items()}
            for method, by_accuracy in cheapest["transformer"].items()
        }
    show(
        cheapest, accuracies, f"{tuning}, {options.threads} thread(s), torch {torch.__version__}; at most {most:,} variants"
    )
    seconds = {
        model: {method: [run and round(run.seconds, 2) for run in runs.values()] for method, runs in methods.items()}
        for model, methods in cheapest.items()
    }
    print(json.dumps({"accuracies": accuracies, "seconds": seconds}))


def reckon(run: Run, ear: float, eye: float) -> Run:
    """The same passes at other costs a pass."""
    return replace(run, seconds=run.passes[0] * ear + run.passes[1] * eye + run.outside)


def show(cheapest: dict[str, dict[str, dict[float, Run | None]]], accuracies: list[float], title: str) -> None:
    """Seconds, passes of the two encoders, and how many times ours that is."""
    table = Table(title=title)
    for heading in ("model", "method", *(f"error {accuracy:g}: seconds (passes), times ours" for accuracy in accuracies)):
        table.add_column(heading)
    for model, methods in cheapest.items():
        for method, runs in methods.items():
            cells = []
            for accuracy, run in runs.items():
                ours = methods["musiclime_torch"][accuracy]
                times = f", {run.seconds / ours.seconds:.1f}" if run and ours else ""
                cells.append(f"{run.seconds:,.1f} ({run.passes[0]:,} + {run.passes[1]:,}){times}" if run else "not reached")
            table.add_row(model, method, *cells)
    Console(width=150).print(table)


def list_benches(smoke: bool, direct: list[str], tuning: Tuning) -> list[Bench]:
    """Models and songs to run."""
    games = [make_embedded(tuning)] if smoke else [make_embedded(tuning), make_transformer(0, tuning)]
    games += [make_probed(size, make_ast_roberta(size), make_track(), tuning) for size in direct]
    return [prepare(game, tuning) for game in games]


if __name__ == "__main__":
    main()
