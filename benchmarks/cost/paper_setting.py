"""The paper's setting on the paper's model, AST-base and RoBERTa-large: hours of 5,000 joint rows and of crossed masks.

A run takes hours on a CPU, so two measurements are combined instead: seconds a pass of either encoder at full
size, ten seconds of sound and 256 tokens, on this machine; and how many masks of each side err no more than 5,000 joint,
independent rows on the small models (`games.py`), whose main effects are known. For the sound's main effects alone, the
lyrics' alone and all pooled, the cheapest crossed design at the full model's costs is taken. One more game has
strong interactions, because these are noise to joint rows. Time outside the model isn't counted on either side: `scaling.py`
measures ours, and the original's is longer.

    python -m benchmarks.cost.paper_setting [--smoke] [--seeds 5] [--passes 16] [--threads 1] [--device cpu|cuda]
        [--rows 8] [--precision bfloat16] [--compile]
"""

import argparse
import json

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.tools.tuning import add_options, read_options
from benchmarks.worlds.budgets import LONGEST, ROWS, find_truths, measure_game
from benchmarks.worlds.games import make_games, make_interacting
from benchmarks.worlds.subjects import measure_passes
from benchmarks.worlds.world import World
from musiclime_torch.surrogate import CrossedDesign, draw_foldover, split_variance


def measure_interactions(game: World) -> float:
    """Share of the logits' variance that sound and lyrics have only together, the classes' mean."""
    design = CrossedDesign(draw_foldover(game.d_audio, 176, 5), draw_foldover(game.d_lyrics, 208, 6))
    values = game.cross(design.audio.masks, design.lyrics.masks, "logit")
    return float(split_variance(design, values).values[:, 2].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a tiny model, one seed, 600 rows")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--passes", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    add_options(parser, rows=8)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tuning = read_options(options)
    size = "tiny" if options.smoke else "paper"
    rows, longest, seeds, reach = (600, (528, 416), 1, 4) if options.smoke else (ROWS, LONGEST, options.seeds, 20)
    costs = measure_passes(size, options.passes, tuning)
    original = rows * sum(costs) / 3600
    table = Table(title=f"AST + RoBERTa, {size}: {costs[0]:.2f} s a pass of sound, {costs[1]:.2f} s of lyrics; {tuning}")
    for heading in (
        "errors from",
        "acts together",
        "part",
        f"error of {rows:,} joint rows",
        "crossed",
        "masks",
        "hours, original",
        "hours",
        "share",
    ):
        table.add_column(heading)
    shares: dict[str, dict[str, float | None]] = {}
    together: dict[str, float] = {}
    for game in [*make_games(tuning.device), make_interacting()]:
        together[game.name] = round(measure_interactions(game), 3)
        target, medians = measure_game(game, rows, longest, seeds, find_truths(game, longest, reach))
        for part, error in target.items():
            good = [counts for counts, errors in medians.items() if errors[part] <= error]
            best = min(good, key=lambda counts: costs[0] * counts[0] + costs[1] * counts[1], default=None)
            hours = None if best is None else (costs[0] * best[0] + costs[1] * best[1]) / 3600
            shares.setdefault(part, {})[game.name] = hours and round(hours / original, 3)
            masks = "none up to the longest" if best is None else f"{best[0]} + {best[1]}"
            reached = "" if best is None else f"{medians[best][part]:.2g}"
            spent = ("", "") if hours is None else (f"{hours:.2f}", f"{hours / original:.2f}")
            table.add_row(
                game.name, f"{together[game.name]:.1%}", part, f"{error:.2g}", reached, masks, f"{original:.2f}", *spent
            )
    Console(width=140).print(table)
    print(json.dumps({"seconds_a_pass": [round(cost, 3) for cost in costs], "share_of_time": shares, "together": together}))


if __name__ == "__main__":
    main()
