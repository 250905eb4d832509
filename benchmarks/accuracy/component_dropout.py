"""What component dropout in training does to explanations: the embedded model trained without it and with it.

Three trainings of the demo's recipe on the same generated songs: whole songs only; dropout as `musiclime train` does it,
which keeps the label whatever is removed; and the demo's own, which removes a label together with its causes (only generated
songs know these). Measured on held-out songs: how many decisions are right, how well a linear surrogate fits (fidelity), and
how often the planted causes are ranked first.

    python -m benchmarks.accuracy.component_dropout [--smoke] [--songs 400] [--epochs 16] [--threads 1] [--device cpu|cuda]
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch import explain
from musiclime_torch.demo import (
    HALF_BARS,
    HELD_OUT,
    RECIPE,
    TAGS,
    find_causes,
    find_column,
    make_example,
    make_track,
    measure_exact,
    plan_song,
    train,
)
from musiclime_torch.models import Tagger

DAMAGES = {"none": "whole songs", "kept": "dropout, labels kept", "followed": "dropout, labels follow"}
#: First seed of the songs that are explained: far from those of training and of the demo's own checks.
FIRST = 3 * HELD_OUT


def measure(model: Tagger, songs: int, n_samples: int) -> dict[str, float]:
    """Means over `songs` songs of every tag."""
    fidelity, recovered = [], []
    for number, name in enumerate(TAGS):
        for index in range(songs):
            plan = plan_song(FIRST + number * songs + index, {name})
            explanation = explain(model, make_track(plan), segments=HALF_BARS, target=name, n_samples=n_samples)
            order = explanation.attributions[explanation.target].argsort(descending=True).tolist()
            planted = {find_column(cause) for cause in find_causes(plan, name)}
            fidelity.append(float(explanation.fidelity[explanation.target]))
            recovered.append(set(order[: len(planted)]) == planted)
    exact = measure_exact(model, 20 * songs, seed=FIRST + 1_000_000)
    return {"exact": exact.rate, "fidelity": sum(fidelity) / len(fidelity), "causes": sum(recovered) / len(recovered)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="sixteen songs, one epoch")
    parser.add_argument("--songs", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    songs, epochs, explained, masks = (16, 1, 1, 128) if options.smoke else (options.songs, options.epochs, 6, 1024)
    examples = [make_example(seed) for seed in range(songs)]
    table = Table(
        title=f"{songs} songs, {epochs} epochs; {explained * len(TAGS)} held-out songs explained, {20 * explained} decided"
    )
    for heading in ("trained on", "all decisions right", "fidelity", "causes first"):
        table.add_column(heading)
    figures = {}
    for damage, title in DAMAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            model = train(examples, replace(RECIPE, epochs=epochs), Path(folder), damage, device=options.device)
        measured = measure(model.to(options.device), explained, masks)
        figures[damage] = {name: round(value, 3) for name, value in measured.items()}
        table.add_row(title, *(f"{value:.2f}" for value in figures[damage].values()))
    Console(width=100).print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
