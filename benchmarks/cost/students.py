"""Students as proxies: squared errors of the sound's main effects with one, without one, and with useless ones.

The model is the small AST + RoBERTa (random weights) as a model of sound alone: its lyrics are read once. Songs are
synthetic ones of its kind. A student learns from `--songs` of them and `--masks` masks each. Fresh songs are then
explained by `explain` at several numbers of masks: without a proxy, with the student, with an untrained one, and with
one that answers the opposite. All of them see the same masks. Errors are relative (Σ (estimate − reference)² / Σ
reference², mean over classes), in their median over seeds and geometric mean over songs, against references of twenty
times the longest run. **Coverage** is the share of intervals of 95% that hold the reference. Last, the work for a
catalogue: passes with training counted, against the same squared error without a student.

    python -m benchmarks.cost.students [--smoke] [--songs 96] [--masks 256] [--fresh 3] [--seeds 9]
"""

import argparse
import json
import math
import statistics
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.worlds.transformer import make_stems, make_transformer
from musiclime_torch import Explanation, Track, explain
from musiclime_torch.explanation import Answers, Settings
from musiclime_torch.models import Student, TokenBatch
from musiclime_torch.training import Training, distill

#: The first seeds of the songs that are learned from, and of fresh ones.
TAUGHT, FRESH = 10_000, 20_000

#: The seed of references, far from those of the runs.
APART = 910_000_001

PLAIN, TRAINED, UNTRAINED, OPPOSITE = "no proxy", "student", "untrained", "opposite"

#: Songs in the catalogue of the last line.
CATALOGUE = 200


class Hearing(nn.Module):
    """The model of sound and lyrics with one song's lyrics in it."""

    sample_rate, channels, output_kind, modalities = 16_000, 1, "logits", ("audio",)

    def __init__(self, model: nn.Module, lyrics: str) -> None:
        super().__init__()
        self.model, self.classes = model, model.classes
        tokens = model.tokenize(lyrics)
        embedded = model.embed_text(tokens.ids)[None]
        batch = TokenBatch(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool))
        self.register_buffer("text", model.encode_text(batch).detach())

    def forward(self, audio: Tensor) -> Tensor:
        """Logits."""
        return self.model.fuse(self.model.encode_audio(audio), self.text.expand(len(audio), -1))


@dataclass(frozen=True)
class Score:
    """Of one explanation: its relative squared error, and the share of intervals that hold the reference."""

    error: float
    held: float


def make_song(track: Track, seed: int) -> Track:
    """Another synthetic song."""
    stems = make_stems(torch.Generator().manual_seed(seed))
    return replace(track, stems=stems, lyrics=None, title=f"synthetic {seed}")


def make_opposite(student: Student) -> Student:
    """The same student with its outputs turned around: right about what matters, and wrong about how."""
    other = Student(student.recipe)
    other.load_state_dict(student.state_dict())
    assert other.listener is not None
    other.listener.output_spread.mul_(-1)
    return other.eval()


def make_untrained(student: Student) -> Student:
    """A student of the same recipe that has learned nothing but means."""
    torch.manual_seed(0)
    other = Student(student.recipe)
    for name in ("mean", "spread", "output_spread"):
        getattr(other.listener, name).copy_(getattr(student.listener, name))
    return other.eval()


def score(explanation: Explanation, truth: Tensor) -> Score:
    """The sound's main effects of every class against the reference (class, d)."""
    missed = explanation.attributions.double() - truth
    error = float((missed.square().sum(1) / truth.square().sum(1)).mean())
    held = missed.abs() <= explanation.half_width.double()
    return Score(error, float(held.double().mean()))


def measure_song(
    model: nn.Module, track: Track, proxies: dict[str, Student | None], sizes: tuple[int, ...], seeds: int, reach: int
) -> dict[tuple[str, int], tuple[float, float]]:
    """Median error and mean coverage of every proxy at every size."""
    truth = explain(model, track, n_samples=reach * max(sizes), seed=APART).attributions.double()
    scores: dict[tuple[str, int], list[Score]] = {}
    for seed in range(seeds):
        for size in sizes:
            answers = Answers()
            for name, proxy in proxies.items():
                found = explain(model, track, n_samples=size, seed=seed, proxy=proxy, answers=answers)
                scores.setdefault((name, size), []).append(score(found, truth))
    return {
        key: (statistics.median(one.error for one in some), statistics.fmean(one.held for one in some))
        for key, some in scores.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few songs, masks and seeds; its figures mean little")
    parser.add_argument("--songs", type=int, default=96)
    parser.add_argument("--masks", type=int, default=256)
    parser.add_argument("--fresh", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    world = make_transformer(0)
    assert world.track is not None
    assert world.probe is not None
    track = world.track
    assert track.lyrics is not None
    model = Hearing(world.probe.subject.model, track.lyrics.text).requires_grad_(False).eval()
    songs, masks, fresh, seeds = (
        (8, 128, 1, 2) if options.smoke else (options.songs, options.masks, options.fresh, options.seeds)
    )
    sizes, reach = ((128,), 2) if options.smoke else ((128, 256, 512, 1024), 20)
    lessons = (make_song(track, TAUGHT + song) for song in range(songs))
    training = Training(epochs=20) if options.smoke else Training()
    student = distill(model, lessons, Settings(), masks, training, worth=0.0)
    rho2 = ", ".join(f"{share:.2f}" for share in student.recipe.rho2)
    print(f"{songs} songs of {masks} masks: explained of what main effects leave over, by class, {rho2}; expected gain "
          f"{student.recipe.gain:.2f}")  # fmt: skip
    proxies = {PLAIN: None, TRAINED: student, UNTRAINED: make_untrained(student), OPPOSITE: make_opposite(student)}
    tables = [measure_song(model, make_song(track, FRESH + song), proxies, sizes, seeds, reach) for song in range(fresh)]
    gains = show(tables, sizes, tuple(proxies))
    taught = student.recipe.masks
    for size in sizes:
        # Without a student the same error takes as many times more masks as it is lower with one.
        alone, together = CATALOGUE * size * gains[TRAINED][size], CATALOGUE * size + taught
        print(f"{CATALOGUE} songs at {size} masks: {alone / together:.2f} times fewer passes, training counted")
    print(json.dumps({"rho2": student.recipe.rho2, "gain": gains, "taught": taught}))


def show(
    tables: list[dict[tuple[str, int], tuple[float, float]]], sizes: tuple[int, ...], names: tuple[str, ...]
) -> dict[str, dict[int, float]]:
    """Print errors and coverage; the gains of every proxy by size."""
    table = Table(title=f"{len(tables)} fresh songs, main effects of the sound")
    for heading in ("masks", "proxy", "relative squared error", "times lower", "coverage of 95%"):
        table.add_column(heading)
    gains: dict[str, dict[int, float]] = {name: {} for name in names}
    for size in sizes:
        for name in names:
            errors = [one[name, size][0] for one in tables]
            ratio = math.exp(statistics.fmean(math.log(one[PLAIN, size][0] / one[name, size][0]) for one in tables))
            held = statistics.fmean(one[name, size][1] for one in tables)
            gains[name][size] = round(ratio, 3)
            table.add_row(
                str(size) if name == PLAIN else "", name, f"{statistics.median(errors):.3g}", f"{ratio:.2f}", f"{held:.3f}"
            )
    Console(width=140).print(table)
    return gains


if __name__ == "__main__":
    main()
