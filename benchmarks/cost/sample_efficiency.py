"""Squared error of crossed blocks against independent joint rows, at an equal number of encoder passes.

A joint row takes a pass of either encoder, so n rows cost what N_a + N_t = 2 n masks do. Two splits: the same number of
masks on both sides (the printed JSON is of this one; beside it the blocks that were drawn before 0.2), and what `explain`
does by default, a pilot and then the rest where it helps most (with passes of both sides at the same price). Joint rows are
independent, solved by the same least squares; their interactions by moments, for they can't fit thousands of coefficients.
Errors are relative (Σ (estimate − reference)² / Σ reference², mean over classes), medians over seeds, against a reference of
twenty times the passes, whose own error stands beside them. Main effects in logits, interactions in probabilities. "Noise"
where interactions explain no more than 1% of the variance: there is no ratio then.

Then other people's methods on the same models, each with its defaults, at the work that n joint rows are for the encoders
(in FLOPs), or as much of it as whole blocks (ours) and permutations (SHAP) have room for: the share is shown, and errors go
about as one over it. Ours splits the work between the sides by a pilot, our Shapley values by the numbers of components.
Methods estimate different things, so there is no common reference; the comparison is of the error left by sampling: half the
squared difference of two seeds over their product, of the attributions to the song's class. The paper's procedure explains
probabilities (word types sharing what they get), which a strong cause saturates: beside it stands ours of probabilities.
Captum's `Lime` is a lasso, and seeds agree on what it leaves at zero: how many those are is shown. `time_to_accuracy.py`
asks the reverse: passes and seconds to a given error. A method with a small error may still be far from the truth, if its
own limit is; `planted.py` asks for that. The polynomial has no song for `explain`, and is left out.

    python -m benchmarks.cost.sample_efficiency [--smoke] [--seeds 11] [--model NAME] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json
import math
import statistics
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.cost.methods import ENDS, METHODS, Bench, RefusalError, Run, measure_run, prepare, tell_error
from benchmarks.tools.tuning import Tuning
from benchmarks.worlds.budgets import count_passes
from benchmarks.worlds.games import make_games
from benchmarks.worlds.references import Reference, make_reference, split_table
from benchmarks.worlds.world import World
from musiclime_torch.surrogate import (
    CrossedDesign,
    Design,
    allocate,
    draw_bernoulli,
    draw_blocks,
    draw_foldover,
    draw_kerdock,
    solve,
    solve_crossed,
    solve_pairs,
    split_errors,
)

SPACES = ("logit", "probability")
PARTS = ("audio", "lyrics", "interactions")


def draw_even(game: World, n: int, seed: int) -> CrossedDesign:
    """About n masks on either side."""
    audio, lyrics = draw_blocks(game.d_audio, n, seed, game.neighbourhoods), draw_blocks(game.d_lyrics, n, seed + 1)
    return CrossedDesign(cut_near(audio, n), cut_near(lyrics, n))


def draw_before(game: World, n: int, seed: int) -> CrossedDesign:
    """The same of the blocks that were drawn until 0.2: Kerdock's where an eighth of a cycle is drawn, else Hadamard's."""
    audio, lyrics = (
        (draw_kerdock if 20 <= d <= 64 and n >= 512 else draw_foldover)(d, n, seed + side)
        for side, d in enumerate((game.d_audio, game.d_lyrics))
    )
    return CrossedDesign(cut_near(audio, n), cut_near(lyrics, n))


def cut_near(design: Design, n: int) -> Design:
    """Whole blocks for the number of rows nearest to n."""
    return design.first(max(round(n / design.block), 1) * design.block)


def draw_default(game: World, n: int, seed: int) -> CrossedDesign:
    """About 2 n masks, shared between the sides as `explain` would at equal cost."""
    audio = draw_blocks(game.d_audio, 2 * n, seed, game.neighbourhoods)
    lyrics = draw_blocks(game.d_lyrics, 2 * n, seed + 1)
    pilot = CrossedDesign(audio.first(2 * audio.block), lyrics.first(lyrics.block))
    if pilot.n_samples > 2 * n:
        pilot = CrossedDesign(audio.first(audio.block), lyrics.first(lyrics.block))
    grid = game.cross(pilot.audio.masks, pilot.lyrics.masks, "logit")
    by_audio, by_lyrics = split_errors(pilot, grid).tolist()
    counts = (pilot.audio.n_samples, pilot.lyrics.n_samples)
    errors = (by_audio * counts[0], by_lyrics * counts[1])
    shares = allocate(2 * n, (audio.block, lyrics.block), counts, errors, (1.0, 1.0))
    return CrossedDesign(audio.first(shares[0]), lyrics.first(shares[1]))


def run_crossed(game: World, design: CrossedDesign) -> dict[str, Tensor]:
    """Main effects in logits, interactions in probabilities."""
    sounds, texts = game.hear(design.audio.masks), game.read(design.lyrics.masks)
    tables = {space: solve_crossed(design, game.spread(sounds, texts, space)).coefficients.values for space in SPACES}
    main, both = split_table(tables["logit"]), split_table(tables["probability"])
    return {"audio": main["audio"], "lyrics": main["lyrics"], "interactions": both["interactions"]}


def run_joint(game: World, n: int, seed: int) -> dict[str, Tensor]:
    """The same from n independent rows."""
    design = draw_bernoulli(game.d_audio + game.d_lyrics, n, seed)
    values = {space: game.join(design.masks, space) for space in SPACES}
    slopes = solve(design, values["logit"], 0.0).coefficients.values
    pairs = solve_pairs(design, values["probability"], solve(design, values["probability"], 0.0))
    across = (pairs.columns[:, 0] < game.d_audio) & (pairs.columns[:, 1] >= game.d_audio)
    both = pairs.coefficients.values[:, across]
    return {"audio": slopes[:, : game.d_audio], "lyrics": slopes[:, game.d_audio :], "interactions": both}


def measure(tables: dict[str, Tensor], references: dict[str, Reference]) -> dict[str, float]:
    """Relative squared error of each part."""
    errors = {}
    for part in PARTS:
        truth = split_table(references["probability" if part == "interactions" else "logit"].table)[part]
        errors[part] = float(((tables[part] - truth).square().sum(1) / truth.square().sum(1)).mean())
    return errors


def own_errors(references: dict[str, Reference]) -> dict[str, float]:
    """The references' relative squared errors."""
    errors = {}
    for part in PARTS:
        reference = references["probability" if part == "interactions" else "logit"]
        truth, noise = split_table(reference.table)[part], split_table(reference.squared_error)[part]
        errors[part] = float((noise.sum(1) / truth.square().sum(1)).mean())
    return errors


