"""Trains the demonstration model: ``python -m musiclime_torch.demo.training --seed 0 --out DIR``.

``model.safetensors`` holds the weights, ``model.json`` all else that makes the model, and what was measured on songs that
training never saw.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from musiclime_torch.demo.checks import (
    HELD_OUT,
    Count,
    count_cause_flips,
    count_found_causes,
    count_other_flips,
    measure_classes,
    measure_exact,
)
from musiclime_torch.demo.examples import Batch, Example, make_batch, make_example
from musiclime_torch.demo.model import DemoTagger
from musiclime_torch.demo.tags import FILLER, TAGS
from musiclime_torch.demo.vocabulary import MASK, SPECIALS
from musiclime_torch.models.contract import TokenBatch

CONFIG = {"width": 32, "n_mels": 48, "hop": 400, "token_limit": 256}
#: Songs a batch, and damaged versions of each.
SONGS, VARIANTS = 16, 4
#: Songs, or pairs of songs, behind every figure by tag.
SONGS_MEASURED = 60
#: Targets are this far from 0 and 1: logits settle near ±4.6 instead of growing without end.
SMOOTHING = 0.01
#: Peak learning rates by the first word of a parameter's name. A word is seen in few of a batch's songs, and the strongest
#: of forty words is the only one to learn from: reading needs longer steps than hearing.
PEAK_RATES = {"embedding": 3e-2, "read": 1e-2}
PEAK_RATE = 3e-3


def list_words() -> tuple[str, ...]:
    """The vocabulary in the order of its ids."""
    return (*SPECIALS, *sorted({*FILLER, *(word for tag in TAGS.values() for word in tag.words)}))


def train(examples: list[Example], epochs: int, seed: int) -> DemoTagger:
    """Fit a new model, from seed to weights; prints a line an epoch to standard error."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DemoTagger(tuple(TAGS), list_words(), **CONFIG)
    rng = np.random.default_rng(seed)
    steps = epochs * (len(examples) // SONGS)
    parts = [(PEAK_RATES.get(name, PEAK_RATE), list(part.parameters())) for name, part in model.named_children()]
    optimizer = torch.optim.AdamW([{"params": part} for _, part in parts], weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [rate for rate, _ in parts], total_steps=steps, pct_start=0.15)
    for epoch in range(epochs):
        losses, began = [], time.monotonic()
        order = rng.permutation(len(examples))
        for rows in order[: len(order) // SONGS * SONGS].reshape(-1, SONGS):
            batch = make_batch([examples[row] for row in rows], VARIANTS, model.vocabulary, model.vocabulary[MASK], rng)
            loss = measure_loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    return model.eval()


def measure_loss(model: DemoTagger, batch: Batch) -> torch.Tensor:
    """Mean binary cross-entropy over the labels there are."""
    logits = model(batch.audio, TokenBatch(model.embed_text(batch.ids), batch.attended))
    targets = batch.labels * (1 - 2 * SMOOTHING) + SMOOTHING
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * batch.known).sum() / batch.known.sum()


def measure(model: DemoTagger, songs: int) -> dict[str, Any]:
    """Every figure of ``checks``, as rates with their counts."""
    return {
        "held_out_seeds_from": HELD_OUT,
        "exact_match": _show(measure_exact(model, 4 * songs)),
        "class_accuracy": _show_all(measure_classes(model, songs)),
        "flips_when_a_cause_is_swapped": _show_all(count_cause_flips(model, songs)),
        "flips_when_all_else_is_swapped": _show_all(count_other_flips(model, songs)),
        "causes_first_in_lime_1500": _show_all(count_found_causes(model, max(songs // 20, 1), 1500)),
    }


def write_model(model: DemoTagger, record: dict[str, Any], folder: Path) -> None:
    """Write ``model.safetensors`` and ``model.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(save(model.state_dict()))
    made_of = {"classes": list(model.classes), "config": CONFIG, "words": list(model.vocabulary)}
    (folder / "model.json").write_text(json.dumps({**made_of, "training": record}, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Generate songs, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--songs", type=int, default=1200)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    if not 0 < given.songs < HELD_OUT:
        parser.error(f"--songs {given.songs} would reach into the held-out seeds: use less than {HELD_OUT}.")
    # One thread: the order of every sum is then fixed, and a busy machine doesn't stall what is split in two.
    torch.set_num_threads(1)
    examples = [make_example(seed) for seed in range(given.songs)]
    model = train(examples, given.epochs, given.seed)
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
    write_model(model, record, given.out)
    print(json.dumps(record["measured"], indent=1))


def _show(count: Count) -> dict[str, float]:
    return {"rate": round(count.rate, 4), "hits": count.hits, "trials": count.trials}


def _show_all(counts: dict[str, Count]) -> dict[str, Any]:
    return {name: _show(count) for name, count in counts.items()}


if __name__ == "__main__":
    main()
