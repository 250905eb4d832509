"""Whether explanations find the causes that were planted: every class of the embedded model, on held-out songs.

Each song carries one tag. A song counts as a hit where its planted causes (one cell, one word, or one of each) are the
components with the largest attributions to that class, whatever else is in the song. The table also gives the hit rate by
chance, and how often the planted causes are significant.

    python -m benchmarks.accuracy.demo_causes [--smoke] [--songs 20] [--n-samples 1024] [--device cpu|cuda]
"""

import argparse
import json
import math

from rich.console import Console
from rich.table import Table

from musiclime_torch import explain
from musiclime_torch.demo import TAGS, find_causes, find_column, load_demo_model, make_track, plan_song

#: The first seed: far from any song the model was trained or measured on (`demo/training.py`).
HELD_OUT = 7_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one song a class, few variants")
    parser.add_argument("--songs", type=int, default=20, help="a class")
    parser.add_argument("--n-samples", type=int, default=1024)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    songs, n_samples = (1, 200) if options.smoke else (options.songs, options.n_samples)
    model = load_demo_model().to(options.device)

    table = Table(title=f"{songs} held-out songs a class, {n_samples:,} variants asked for, {options.device}")
    for heading in ("class", "planted causes on top", "chance", "causes significant", "fidelity"):
        table.add_column(heading)
    hits = 0
    for number, tag in enumerate(TAGS):
        recovered, significant, causes, fidelity, chance = 0, 0, 0, 0.0, 0.0
        for song in range(songs):
            plan = plan_song(HELD_OUT + 1000 * number + song, {tag})
            explanation = explain(model, make_track(plan), target=tag, n_samples=n_samples)
            planted = {find_column(cause) for cause in find_causes(plan, tag)}
            recovered += set(explanation.order()[: len(planted)]) == planted
            significant += sum(bool(explanation.significant[explanation.target, column]) for column in planted)
            causes += len(planted)
            fidelity += float(explanation.fidelity[explanation.target]) / songs
            chance += 1 / math.comb(len(explanation.components), len(planted)) / songs
        hits += recovered
        table.add_row(tag, f"{recovered}/{songs}", f"{chance:.1%}", f"{significant}/{causes}", f"{fidelity:.2f}")
    Console(width=120).print(table)
    print(json.dumps({"hits": hits, "songs": songs * len(TAGS), "share": round(hits / (songs * len(TAGS)), 4)}))


if __name__ == "__main__":
    main()
