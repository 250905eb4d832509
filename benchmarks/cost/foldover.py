"""Fold-over blocks against independent rows, at every number of rows that whole blocks admit.

Polynomials of 40 columns: main effects with products of two, with products of three, with both, and with odd products of
three that outweigh the even ones four to one. Squared errors of the main effects, as shares of those of independent rows
(smaller is better): a fold-over of Hadamard blocks, the same blocks without complements, Kerdock's fold-over blocks, and
what `explain` does by default: Kerdock's where an eighth of their cycle or more is drawn, without complements where the
first block shows that they don't pay. Medians over seeds; a fold-over's worst case in theory is 2, where even terms don't
matter.

    python -m benchmarks.cost.foldover [--smoke] [--seeds 100]
"""

import argparse
import json
import statistics

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from musiclime_torch.surrogate import (
    Design,
    draw_bernoulli,
    draw_blocks,
    draw_foldover,
    draw_half_folded,
    draw_kerdock,
    draw_unfolded,
    is_better_unfolded,
    solve,
)

COLUMNS = 40
#: Weights of products of two and of three, beside main effects of one.
MODELS = {"order two": (1.0, 0.0), "order three": (0.0, 1.0), "mixed": (1.0, 1.0), "mostly odd": (0.5, 1.0)}

SHOWN = ("fold-over", "without", "kerdock", "default")


def evaluate(masks: Tensor, seed: int, pairs: float, triples: float) -> tuple[Tensor, Tensor]:
    """Outputs of a random polynomial, and its main effects."""
    generator = torch.Generator().manual_seed(seed)
    signs = 2 * masks.double() - 1
    main = torch.randn(COLUMNS, generator=generator, dtype=torch.float64)
    outputs = signs @ main
    for order, weight in ((2, pairs), (3, triples)):
        columns = torch.stack([torch.randperm(COLUMNS, generator=generator)[:order] for _ in range(60)])
        weights = weight * torch.randn(60, generator=generator, dtype=torch.float64)
        outputs = outputs + signs[:, columns].prod(2) @ weights
    return outputs, 2 * main


def draw_default(n: int, seed: int, pairs: float, triples: float) -> Design:
    """A fold-over block, and then what it recommends."""
    design = draw_blocks(COLUMNS, n, seed)
    pilot = design.first(design.block)
    outputs, _ = evaluate(pilot.masks, seed, pairs, triples)
    unfold = design.n_samples > pilot.n_samples and is_better_unfolded(pilot, outputs, design.third_order)
    return draw_half_folded(pilot, n, seed) if unfold else design


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few seeds and sizes")
    parser.add_argument("--seeds", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = 10 if options.smoke else options.seeds
    block = draw_foldover(COLUMNS, 1, 0).block
    sizes = [block * count for count in ((1, 2, 4) if options.smoke else (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 24, 32, 40, 47))]
    table = Table(title=f"squared error as a share of independent rows', {COLUMNS} columns, median of {seeds} seeds")
    for heading in ("model", "rows", "fold-over", "without complements", "Kerdock", "default", "dropped complements"):
        table.add_column(heading)
    worst: dict[str, float] = {}
    for name, (pairs, triples) in MODELS.items():
        for n in sizes:
            errors: dict[str, list[float]] = {
                key: [] for key in ("independent", "fold-over", "without", "kerdock", "default")
            }
            unfolded = 0
            for seed in range(seeds):
                default = draw_default(n, seed, pairs, triples)
                unfolded += default.folded < default.n_samples
                designs = {
                    "independent": draw_bernoulli(COLUMNS, n, seed),
                    "fold-over": draw_foldover(COLUMNS, n, seed),
                    "without": draw_unfolded(COLUMNS, n, seed),
                    "kerdock": draw_kerdock(COLUMNS, n, seed),
                    "default": default,
                }
                for key, design in designs.items():
                    outputs, truth = evaluate(design.masks, seed, pairs, triples)
                    slopes = solve(design, outputs[:, None], 0.0).coefficients.values[0]
                    # Whole blocks may be a few rows more than were asked for.
                    errors[key].append(float((slopes - truth).square().mean()) * design.n_samples / n)
            medians = {key: statistics.median(values) for key, values in errors.items()}
            shares = {key: value / medians["independent"] for key, value in medians.items()}
            for key in ("fold-over", "default"):
                worst[key] = max(worst.get(key, 0.0), shares[key])
            shown = (
                "none" if shares[key] < 1e-12 else f"{shares[key]:.2f}"
                for key in ("fold-over", "without", "kerdock", "default")
            )
            table.add_row(name, str(n), *shown, f"{unfolded / seeds:.0%}")
    Console(width=120).print(table)
    print(json.dumps({f"worst {key}": round(value, 2) for key, value in worst.items()}))


if __name__ == "__main__":
    main()
