"""Trains the demonstration model: ``python -m musiclime_torch.demo.training --seed 0 --out DIR``.

Songs are altered as explanations alter them: stems silenced for moments, words masked. Labels follow: a tag is off once
one of its causes is gone. Where a cue is neither gone nor intact, the tag has no label. Training uses `training.fitting`,
like all other. ``training.json`` next to the weights holds the scores on held-out songs.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16
from torch import Tensor

from musiclime_torch.demo.checks import (
    HELD_OUT,
    Count,
    count_cause_flips,
    count_found_causes,
    count_other_flips,
    measure_classes,
    measure_exact,
)
from musiclime_torch.demo.plan import FILLER, HALF_BARS, SAMPLE_RATE, STEMS, TAGS, SongPlan, plan_song, spawn
from musiclime_torch.demo.song import render_stems
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.models.tokens import MASK, SPECIALS
from musiclime_torch.training.fitting import Recipe, fit
from musiclime_torch.training.songs import Batch, draw_rates
from musiclime_torch.variants.sound import gate_stems, mix

#: A tag stays on with at least this share of its cue left, and is off with at most that share.
WHOLE, GONE = 0.75, 0.1


@dataclass(frozen=True)
class Example:
    """A planned song with its stems, at half precision to save memory."""

    plan: SongPlan
    stems: Float16[Tensor, "stem channel frame"]


def make_example(seed: int) -> Example:
    """A song with any number of tags, three on average: more to learn from than in songs with one or two."""
    rng = spawn(seed, "tags")
    plan = plan_song(seed, [name for name in TAGS if rng.random() < 0.42])
    return Example(plan, torch.from_numpy(render_stems(plan))[:, None].half())


class DamagedSongs:
    """`Songs` for `training.fitting.fit`: ``variants`` altered versions of every song, or unaltered ones.

    ``damage`` is "followed", where labels go with their causes; "kept", where they stay whatever is lost (all that component
    dropout can do for songs whose causes are unknown); or "none".
    """

    def __init__(
        self, examples: Sequence[Example], model: Tagger, variants: int, seed: int, damage: str = "followed"
    ) -> None:
        self.examples, self.vocabulary = examples, model.vocabulary
        self.variants, self.seed, self.damage = variants, seed, damage

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Batch:
        """The song as epoch ``index // len(self)`` has it."""
        example, rng = self.examples[index % len(self)], np.random.default_rng([self.seed, index])
        plan, words = example.plan, example.plan.words
        edges, cells = _draw_cells(plan, self.variants, rng)
        stems = example.stems.float() * torch.from_numpy(rng.uniform(0.7, 1.2, (len(STEMS), 1, 1))).float()
        kept = rng.random((self.variants, len(words))) >= draw_rates(self.variants, rng)[:, None]
        dropped = ~kept & (rng.random((self.variants, 1)) < 0.25)
        if self.damage == "none":
            cells[:], kept[:], dropped[:] = True, True, False
        # Masked words keep their place and are attended to; dropped ones aren't. Explanations may do either, by baseline.
        known = torch.tensor([self.vocabulary[word] for word in words])
        # Under "kept" the labels are those of the intact song, whatever was removed.
        intact = self.damage == "kept"
        left = _measure_left(plan, edges, cells | intact, kept | intact)
        return Batch(
            audio=mix(gate_stems(stems, None, edges, SAMPLE_RATE, None)[0], torch.from_numpy(cells)),
            ids=torch.where(torch.from_numpy(kept), known, self.vocabulary[MASK]),
            attended=torch.from_numpy(~dropped),
            labels=torch.from_numpy(left >= WHOLE).float(),
            known=torch.from_numpy((left >= WHOLE) | (left <= GONE)),
        )


def _draw_cells(plan: SongPlan, variants: int, rng: np.random.Generator) -> tuple[tuple[float, ...], np.ndarray]:
    """Borders in seconds, at half-bars three times of four, and which cells (variant, stem, segment) stay."""
    seconds = plan.frames / SAMPLE_RATE
    # Mostly the half-bars that explanations cut at; other grids too, so that the model doesn't depend on that one.
    count = HALF_BARS if rng.random() < 0.75 else int(rng.integers(4, 16))
    edges = tuple(seconds * index / count for index in range(count + 1))
    cells = rng.random((variants, len(STEMS), count)) >= draw_rates(variants, rng)[:, None, None]
    # A whole stem goes now and then: a separator may leave one empty.
    cells &= rng.random((variants, len(STEMS), 1)) >= 0.08
    return edges, cells


def _measure_left(plan: SongPlan, edges: tuple[float, ...], cells: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """What is left of each tag's weakest cause, 0 to 1, and 0 where the song doesn't have the tag: (variant, class)."""
    left = np.zeros((len(cells), len(TAGS)))
    borders = np.array(edges) * SAMPLE_RATE / plan.half_bar
    for column, name in enumerate(TAGS):
        if name not in plan.tags:
            continue
        left[:, column] = 1
        for cause in plan.causes:
            if cause.tag != name:
                continue
            if cause.stem is None:
                share = kept[:, cause.place]
            else:
                # A cue lasts one half-bar; its share is what of it lies in cells that stay, borders measured in half-bars.
                overlap = np.minimum(borders[1:], cause.place + 1) - np.maximum(borders[:-1], cause.place)
                share = cells[:, STEMS.index(cause.stem)] @ np.maximum(overlap, 0)
            # AND: the tag is only as present as its weakest cause.
            left[:, column] = np.minimum(left[:, column], share)
    return left


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
