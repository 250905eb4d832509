"""Students that hear and read: squared errors of either side's main effects with one and without one, on late-fusion models.

`embedded` is the demo's tagger, `trained` a small AST + RoBERTa whose reader has learned which words make which tag (its
ear's weights are random). Songs are generated, each with sound and words of its own. A student learns from `--songs` of
them and `--masks` masks a side, is judged on one in five, and then guides `explain` on fresh songs. Errors are relative
(Σ (estimate − reference)² / Σ reference², mean over classes) against references of many times the masks, in their
geometric mean over songs and seeds. **Coverage** is the share of intervals of 95% that hold the reference.

    python -m benchmarks.cost.lyrics_students [--smoke] [--world embedded|trained] [--songs 64] [--masks 256]
        [--epochs 100] [--fresh 3] [--seeds 5]
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.worlds.trained_reader import make_trained
from musiclime_torch import Explanation, Track, explain
from musiclime_torch.demo import load_demo_model, make_track, plan_song
from musiclime_torch.explanation import Answers, Settings
from musiclime_torch.models import Student
from musiclime_torch.training import Training, distill

#: The first seeds of the songs that are learned from, and of fresh ones.
TAUGHT, FRESH = 10_000, 20_000

#: The seed of references, far from those of the runs.
APART = 910_000_001

#: Masks of the sound beside those of the lyrics, which are what is measured.
EARS = 512


#: Models by name, the second one trained for so many steps.
WORLDS: dict[str, Callable[[int], nn.Module]] = {
    "embedded": lambda steps: load_demo_model(),
    "trained": partial(make_trained, 0),
}


@dataclass(frozen=True)
class Run:
    """How much is run."""

    songs: int
    masks: int
    fresh: int
    seeds: int
    epochs: int
    sizes: tuple[int, ...]
    reference: tuple[int, int]


@dataclass(frozen=True)
class Gain:
    """How many times lower a student makes squared errors of a side, and its intervals' coverage without it and with it."""

    lower: float
    before: float
    after: float


def make_songs(first: int, count: int) -> Iterator[Track]:
    """Generated songs, each with tags of its own."""
    return (make_track(plan_song(first + number)) for number in range(count))


def miss(explanation: Explanation, truth: Tensor, side: slice) -> tuple[float, float]:
    """A side's relative squared error in its mean over classes, and the share of intervals that hold the reference."""
    missed = (explanation.attributions.double() - truth)[:, side]
    error = float((missed.square().sum(1) / truth[:, side].square().sum(1)).mean())
    return error, float((missed.abs() <= explanation.half_width.double()[:, side]).double().mean())


def measure(model: nn.Module, student: Student, run: Run) -> dict[tuple[int, str], Gain]:
    """Gains by masks of the lyrics and by side."""
    found: dict[tuple[int, str], list[tuple[float, ...]]] = {}
    for track in make_songs(FRESH, run.fresh):
        exact = explain(model, track, n_samples=run.reference, seed=APART)
        truth, sound = exact.attributions.double(), exact.components.n_audio
        for seed in range(run.seeds):
            for size in run.sizes:
                asked: dict[str, Any] = {"n_samples": (EARS, size), "seed": seed, "answers": Answers()}
                plain, guided = (explain(model, track, **asked, proxy=proxy) for proxy in (None, student))
                for name, side in (("sound", slice(sound)), ("lyrics", slice(sound, None))):
                    (before, held), (after, kept) = (miss(one, truth, side) for one in (plain, guided))
                    found.setdefault((size, name), []).append((math.log(before / after), held, kept))
    means = {key: tuple(map(statistics.fmean, zip(*rows, strict=True))) for key, rows in found.items()}
    return {key: Gain(math.exp(mean[0]), mean[1], mean[2]) for key, mean in means.items()}


def show(name: str, student: Student, gains: dict[tuple[int, str], Gain]) -> None:
    """Print what the student is worth."""
    recipe = student.recipe
    for side, shares, gain in (("sound", recipe.rho2, recipe.gain), ("lyrics", recipe.lyrics_rho2, recipe.lyrics_gain)):
        told = ", ".join(f"{share:.2f}" for share in shares)
        print(f"{name}, {side}: explained of what main effects leave over, by class, {told}; expected gain {gain:.2f}")
    table = Table(title=f"{name}: {EARS} masks of the sound")
    for heading in ("masks of the lyrics", "side", "squared errors, times lower", "coverage without", "with"):
        table.add_column(heading)
    for (size, side), gain in gains.items():
        table.add_row(str(size), side, f"{gain.lower:.2f}", f"{gain.before:.3f}", f"{gain.after:.3f}")
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few songs, masks and seeds; its figures mean little")
    parser.add_argument("--songs", type=int, default=64)
    parser.add_argument("--masks", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=Training.epochs)
    parser.add_argument("--fresh", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--world", choices=tuple(WORLDS), help="one of them; both if not given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = Run(options.songs, options.masks, options.fresh, options.seeds, options.epochs, (128, 256, 512), (2048, 4096))
    if options.smoke:
        run = Run(5, 160, 1, 1, 4, (128,), (512, 256))
    results = {}
    for name in WORLDS if options.world is None else (options.world,):
        model = WORLDS[name](20 if options.smoke else 1500)
        lessons = make_songs(TAUGHT, run.songs)
        student = distill(model, lessons, Settings(), run.masks, Training(epochs=run.epochs), worth=0.0)
        gains = measure(model, student, run)
        show(name, student, gains)
        results[name] = {
            "rho2": student.recipe.rho2,
            "lyrics_rho2": student.recipe.lyrics_rho2,
            "gain": {f"{side} {size}": round(gain.lower, 3) for (size, side), gain in gains.items()},
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
