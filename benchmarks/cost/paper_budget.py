"""What the paper's budget buys with crossed masks: encoder work to match 5,000 independent joint rows on both sides at once.

Each run encodes the masks of many crossed designs, as `explain` draws them at their sizes. Of those whose median errors of
main effects (logits, relative, all classes) are no larger than the joint rows', on the sound's side and on the lyrics', the
cheapest counts. Work is the encoders' floating-point operations, a pass of each counted as torch counts it (with attention
written out, for fused attention isn't counted on a CPU); the polynomial's passes count one each. The last line holds
(5,000 passes of both encoders) / (N_a and N_t passes of each).

    python -m benchmarks.cost.paper_budget [--smoke] [--seeds 7] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.worlds.budgets import LONGEST, ROWS, count_passes, measure_game
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
    ratios = {}
    for game in make_games(torch.device(options.device)):
        costs = count_passes(game)
        target, medians = measure_game(game, rows, longest, seeds, reach)
        sides = ("audio", "lyrics")
        matching = [counts for counts, errors in medians.items() if all(errors[side] <= target[side] for side in sides)]
        if not matching:
            table.add_row(game.name, "", "", "", "none up to the longest design", "")
            ratios[game.name] = None
            continue
        best = min(matching, key=lambda counts: costs[0] * counts[0] + costs[1] * counts[1])
        ratio = rows * sum(costs) / (costs[0] * best[0] + costs[1] * best[1])
        ratios[game.name] = round(ratio, 2)
        table.add_row(
            game.name,
            f"{costs[0]:.3g} + {costs[1]:.3g}",
            f"{target['audio']:.2g}, {target['lyrics']:.2g}",
            f"{medians[best]['audio']:.2g}, {medians[best]['lyrics']:.2g}",
            f"{best[0]} + {best[1]}",
            f"{ratio:.2f}",
        )
    Console(width=140).print(table)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
