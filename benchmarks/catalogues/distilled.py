"""What a student saves a catalogue of 200 songs on a trained model: encoder work at equal error, its training counted.

A small AST + RoBERTa is trained on generated songs whose tags have several cues and words. The catalogue holds fresh songs
of the same kind. Without a student all are explained with so many masks of the sound and of the lyrics. With one the first
`--taught` are, and a student learns from 256 masks of either side of theirs: `corpus --distill` gives it those of the
explanations themselves. The others are explained with the cheapest masks that leave no larger error.

Errors are relative (Σ (estimate − reference)² / Σ reference² over the main effects of sound and lyrics, in logits, mean over
classes), in their median over seeds and geometric mean over songs, against references of twenty times the masks. Work is
that of the encoders' passes, of training the student, and of its answers, in operations that torch counts: not those of
spectra. **Coverage** is the share of intervals of 95% that hold the reference.

    python -m benchmarks.catalogues.distilled [--smoke] [--taught 32] [--songs 4] [--seeds 9]
"""

import argparse
import json
import math
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.worlds.budgets import count_passes
from benchmarks.worlds.trained import HELD_OUT, TrainedTransformer, measure_accuracy, plan_broad, train
from benchmarks.worlds.world import make_probed
from musiclime_torch import Explanation, Track, explain
from musiclime_torch.demo import make_track
from musiclime_torch.explanation import Answers, Settings
from musiclime_torch.models import Student, count_flops, hash_weights
from musiclime_torch.training import Training, distill

CATALOGUE = 200

#: The first seeds of the songs that teach, and of those that errors are measured on; of references, far from all others.
TAUGHT, FRESH, APART = HELD_OUT + 10_000, HELD_OUT + 20_000, 910_000_001

#: Masks of the sound and of the lyrics that a student learns from, and those that are tried.
ASKED = (256, 256)
TRIED = ((176, 128), (192, 128), (256, 128), ASKED, (256, 384), (384, 128), (384, 256), (512, 256), (512, 384))

#: Masks that a student answers on either side: what these leave to chance is little beside what the model's own do.
ANSWERED = 2048

PLAIN, GUIDED = "no student", "student"


@dataclass(frozen=True)
class Plan:
    """How large everything is."""

    training: tuple[int, int]
    taught: int
    songs: int
    seeds: int
    reference: int
    epochs: int
    tried: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Score:
    """Of one explanation: relative squared errors of all main effects, of the sound's and of the lyrics'; the share of
    intervals that hold the reference; the encoders' operations.
    """

    error: float
    sound: float
    lyrics: float
    held: float
    work: float


