"""Are explanations faithful? All measures on held-out songs of the embedded model, each beside random attributions.

Each song carries one tag, and its predicted class is explained. Means over songs with 95% intervals. A flip is counted where
removing the top components changes the decision on the explained class (for labels that don't exclude each other: where the
label is switched off). Label-flip rates on adversarial songs are in `veracity.py`. Stability and fidelity are then measured
again by number of masks, two seeds a song, on fewer songs that hold all tags. The explained class rises with each tag, and
five of its causes weigh more than the other four (`known_causes.py`), so that there is a top 5 to agree about.

    python -m benchmarks.accuracy.faithfulness [--smoke] [--songs 28] [--n-samples 512] [--stability-songs 10]
        [--device cpu|cuda]
"""

import argparse
import json

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.worlds.known_causes import plant
from musiclime_torch import Track, explain
from musiclime_torch.demo import TAGS, load_demo_model, make_track, plan_song
from musiclime_torch.faithfulness import Check, Mean, check, summarise, tabulate_means

#: The first seed: far from any song the model was trained or measured on (`demo/training.py`).
HELD_OUT = 17_000_000

COUNTS = (256, 512, 1024, 2048, 4096)


def make_song(number: int) -> Track:
    """Tags in turn."""
    return make_track(plan_song(HELD_OUT + number, {list(TAGS)[number % len(TAGS)]}))


def examine(model: torch.nn.Module, track: Track, n_samples: int, **asked: int | tuple[float, ...]) -> Check:
    return check(model, track, explain(model, track, n_samples=n_samples), **asked)


def show(mean: Mean) -> str:
    """Our figure with its interval, then that of random attributions."""
    figure = mean.row.figure
    return f"{figure.value:.3f} ± {(mean.high - mean.low) / 2:.3f} ({figure.random:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two songs, few variants")
    parser.add_argument("--songs", type=int, default=28)
    parser.add_argument("--n-samples", type=int, default=512)
    parser.add_argument("--stability-songs", type=int, default=10, help="0 leaves that out")
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

    rows: dict[str, dict[str, dict[str, float]]] = {}
    steps = Table(title=f"by number of masks, {few} songs, two seeds each; 95% intervals over songs (random attributions)")
    for heading in ("masks", "same top 5", "same order", "largest change", "fidelity, new masks"):
        steps.add_column(heading, justify="right")
    cases = [plant("many", model, number) for number in range(few)]
    for count in counts if few else ():
        examined = [examine(case.model, case.track, count, seeds=1, shuffled=(), chances=2) for case in cases]
        means = {mean.row.key: mean for mean in summarise(examined).means}
        kept = [means[key] for key in ("overlap", "correlation", "sensitivity", "fidelity")]
        steps.add_row(f"{count:,}", *map(show, kept))
        rows[str(count)] = {
            mean.row.key: {"ours": round(mean.row.figure.value, 4), "random": round(mean.row.figure.random, 4)}
            for mean in kept
        }
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
