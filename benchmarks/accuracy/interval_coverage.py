"""How often nominal 95% intervals hold the truth: joint and crossed fold-over masks, main effects and interactions.

For polynomials of third order, the true main effects of the logits are known; those of probabilities come from all masks
of a smaller one (10 sound and 10 lyric columns, a million pairs). The embedded model is compared with a long run, whose own
error is added to the interval's. Fractions are pooled over coefficients whose error isn't exactly zero: with a
fold-over, terms of order two cause none in main effects, nor do products of three in interactions. The table says how many
coefficients remain. Blocks are those that `explain` takes: nested ones that know the song's segments for 256 to 1,024 masks
of 40 cells, Hadamard's for fewer. "sum" is all main effects together, with errors
added as `Explanation.sum_over` adds them. Songs of several windows are compared with all masks of every window.

    python -m benchmarks.accuracy.interval_coverage [--smoke] [--repetitions 200] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.tools.tuning import Tuning
from benchmarks.worlds.games import make_embedded
from benchmarks.worlds.polynomials import draw_polynomial, make_analytic, tell_truth
from benchmarks.worlds.references import make_reference, split_table
from benchmarks.worlds.world import World
from musiclime_torch import Track, explain
from musiclime_torch.surrogate import CrossedDesign, draw_blocks, enumerate_masks, quantile, solve, solve_crossed

PARTS = ("audio", "lyrics", "sum", "interactions")
#: Errors below this share of the largest coefficient are rounding: the design makes none there.
ROUNDING = 1e-9


class Coverage:
    """Misses and standard errors of one row of the table, repetition by repetition."""

    def __init__(self, truth: Tensor, noise: Tensor | None) -> None:
        self.truth = truth
        # The reference's error, pooled over the coefficients of a class: each by itself has one degree of freedom.
        self.noise = 0 if noise is None else noise.mean(1, keepdim=True)
        self.misses: list[Tensor] = []
        self.covered: list[Tensor] = []

    def add(self, values: Tensor, errors: Tensor, freedom: Tensor) -> None:
        miss = (values - self.truth).abs()
        half = quantile(freedom, 0.95) * (errors.square() + self.noise).sqrt()
        self.misses.append(miss)
        self.covered.append(miss <= half)

    def summarise(self) -> tuple[float, float, int]:
        """Fraction covered, fraction of coefficients with an error, repetitions."""
        scale = ROUNDING * float(self.truth.abs().max())
        real = torch.stack(self.misses).amax(0) > scale
        covered = torch.stack(self.covered).double().mean(0)[real]
        return float(covered.mean()) if len(covered) else float("nan"), float(real.double().mean()), len(self.misses)


def add_sum(rows: dict[str, Coverage], values: list[Tensor], errors: list[Tensor], freedom: list[Tensor]) -> None:
    """Main effects of both sides added up, as if their errors were independent."""
    total = torch.cat(values, 1).sum(1, keepdim=True)
    error = torch.cat(errors, 1).square().sum(1, keepdim=True).sqrt()
    rows["sum"].add(total, error, torch.cat(freedom, 1).amin(1, keepdim=True))


def add_up(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the reference for the sum, or the squared error of that sum."""
    return parts | {"sum": (parts["audio"].sum(1) + parts["lyrics"].sum(1))[:, None]}


def run_joint(game: World, rows: dict[str, Coverage], space: str, n: int, seed: int) -> None:
    design = draw_blocks(game.d_audio + game.d_lyrics, n, seed, game.neighbourhoods)
    fit = solve(design, game.join(design.masks, space), 0.0)
    tables = (fit.coefficients.values, fit.coefficients.errors, fit.coefficients.freedom)
    for part, columns in (("audio", slice(0, game.d_audio)), ("lyrics", slice(game.d_audio, None))):
        rows[part].add(*(table[:, columns] for table in tables))
    add_sum(rows, *([table] for table in tables))


def run_crossed(game: World, rows: dict[str, Coverage], space: str, counts: tuple[int, int], seed: int) -> None:
    audio = draw_blocks(game.d_audio, counts[0], seed, game.neighbourhoods)
    design = CrossedDesign(audio, draw_blocks(game.d_lyrics, counts[1], seed + 1))
    fit = solve_crossed(design, game.cross(design.audio.masks, design.lyrics.masks, space))
    known = fit.coefficients
    tables = [split_table(table) for table in (known.values, known.errors, known.freedom)]
    for part in ("audio", "lyrics", "interactions"):
        rows[part].add(*(table[part] for table in tables))
    add_sum(rows, *([table["audio"], table["lyrics"]] for table in tables))


