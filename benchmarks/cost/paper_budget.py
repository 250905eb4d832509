"""What the paper's budget buys with crossed masks: encoder work to match 5,000 independent joint rows on both sides at once.

Each run encodes the masks of many crossed designs, as `explain` draws them at their sizes. Of those whose median errors of
main effects (logits, relative, all classes) are no larger than the joint rows', on the sound's side and on the lyrics', the
cheapest counts. Work is the encoders' floating-point operations, a pass of each counted as torch counts it (with attention
written out, for fused attention isn't counted on a CPU); the polynomial's passes count one each. The last line holds
(5,000 passes of both encoders) / (N_a and N_t passes of each). Where words are gone instead of masked, designs leave their
tokens out; the joint rows have all of them, as they had before tokens could be left out, and in a row of their own leave
them out too.

With local maps, a model that offers them makes a table once more masks are asked for than that takes passes, and looks all
masks up; what looking up takes is counted. The cheapest design is then another one.

A student of the transformer learns from `--songs` other synthetic songs and lyrics, 256 masks of the sound each, and has
the parts that pay. Explanations with it are measured at several sizes. Their work is that of the encoders; what the
student's answers, its lessons and its training take stands beside it.

    python -m benchmarks.cost.paper_budget [--smoke] [--seeds 9] [--songs 96] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json
from collections.abc import Callable, Mapping

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.tools.tuning import Tuning
from benchmarks.worlds.budgets import (
    LONGEST,
    ROWS,
    Work,
    count_passes,
    count_work,
    draw_rows,
    find_truths,
    measure_game,
    measure_guided,
)
from benchmarks.worlds.games import make_games
from benchmarks.worlds.transformer import make_song, make_transformer
from benchmarks.worlds.world import World
from musiclime_torch import explain
from musiclime_torch.explanation import Settings
from musiclime_torch.models import Student, count_flops
from musiclime_torch.training import Training, distill

#: The first seed of the songs that a student learns from, and masks of the sound of each.
TAUGHT, MASKS = 10_000, 256

#: A pass that takes less than this share of one of all words leaves tokens out.
WHOLE = 0.99

#: Masks of the sound and of the lyrics that are tried with a student.
TRIED = ((384, 512, 640, 768, 896), (416, 448, 624, 720, 768))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two seeds, 600 rows, a short reference")
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--songs", type=int, default=96)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows, longest, seeds, reach = (600, (528, 416), 2, 4) if options.smoke else (ROWS, LONGEST, options.seeds, 20)
    songs, tried = (5, ((512,), (416,))) if options.smoke else (options.songs, TRIED)
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
    device = torch.device(options.device)
    for game in (*make_games(device), make_transformer(0, Tuning(device), "gone")):
        passes = count_passes(game)
        truths = find_truths(game, longest, reach)
        target, medians = measure_game(game, rows, longest, seeds, truths)
        work, joint = count_work(game, passes), rows * sum(passes)
        ways: dict[str, Callable[[int, int], float]] = {game.name: work.count}
        if work.table:
            ways[f"{game.name}, local maps"] = work.count_with_tables
        for name, count in ways.items():
            cells, ratios[name] = compare(medians, target, count, joint)
            table.add_row(name, describe(work, count, passes), *cells)
        if work.read < WHOLE * passes[1]:
            left_out = rows * sum(count_passes(game, draw_rows(game)))
            cells, ratios[f"{game.name}, joint rows too"] = compare(medians, target, work.count, left_out)
            table.add_row(f"{game.name}, joint rows too", "", *cells)
        if game.name.startswith("transformer"):
            student, taught = count_flops(lambda game=game: teach(game, songs, options.smoke))
            medians = measure_guided(game, student, tried, seeds, truths)
            cells, ratios[f"{game.name}, student"] = compare(medians, target, work.count, joint)
            table.add_row(f"{game.name}, student", tell_price(game, student, taught, joint), *cells)
    Console(width=140).print(table)
    print(json.dumps(ratios))


def teach(game: World, songs: int, smoke: bool) -> Student:
    """A student of the world's model, with the parts that pay; in a smoke test with both."""
    assert game.probe is not None
    lessons = (make_song(TAUGHT + song) for song in range(songs))
    settings = Settings(lyrics_baseline=game.probe.sources.lyrics_baseline)
    if smoke:
        return distill(game.probe.subject.model, lessons, settings, MASKS, Training(epochs=4), worth=0.0)
    return distill(game.probe.subject.model, lessons, settings, MASKS)


def tell_price(game: World, student: Student, taught: float, joint: float) -> str:
    """What lessons with training and answers take, beside 5,000 joint rows, and what the student is expected to gain."""
    assert game.probe is not None
    assert game.track is not None
    model, track, baseline = game.probe.subject.model, game.track, game.probe.sources.lyrics_baseline

    def count(proxy: Student | None) -> float:
        return count_flops(lambda: explain(model, track, n_samples=(512, 416), proxy=proxy, lyrics_baseline=baseline))[1]

    lessons, answers = taught / joint, (count(student) - count(None)) / joint
    gains = f"expected gains {student.recipe.gain:.2f}, {student.recipe.lyrics_gain:.2f}"
    return f"lessons and training {lessons:.2f}, answers {answers:.3f} of the joint rows' work; {gains}"


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


def describe(work: Work, count: Callable[[int, int], float], whole: tuple[float, float]) -> str:
    """FLOPs of each kind of pass."""
    looked = f"; {work.table} sounds, then {work.look_up:.3g}" if count == work.count_with_tables else ""
    left_out = f" (all words {whole[1]:.3g})" if work.read < WHOLE * whole[1] else ""
    return f"{work.hear:.3g} + {work.read:.3g}{left_out}{looked}"


if __name__ == "__main__":
    main()