@dataclass(frozen=True)
class Song:
    """A fresh song, its reference (class, d), and what a pass of either encoder takes."""

    track: Track
    truth: Tensor
    costs: tuple[float, float]

    def score(self, found: Explanation, asked: tuple[int, int]) -> Score:
        """Beside the reference."""
        missed, n = found.attributions.double() - self.truth, found.components.n_audio
        errors = (
            float((missed[:, side].square().sum(1) / self.truth[:, side].square().sum(1)).mean())
            for side in (slice(None), slice(n), slice(n, None))
        )
        held = float((missed.abs() <= found.half_width.double()).double().mean())
        assert found.n_variants % asked[0] == 0, "the sound's masks are whole blocks"
        return Score(*errors, held, self.costs[0] * asked[0] + self.costs[1] * (found.n_variants // asked[0]))


def make_songs(first: int, count: int) -> Iterator[Track]:
    """Songs of successive seeds."""
    return (make_track(plan_broad(first + number)) for number in range(count))


def find_place(name: str) -> Path:
    """Where what takes long is kept: in `$MUSICLIME_CACHE`, else a temporary folder."""
    folder = Path(os.environ.get("MUSICLIME_CACHE", tempfile.gettempdir())) / "distilled"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.safetensors"


def load_trained(songs: int, epochs: int) -> TrainedTransformer:
    """The model, trained where it isn't kept."""
    path = find_place(f"trained-{songs}-{epochs}")
    if not path.exists():
        save_file({name: value.clone() for name, value in train(songs, epochs).state_dict().items()}, path)
    model = TrainedTransformer().requires_grad_(False).eval()
    model.load_state_dict(load_file(path))
    return model


def open_song(model: nn.Module, number: int, masks: int) -> Song:
    """A fresh song with its reference of so many masks on either side, asked where it isn't kept."""
    track = next(make_songs(FRESH + number, 1))
    path = find_place(f"{hash_weights(model)[:12]}-reference-{FRESH + number}-{masks}")
    if not path.exists():
        save_file({"truth": explain(model, track, n_samples=(masks, masks), seed=APART).attributions.double()}, path)
    return Song(track, load_file(path)["truth"], count_passes(make_probed("trained", model, track)))


def teach(model: nn.Module, plan: Plan, costs: tuple[float, float]) -> tuple[Student, float]:
    """A student, and the operations of its training without those of the passes that it learned from."""
    songs, training = make_songs(TAUGHT, plan.taught), Training(epochs=plan.epochs)
    student, work = count_flops(lambda: distill(model, songs, Settings(), ASKED[0], training, worth=0.0))
    recipe = student.recipe
    return student, work - recipe.masks * costs[0] - recipe.lyrics_masks * costs[1]


def list_ways(student: Student) -> dict[str, dict[str, Any]]:
    """What `explain` is given."""
    return {PLAIN: {}, GUIDED: {"proxy": student, "proxy_samples": ANSWERED}}


def run_ways(model: nn.Module, song: Song, student: Student, plan: Plan) -> dict[tuple[str, tuple[int, int]], list[Score]]:
    """Scores of both ways at all sizes, one a seed: all with the same masks."""
    scores: dict[tuple[str, tuple[int, int]], list[Score]] = {}
    for seed in range(plan.seeds):
        answers = Answers()
        for asked in plan.tried:
            for way, given in list_ways(student).items():
                found = explain(model, song.track, n_samples=asked, seed=seed, answers=answers, **given)
                scores.setdefault((way, asked), []).append(song.score(found, asked))
    return scores


def average(each: Sequence[Sequence[Score]]) -> Score:
    """Errors in their median over seeds and geometric mean over songs, the rest in its plain mean."""
    medians = {
        name: math.exp(statistics.fmean(math.log(statistics.median(getattr(one, name) for one in some)) for some in each))
        for name in ("error", "sound", "lyrics")
    }
    everyone = [one for some in each for one in some]
    means = {name: statistics.fmean(getattr(one, name) for one in everyone) for name in ("held", "work")}
    return Score(**medians, **means)


def show(points: dict[tuple[str, tuple[int, int]], Score], plan: Plan) -> None:
    """Print errors, coverage and work."""
    table = Table(title=f"relative squared errors, medians of {plan.seeds} seeds, {plan.songs} songs")
    for heading in ("way", "masks of sound and lyrics", "GFLOPs", "error", "of sound", "of lyrics", "coverage of 95%"):
        table.add_column(heading)
    for (way, asked), point in points.items():
        errors = (f"{error:.3g}" for error in (point.error, point.sound, point.lyrics))
        table.add_row(way, f"{asked[0]}, {asked[1]}", f"{point.work / 1e9:.1f}", *errors, f"{point.held:.3f}")
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few songs, masks and seeds; its figures mean little")
    parser.add_argument("--taught", type=int, default=32)
    parser.add_argument("--songs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan((480, 20), options.taught, options.songs, options.seeds, 20 * ASKED[0], Training.epochs, TRIED)
    if options.smoke:
        plan = Plan((32, 2), 5, 1, 1, 512, 4, (ASKED,))
    model = load_trained(*plan.training)
    accuracy = measure_accuracy(model, 16 if options.smoke else 100)
    for tag, rates in accuracy.items():
        print(f"{tag}: right about {rates['right']:.1%} of held-out songs, the commoner answer about {rates['chance']:.1%}")
    songs = [open_song(model, number, plan.reference) for number in range(plan.songs)]
    student, training = teach(model, plan, songs[0].costs)
    scores = [run_ways(model, song, student, plan) for song in songs]
    points = {key: average([some[key] for some in scores]) for key in sorted(scores[0])}
    show(points, plan)
    settle(model, songs[0], student, training, plan, points)


def settle(
    model: nn.Module,
    song: Song,
    student: Student,
    training: float,
    plan: Plan,
    points: dict[tuple[str, tuple[int, int]], Score],
) -> None:
    """Print what a song and a catalogue take without the student and with it, at the error of every number of masks."""
    plain_work, guided_work = (
        count_flops(lambda given=given: explain(model, song.track, n_samples=ASKED, **given))[1]
        for given in list_ways(student).values()
    )
    answering, rest = guided_work - plain_work, CATALOGUE - plan.taught
    recipe = student.recipe
    for side, shares, gain in (("sound", recipe.rho2, recipe.gain), ("lyrics", recipe.lyrics_rho2, recipe.lyrics_gain)):
        told = ", ".join(f"{share:.2f}" for share in shares)
        print(f"{side}: explained of what main effects leave over, by class, {told}; expected gain {gain:.2f}")
    print(f"training: {training / 1e12:.2f} TFLOP; answers: {answering / 1e9:.1f} GFLOP a song")
    table = Table(title="encoder work at no larger error, times less with the student")
    for heading in ("masks without", "masks with it", "a song", f"{CATALOGUE} songs, training and answers counted"):
        table.add_column(heading)
    times: dict[str, tuple[float, float]] = {}
    for asked in plan.tried:
        plain = points[PLAIN, asked]
        matching = {
            tried: point.work for (way, tried), point in points.items() if way == GUIDED and point.error <= plain.error
        }
        best = min(matching, key=matching.__getitem__, default=asked)
        work = matching.get(best, plain.work)
        together = plan.taught * plain.work + rest * (work + answering) + training
        name = f"{asked[0]} + {asked[1]}"
        times[name] = round(plain.work / work, 2), round(CATALOGUE * plain.work / together, 2)
        table.add_row(name, f"{best[0]} + {best[1]}", *(f"{ratio:.2f}" for ratio in times[name]))
    Console(width=140).print(table)
    plain, guided = points[PLAIN, ASKED], points[GUIDED, ASKED]
    lower = {name: round(getattr(plain, name) / getattr(guided, name), 3) for name in ("error", "sound", "lyrics")}
    print(json.dumps({"times less": times, "lower": lower, "held": round(guided.held, 4)}))


if __name__ == "__main__":
    main()