def cover_windows(repetitions: int) -> list[tuple[str, str, int, float, float]]:
    """Songs of several windows, most of which contain too many cells to be run on all masks: part by part, how often the
    intervals hold the values that all masks of every window give.
    """
    sounds = 0.1 * torch.randn(2, 1, 30_000, generator=torch.Generator().manual_seed(1))
    track, rows = Track(sounds, ("a", "b"), 1000), []
    for window in (7.0, 10.24, 14.0):
        model = Short(window)
        truth = explain(model, track, n_samples=2**15)
        assert not truth.standard_errors.any(), "every window is run on all of its masks"
        runs = [explain(model, track, n_samples=64, seed=seed) for seed in range(repetitions)]
        assert truth.interactions is not None
        logit = truth.interactions.spaces.index("logit")
        main, pairs = Coverage(truth.attributions, None), Coverage(truth.interactions.values[logit], None)
        for run in runs:
            main.add(run.attributions, run.standard_errors, run.degrees_of_freedom)
            found = run.interactions
            assert found is not None
            pairs.add(found.values[logit], found.standard_errors[logit], found.degrees_of_freedom[logit])
        for part, coverage in (("audio", main), ("interactions", pairs)):
            covered, share, _ = coverage.summarise()
            rows.append((f"windows of {window:g} s", part, 64, covered, share))
    return rows


class Short:
    """Two logits from windows of the song, with products of any number of cells."""

    sample_rate, classes, modalities = 1000, ("a", "b"), ("audio",)

    def __init__(self, max_seconds: float) -> None:
        self.max_seconds = max_seconds
        self.filters = torch.randn(2, round(max_seconds * 1000), 2, generator=torch.Generator().manual_seed(0))

    def __call__(self, audio: Tensor) -> Tensor:
        first, second = (audio.mean(1) @ part[: audio.shape[-1]] for part in self.filters)
        return (0.5 * first).tanh() + (0.3 * second).cos()


def enumerate_truth(game: World, space: str) -> Tensor:
    """The table over all masks of both sides."""
    design = CrossedDesign(enumerate_masks(game.d_audio), enumerate_masks(game.d_lyrics))
    return solve_crossed(design, game.cross(design.audio.masks, design.lyrics.masks, space)).coefficients.values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few repetitions")
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repetitions = 8 if options.smoke else options.repetitions
    large_terms, small_terms = draw_polynomial(0, 40, 100, 600), draw_polynomial(1, 10, 10, 60)
    large, small = make_analytic(large_terms), make_analytic(small_terms)
    embedded = make_embedded(Tuning(torch.device(options.device)))
    reach = 2 if options.smoke else 20
    long_run = make_reference(embedded, reach * 1024, reach * 160, ("logit", "probability"))
    settings = [
        (large, "logit", tell_truth(large_terms), None, 912, (440, 416)),
        (large, "logit", tell_truth(large_terms), None, 912, (1024, 416)),
        (small, "logit", tell_truth(small_terms), None, 192, (96, 96)),
        (small, "probability", enumerate_truth(small, "probability"), None, 192, (96, 96)),
        (small, "probability", enumerate_truth(small, "probability"), None, 480, (240, 48)),
        *(
            (embedded, space, long_run[space].table, long_run[space].squared_error, 480, counts)
            for space, counts in (
                ("logit", (176, 160)),
                ("logit", (256, 128)),
                ("logit", (1024, 128)),
                ("probability", (176, 160)),
                ("probability", (256, 128)),
            )
        ),
    ]
    table = Table(title=f"covered by nominal 95%, {repetitions} repetitions, pooled over coefficients with an error")
    for heading in ("model", "space", "masks", "part", "covered", "coefficients with an error"):
        table.add_column(heading)
    figures: dict[tuple[str, str, str], list[float]] = {}
    for game, space, truth, noise, n, counts in settings:
        truths, noises = add_up(split_table(truth)), None if noise is None else add_up(split_table(noise))
        joint, crossed = ({part: Coverage(truths[part], noises and noises[part]) for part in PARTS} for _ in range(2))
        for seed in range(repetitions):
            run_joint(game, joint, space, n, 10 * seed)
            run_crossed(game, crossed, space, counts, 10 * seed)
        label = f"{game.name} {game.d_audio} + {game.d_lyrics}"
        for name, masks, rows in (("joint", f"{n} joint", joint), ("crossed", f"{counts[0]} × {counts[1]}", crossed)):
            for part in PARTS:
                if name == "joint" and part == "interactions":
                    continue
                covered, share, _ = rows[part].summarise()
                shown = "no error" if share == 0 else f"{covered:.1%}"
                table.add_row(label, space, masks, part, shown, f"{share:.0%}")
                if share and game.name == "analytic":
                    kind = part if part in ("interactions", "sum") else name
                    weight = share * truths[part].numel()
                    figures.setdefault((kind, space, label), []).extend([covered * weight, weight])
    windows = cover_windows(repetitions)
    for label, part, masks, covered, share in windows:
        table.add_row(label, "logit", f"{masks} joint", part, f"{covered:.1%}", f"{share:.0%}")
    Console(width=120).print(table)
    pooled = {kind: pool(figures, kind) for kind in ("joint", "crossed", "sum", "interactions")}
    for part in ("audio", "interactions"):
        shares = [covered for _, name, _, covered, _ in windows if name == part]
        pooled[f"windows, {part}"] = round(sum(shares) / len(shares), 4)
    print(json.dumps(pooled))


def pool(figures: dict[tuple[str, str, str], list[float]], kind: str) -> float:
    """Fraction covered over all coefficients of one kind on the analytic models."""
    covered = sum(sum(counts[0::2]) for key, counts in figures.items() if key[0] == kind)
    return round(covered / sum(sum(counts[1::2]) for key, counts in figures.items() if key[0] == kind), 4)


if __name__ == "__main__":
    main()
