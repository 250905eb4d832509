"""Ours, the paper's procedure and other people's on one model and song, each called in the same way and timed."""

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.tools import peers
from benchmarks.tools.gauges import start
from benchmarks.tools.tuning import Tuning
from benchmarks.worlds.subjects import Clock, watch_model
from benchmarks.worlds.world import World, ask_probe
from musiclime_torch import PAPER, explain

#: Passes of either encoder that `explain` takes beside its masks: the song and the empty song.
ENDS = 2


@dataclass(frozen=True)
class Run:
    """Attributions of one call, and what it took: passes of each encoder, seconds, and seconds outside the model."""

    attributions: Tensor
    passes: tuple[int, int]
    seconds: float
    outside: float


@dataclass(frozen=True)
class Bench:
    """A model with its song, the same as a game, how it is run, and the clocks of the model's parts."""

    game: World
    tuning: Tuning
    target: int
    clocks: dict[str, Clock]


def prepare(game: World, tuning: Tuning) -> Bench:
    """Time what the model does, and find the class it predicts for the song."""
    assert game.probe is not None, "a model is behind it"
    assert game.track is not None, "and a song"
    # A table of local maps, once one method had it made, would answer all others for nothing.
    probe = game.probe.without_tables
    game = ask_probe(game.name, probe, game.track)
    clocks = watch_model(probe.subject.model, tuning.device)
    target = int(game.join(torch.ones(1, game.d_audio + game.d_lyrics, dtype=torch.bool), "logit")[0].argmax())
    return Bench(game, tuning, target, clocks)


def run_explain(bench: Bench, budget: int, seed: int, **options: Any) -> tuple[Tensor, tuple[int, int]]:
    """Attributions to the target, and the passes they took."""
    assert bench.game.probe is not None, "a model is behind it"
    assert bench.game.track is not None, "and a song"
    options |= {"n_samples": budget, "seed": seed, "target": bench.target}
    options |= {"device": bench.tuning.device, "batch_size": bench.tuning.rows, "precision": bench.tuning.precision}
    explanation = explain(bench.game.probe.subject.model, bench.game.track, **options)
    return explanation.attributions[bench.target], (explanation.audio_passes, explanation.lyrics_passes)


def run_peer(peer: Callable[..., peers.Found], bench: Bench, budget: int, seed: int) -> tuple[Tensor, tuple[int, int]]:
    """A peer's method on logits, in batches where it allows."""
    sides = (bench.game.d_audio, bench.game.d_lyrics)
    game = peers.Oracle(lambda masks: bench.game.join(masks, "logit"), *sides, bench.target, bench.tuning.rows)
    attributions = peer(game, budget, seed).attributions
    return attributions, (sum(game.asked), sum(game.asked))


METHODS: dict[str, Callable[[Bench, int, int], tuple[Tensor, tuple[int, int]]]] = {
    "musiclime_torch": run_explain,
    "musiclime_torch, probability": lambda bench, budget, seed: run_explain(bench, budget, seed, space="probability"),
    "musiclime_torch, Shapley": lambda bench, budget, seed: run_explain(bench, budget, seed, weights="shapley"),
    "musiclime_paper": lambda bench, budget, seed: run_explain(bench, budget, seed, **PAPER),
    **{name: partial(run_peer, peer) for name, peer in peers.PEERS.items()},
}


class RefusalError(Exception):
    """A method refuses so few masks."""


def measure_run(bench: Bench, method: str, budget: int, seed: int) -> Run:
    """One call, timed. RefusalError where the method says so before it has asked for any mask."""
    inside, asked = tell_clocks(bench)
    stop = start(bench.tuning.device)
    try:
        attributions, passes = METHODS[method](bench, budget, seed)
    except ValueError as error:  # InputError is one
        if tell_clocks(bench)[1] - asked > 2 * ENDS:
            raise
        raise RefusalError(str(error)) from error
    seconds = stop()
    return Run(attributions.double(), passes, seconds, seconds - (tell_clocks(bench)[0] - inside))


def tell_clocks(bench: Bench) -> tuple[float, int]:
    """Seconds spent in the model up to now, and passes of both encoders."""
    seconds = sum(clock.seconds for clock in bench.clocks.values())
    return seconds, bench.clocks["encode_audio"].rows + bench.clocks["encode_text"].rows


def tell_error(runs: list[Run]) -> float:
    """Relative squared error of sampling, from pairs of runs."""
    errors = []
    for first, second in itertools.combinations(runs, 2):
        apart, alike = (
            (first.attributions - second.attributions).square().sum() / 2,
            first.attributions @ second.attributions,
        )
        errors.append(float(apart / alike) if float(alike) > 0 else float("inf"))
    return statistics.median(errors)