def explained_by_pairs(game: World, reference: Reference) -> float:
    """Share of the variance of probabilities that audio × lyrics products explain, the classes' mean."""
    audio, lyrics = draw_foldover(game.d_audio, 88, 5), draw_foldover(game.d_lyrics, 208, 6)
    total = game.cross(audio.masks, lyrics.masks, "probability").double().var((1, 2))
    return float((split_table(reference.table)["interactions"].square().sum(1) / 16 / total).mean())


#: Seeds that other people's methods are run with: ten pairs.
FEWER = 5
#: Times that a method is asked for a twentieth less.
SHRINKS = 20


def count_variants(method: str, rows: int) -> int:
    """The budget to give a method, so that its encoders work no more than for so many joint rows."""
    if method == "musiclime_paper":
        return rows - ENDS
    return 2 * (rows - ENDS) if method.startswith("musiclime_torch") else rows


@dataclass(frozen=True)
class Chance:
    """What a method's masks leave to chance, the most passes it took, the share of the allowed work that they are, and how
    many components are exactly zero in every run.
    """

    error: float
    passes: tuple[int, int]
    share: float
    zeros: int


def compare_methods(bench: Bench, rows: int, seeds: int) -> dict[str, Chance | None]:
    """All methods at the work of so many joint rows, or the most below it that they accept; None where one refuses."""
    ear, eye = count_passes(bench.game)
    chances: dict[str, Chance | None] = {}
    for method in METHODS:
        try:
            chances[method] = _compare(bench, method, rows, seeds, (ear / (ear + eye), eye / (ear + eye)))
        except RefusalError:
            chances[method] = None
    return chances


def _compare(bench: Bench, method: str, rows: int, seeds: int, costs: tuple[float, float]) -> Chance:
    variants = count_variants(method, rows)
    for _ in range(SHRINKS):
        runs: list[Run] = []
        for seed in range(seeds):
            runs.append(measure_run(bench, method, variants, 100 + seed))
            share = max((run.passes[0] * costs[0] + run.passes[1] * costs[1]) / rows for run in runs)
            if share > 1.001:
                break
        else:
            most = max(runs, key=lambda run: sum(run.passes)).passes
            zeros = int(torch.stack([run.attributions == 0 for run in runs]).all(0).sum())
            return Chance(tell_error(runs), most, share, zeros)
        variants = round(0.95 * variants)  # whole blocks were too much
    raise RefusalError(f"{method} takes more than {rows} joint rows do, however few masks it is asked for.")


