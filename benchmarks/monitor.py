"""What a monitor costs inside the training of the embedded model, and that it changes nothing.

The demo's own training runs twice from the same seed, for as many steps, with and without a `Monitor` that explains four
songs of ten seconds at about 256 encoder passes each, every so many steps. Its share is the seconds that its readings took
of the whole run's; losses are compared bit by bit.

    python benchmarks/monitor.py [--smoke] [--steps 600] [--every 300] [--threads 1]
"""

import argparse
import json
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch.demo.bundle import load_demo_track
from musiclime_torch.demo.examples import make_batch, make_example
from musiclime_torch.demo.tags import TAGS
from musiclime_torch.demo.training import CONFIG, PEAK_RATE, SONGS, VARIANTS, list_words, measure_loss
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.models.vocabulary import MASK
from musiclime_torch.track import Track
from musiclime_torch.training.monitor import Monitor

#: Seconds of a probe song.
SECONDS = 10


def make_probe(songs: int) -> list[Track]:
    """Ten seconds of the embedded song, a little later each time."""
    track = load_demo_track()
    length = SECONDS * track.sample_rate
    step = (track.stems.shape[-1] - length) // max(songs - 1, 1)
    return [
        Track(track.stems[:, :, start : start + length], track.stem_names, track.sample_rate, track.lyrics)
        for start in range(0, songs * step, step)
    ]


def train(steps: int, songs: int, monitor: Monitor | None) -> tuple[list[float], float]:
    """Losses and seconds of the demo's recipe: its batches, its loss, its optimizer, one rate for all."""
    examples = [make_example(seed) for seed in range(songs)]
    torch.manual_seed(0)
    model = Tagger(tuple(TAGS), list_words(), **CONFIG)
    rng, optimizer = np.random.default_rng(0), torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
    losses, started = [], time.perf_counter()
    for step in range(1, steps + 1):
        rows = rng.permutation(len(examples))[:SONGS]
        batch = make_batch([examples[row] for row in rows], VARIANTS, model.vocabulary, model.vocabulary[MASK], rng)
        loss = measure_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if monitor is not None:
            monitor.step(model, step)
    return losses, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="four steps")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--every", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    steps, every, songs = (4, 2, 16) if options.smoke else (options.steps, options.every, 200)
    monitor = Monitor(make_probe(4), every=every, options={"n_samples": 256})
    watched, seconds = train(steps, songs, monitor)
    plain, _ = train(steps, songs, None)
    looks = [reading.seconds for reading in monitor.readings]
    share = sum(looks) / seconds
    # The first look also explains the shuffled model, once and for all.
    running = looks[-1] / (looks[-1] + every * (seconds - sum(looks)) / steps)
    table = Table(title=f"{steps} steps of the embedded model's training, a look at 4 songs every {every}")
    for heading in ("what", "figure"):
        table.add_column(heading)
    table.add_row("losses with and without the monitor", "the same, bit by bit" if watched == plain else "DIFFERENT")
    table.add_row("seconds a look", ", ".join(f"{look:.1f}" for look in looks))
    table.add_row("share of the whole run", f"{share:.1%}")
    table.add_row("share once it runs", f"{running:.1%}")
    Console(width=100).print(table)
    print(json.dumps({"identical": watched == plain, "share": round(share, 4), "running_share": round(running, 4)}))


if __name__ == "__main__":
    main()
