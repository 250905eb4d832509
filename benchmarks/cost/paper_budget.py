"""What the paper's budget buys with crossed masks: encoder work to match 5,000 independent joint rows on both sides at once.

Each run encodes the masks of many crossed designs, as `explain` draws them at their sizes. Of those whose median errors of
main effects (logits, relative, all classes) are no larger than the joint rows', on the sound's side and on the lyrics', the
cheapest counts. Work is the encoders' floating-point operations, a pass of each counted as torch counts it (with attention
written out, for fused attention isn't counted on a CPU); the polynomial's passes count one each. The last line holds
(5,000 passes of both encoders) / (N_a and N_t passes of each). With local maps, a model that offers them makes a table once
more masks are asked for than that takes passes, and looks all masks up; what looking up takes is counted. The cheapest
design is then another one.

    python -m benchmarks.cost.paper_budget [--smoke] [--seeds 7] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json
from collections.abc import Callable, Mapping

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.worlds.budgets import LONGEST, ROWS, Work, count_passes, count_work, measure_game
from benchmarks.worlds.games import make_games


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two seeds, 600 rows, a short reference")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows, longest, seeds, reach = (600, (528, 416), 2, 4) if options.smoke else (ROWS, LONGEST, options.seeds, 20)
    table = Table(title=f"encoder work to match {rows:,} joint rows in audio and lyrics error at once, {seeds} seeds")
    for heading in (
        "model",
        "FLOPs a pass",
        "joint error (audio, lyrics)",
        "crossed error",
        "masks",
        "joint / crossed work",
    ):
        table.add_column(heading)
    ratios: dict[str, float | None] = {}
    for game in make_games(torch.device(options.device)):
        passes = count_passes(game)
        target, medians = measure_game(game, rows, longest, seeds, reach)
        work = count_work(game, passes)
        ways: dict[str, Callable[[int, int], float]] = {game.name: work.count}
        if work.table:
            ways[f"{game.name}, local maps"] = work.count_with_tables
        for name, count in ways.items():
            cells, ratios[name] = compare(medians, target, count, rows * work.count(1, 1))
            table.add_row(name, describe(work, count), *cells)
    Console(width=140).print(table)
    print(json.dumps(ratios))


def compare(
    medians: Mapping[tuple[int, int], Mapping[str, float]],
    target: Mapping[str, float],
    count: Callable[[int, int], float],
    joint: float,
) -> tuple[tuple[str, ...], float | None]:
    """Cells of the cheapest design that is as exact as the joint rows, and how many times its work theirs is."""
    sides = ("audio", "lyrics")
    matching = [counts for counts, errors in medians.items() if all(errors[side] <= target[side] for side in sides)]
    show = lambda errors: f"{errors['audio']:.2g}, {errors['lyrics']:.2g}"  # noqa: E731
    if not matching:
        return (show(target), "", "none up to the longest design", ""), None
    best = min(matching, key=lambda counts: count(*counts))
    ratio = joint / count(*best)
    return (show(target), show(medians[best]), f"{best[0]} + {best[1]}", f"{ratio:.2f}"), round(ratio, 2)


def describe(work: Work, count: Callable[[int, int], float]) -> str:
    """FLOPs of each kind of pass."""
    looked = f"; {work.table} sounds, then {work.look_up:.3g}" if count == work.count_with_tables else ""
    return f"{work.hear:.3g} + {work.read:.3g}{looked}"


if __name__ == "__main__":
    main()