def show_methods(
    games: list[World], tuning: Tuning, sizes: tuple[int, ...], seeds: int
) -> dict[str, dict[str, list[float | None]]]:
    """Prints the second table; errors by model and method, one for each size, None where there is none."""
    table = Table(title=f"what is left to chance at equal work of the encoders, medians over pairs of {seeds} seeds")
    for heading in (
        "model",
        "method",
        *(f"work of {size:,} joint rows: error (passes, share of that work), times ours" for size in sizes),
    ):
        table.add_column(heading)
    errors: dict[str, dict[str, list[float | None]]] = {}
    for game in games:
        bench = prepare(game, tuning)
        by_size = [compare_methods(bench, size, seeds) for size in sizes]
        for method in METHODS:
            cells, kept = [], errors.setdefault(game.name, {}).setdefault(method, [])
            for chances in by_size:
                chance, ours = chances[method], chances["musiclime_torch"]
                assert ours is not None, "ours accepts all these numbers"
                if chance is None or not math.isfinite(chance.error):
                    cells.append("refuses" if chance is None else "two seeds have nothing in common")
                    kept.append(None)
                    continue
                spent = f"{chance.passes[0]:,} + {chance.passes[1]:,}, {chance.share:.0%}"
                spent += f"; {chance.zeros} at zero" if chance.zeros else ""
                cells.append(f"{chance.error:.2g} ({spent}), {chance.error / ours.error:.2g}")
                kept.append(float(f"{chance.error:.3g}"))
            table.add_row(game.name, method, *cells)
    Console(width=140).print(table)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two seeds and a short reference; its figures mean little")
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("--model", choices=("embedded", "analytic", "transformer"), help="one of the models alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    seeds, sizes = (2, (256,)) if options.smoke else (options.seeds, (256, 1024))
    table = Table(title=f"relative squared error, median of {seeds} seeds; ratio: how many times lower crossed masks err")
    for heading in ("model", "masks (sound + lyrics)", "part", "joint rows", "crossed", "ratio", "reference's own"):
        table.add_column(heading)
    ratios: dict[str, dict[str, list[float] | None]] = {part: {} for part in PARTS}
    games = [game for game in make_games(torch.device(options.device)) if options.model in (None, game.name)]
    for game in games:
        reach = 4 if options.smoke else 20
        references = make_reference(game, reach * 2 * max(sizes) - reach * 208, reach * 208, SPACES)
        own = own_errors(references)
        share = explained_by_pairs(game, references["probability"])
        for size in sizes:
            for split, draw in (("even", draw_even), ("even, before 0.2", draw_before), ("default", draw_default)):
                runs = []
                for seed in range(1, seeds + 1):
                    design = draw(game, size, 1000 * seed)
                    joint = run_joint(game, design.n_samples // 2, 1000 * seed)
                    crossed = run_crossed(game, design)
                    runs.append((measure(joint, references), measure(crossed, references), design))
                drawn = statistics.mode(f"{run[2].audio.n_samples} + {run[2].lyrics.n_samples}" for run in runs)
                for part in PARTS:
                    before, after = (statistics.median(run[number][part] for run in runs) for number in (0, 1))
                    real = part != "interactions" or share > 0.01
                    shown = f"{before / after:.2f}" if real else f"noise ({share:.1%} of the variance)"
                    figures = (f"{before:.2g}", f"{after:.2g}", shown, f"{own[part]:.1g}")
                    table.add_row(game.name, f"{drawn} ({split})", part, *figures)
                    kept = ratios[part].setdefault(game.name, [] if real else None)
                    if kept is not None and split == "even":
                        kept.append(before / after)
    Console(width=140).print(table)
    least = {
        part: {name: kept and round(min(kept), 2) for name, kept in by_game.items()} for part, by_game in ratios.items()
    }
    for part, by_game in least.items():
        known = [value for value in by_game.values() if value]
        mean = math.exp(statistics.fmean(map(math.log, known))) if known else float("nan")
        print(f"{part}: geometric mean of the smaller ratios {mean:.2f}")
    songs = [game for game in games if game.probe is not None]
    errors = show_methods(songs, Tuning(torch.device(options.device)), sizes, min(seeds, FEWER)) if songs else {}
    print(json.dumps({**least, "left to chance": errors}))


if __name__ == "__main__":
    main()
