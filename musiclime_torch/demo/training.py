"""Trains the demonstration model: ``python -m musiclime_torch.demo.training --seed 0 --out DIR``.

Training uses `training.fitting`, like all other. ``training.json`` next to the weights holds the scores on held-out songs.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from musiclime_torch.demo.checks import (
    HELD_OUT,
    Count,
    count_cause_flips,
    count_found_causes,
    count_other_flips,
    measure_classes,
    measure_exact,
)
from musiclime_torch.demo.examples import DamagedSongs, Example, make_example
from musiclime_torch.demo.plan import FILLER, TAGS
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.models.tokens import SPECIALS
from musiclime_torch.training.fitting import Recipe, fit

#: Damaged versions of each song of a batch.
VARIANTS = 4
#: Songs, or pairs of songs, behind every figure by tag.
SONGS_MEASURED = 60
#: A word occurs in few of a batch's songs, and max pooling lets only the strongest of forty words learn: the lyrics' side
#: needs larger steps than the audio side. Targets of 0.01 and 0.99 let logits settle near ±4.6 = log(0.99 / 0.01).
RECIPE = Recipe(
    epochs=24,
    batch_size=16,
    rate=3e-3,
    rates={"embedding": 3e-2, "read": 1e-2},
    warmup=0.15,
    smoothing=0.01,
    patience=None,
)


def list_words() -> tuple[str, ...]:
    """The vocabulary in the order of its ids."""
    return (*SPECIALS, *sorted({*FILLER, *(word for tag in TAGS.values() for word in tag.words)}))


def make_model(seed: int) -> Tagger:
    """The untrained model."""
    # The caller's random state must not move.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tagger(tuple(TAGS), list_words(), "multilabel", name="demo")


def train(
    examples: Sequence[Example],
    recipe: Recipe,
    folder: Path,
    damage: str = "followed",
    callbacks: Sequence[Any] = (),
    device: torch.device | str = "cpu",
) -> Tagger:
    """Fit a new model; checkpoints and logs are written to the folder."""
    model = make_model(recipe.seed)
    songs = DamagedSongs(examples, model, VARIANTS, recipe.seed, damage)
    about = f"{len(examples)} generated songs, damage {damage}"
    fit(model, songs, None, recipe, folder, about=about, callbacks=callbacks, device=device)
    return model


def measure(model: Tagger, songs: int) -> dict[str, Any]:
    """Every figure of ``checks``, as rates with their counts."""
    return {
        "held_out_seeds_from": HELD_OUT,
        "exact_match": _show(measure_exact(model, 4 * songs)),
        "class_accuracy": _show_all(measure_classes(model, songs)),
        "flips_when_a_cause_is_swapped": _show_all(count_cause_flips(model, songs)),
        "flips_when_all_else_is_swapped": _show_all(count_other_flips(model, songs)),
        "causes_first_in_lime_1500": _show_all(count_found_causes(model, max(songs // 20, 1), 1500)),
    }


def main(arguments: list[str] | None = None) -> None:
    """Generate songs, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--songs", type=int, default=1200)
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    if not 0 < given.songs < HELD_OUT:
        parser.error(f"--songs {given.songs} would reach into the held-out seeds: use less than {HELD_OUT}.")
    # One thread fixes the order of every sum, so that the weights can be reproduced to the last bit.
    torch.set_num_threads(1)
    examples = [make_example(seed) for seed in range(given.songs)]
    with tempfile.TemporaryDirectory() as folder:
        model = train(examples, replace(RECIPE, seed=given.seed, epochs=given.epochs), Path(folder))
    command = f"python -m musiclime_torch.demo.training --seed {given.seed} --songs {given.songs} --epochs {given.epochs}"
    record = {
        "command": f"{command} --out {given.out}",
        "seed": given.seed,
        "songs": given.songs,
        "epochs": given.epochs,
        "torch": torch.__version__,
        "threads": 1,
        "measured": measure(model, SONGS_MEASURED),
    }
    model.save_pretrained(given.out)
    (given.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["measured"], indent=1))


def _show(count: Count) -> dict[str, float]:
    return {"rate": round(count.rate, 4), "hits": count.hits, "trials": count.trials}


def _show_all(counts: dict[str, Count]) -> dict[str, Any]:
    return {name: _show(count) for name, count in counts.items()}


if __name__ == "__main__":
    main()
