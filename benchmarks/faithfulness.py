"""Are explanations faithful? All measures on held-out songs of the embedded model, each beside random attributions.

Each song carries one tag, and its predicted class is explained. Means over songs with 95% intervals. A flip is counted
where the decision on the explained class is another once the top components are removed (of labels that don't exclude each
other: where it goes off). What a study of adversarial songs measured, and gives label-flip rates of, is in `veracity.py`.
Stability and fidelity are then measured again by number of masks, on fewer songs: mean over pairs of seeds.

    python benchmarks/faithfulness.py [--smoke] [--songs 28] [--n-samples 512] [--stability-songs 2] [--device cpu|cuda]
"""

import argparse
import json

import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch import explain
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.demo.plan import plan_song
from musiclime_torch.demo.songs import make_track
from musiclime_torch.demo.tags import TAGS
from musiclime_torch.faithfulness import Check, check, summarise
from musiclime_torch.faithfulness.table import tabulate_means
from musiclime_torch.track import Track

#: The first seed: far from any song the model was trained or measured on (`demo/training.py`).
HELD_OUT = 17_000_000

COUNTS = (256, 512, 1024, 2048, 4096)


def make_song(number: int) -> Track:
    """Tags in turn."""
    return make_track(plan_song(HELD_OUT + number, {list(TAGS)[number % len(TAGS)]}))


def examine(model: torch.nn.Module, track: Track, n_samples: int, **asked: int | tuple[float, ...]) -> Check:
    return check(model, track, explain(model, track, n_samples=n_samples), **asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two songs, few variants")
    parser.add_argument("--songs", type=int, default=28)
    parser.add_argument("--n-samples", type=int, default=512)
    parser.add_argument("--stability-songs", type=int, default=2, help="0 leaves that out")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.songs < 2 or (options.stability_songs < 2 and options.stability_songs != 0):
        parser.error(
            "means have intervals from 2 songs on: give --songs and --stability-songs 2 or more (or --stability-songs 0)"
        )
    songs, n_samples, few, counts = options.songs, options.n_samples, options.stability_songs, COUNTS
    if options.smoke:
        songs, n_samples, few, counts = 2, 200, 2, (200,)
    model = load_demo_model().to(options.device)
    console = Console(width=120)

    summary = summarise([examine(model, make_song(song), n_samples, seeds=0, chances=5) for song in range(songs)])
    table = tabulate_means(summary)
    table.title = f"{songs} held-out songs, {n_samples:,} masks asked for, {options.device}; 95% intervals over songs"
    console.print(table)

    rows: dict[str, dict[str, float]] = {}
    steps = Table(title=f"by number of masks, {few} songs, two seeds")
    for heading in ("masks", "same top 5", "same order", "largest change", "fidelity, new masks", "fidelity, own masks"):
        steps.add_column(heading, justify="right")
    for count in counts if few else ():
        found = [examine(model, make_song(song), count, seeds=1, shuffled=(), chances=2) for song in range(few)]
        means = {mean.row.key: mean.row.figure.value for mean in summarise(found).means}
        fitted = sum(one.fidelity_fitted or 0.0 for one in found) / few
        shown = [means[key] for key in ("overlap", "correlation", "sensitivity", "fidelity")] + [fitted]
        steps.add_row(f"{count:,}", *(f"{value:.3f}" for value in shown))
        rows[str(count)] = {key: round(means[key], 4) for key in ("overlap", "correlation", "sensitivity", "fidelity")}
    if few:
        console.print(steps)

    measures = {
        mean.row.key: {"ours": round(mean.row.figure.value, 4), "low": round(mean.low, 4), "high": round(mean.high, 4)}
        | {"random": round(mean.row.figure.random, 4)}
        for mean in summary.means
    }
    print(json.dumps({"songs": songs, "n_samples": n_samples, "measures": measures, "by_masks": rows}))


if __name__ == "__main__":
    main()
