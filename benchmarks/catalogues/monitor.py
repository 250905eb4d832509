"""What a monitor costs inside the training of the embedded model, and that it changes nothing.

The demo's own training runs twice from the same seed, with and without a `Monitor` that explains four songs of ten seconds
at about 256 encoder passes each, as often as it does by default. Its share is the seconds that its readings took of the
whole run's; the weights at the end are compared bit by bit (on a GPU with deterministic kernels, where there are any).

    python -m benchmarks.catalogues.monitor [--smoke] [--songs 400] [--epochs 40] [--every 500] [--threads 1]
        [--device cpu|cuda]
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.tools.gauges import start
from musiclime_torch import Track
from musiclime_torch.demo import RECIPE, Example, load_demo_track, make_example, train
from musiclime_torch.training import Monitor, make_trainer_callback

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


def train_watched(
    examples: list[Example], epochs: int, monitor: Monitor | None, device: torch.device
) -> tuple[dict[str, torch.Tensor], float]:
    """Weights and seconds of the demo's recipe."""
    callbacks = () if monitor is None else (make_trainer_callback(monitor),)
    with tempfile.TemporaryDirectory() as folder:
        stop = start(device)
        model = train(examples, replace(RECIPE, epochs=epochs), Path(folder), callbacks=callbacks, device=device)
        return model.state_dict(), stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two steps")
    parser.add_argument("--songs", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--every", type=int, help="steps between looks  [default: the monitor's own]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    torch.use_deterministic_algorithms(device.type == "cuda", warn_only=True)
    songs, epochs, every = (32, 1, 1) if options.smoke else (options.songs, options.epochs, options.every)
    examples = [make_example(seed) for seed in range(songs)]
    monitor = Monitor(make_probe(4), **({} if every is None else {"every": every}))
    watched, seconds = train_watched(examples, epochs, monitor, device)
    plain, _ = train_watched(examples, epochs, None, device)
    same = all(torch.equal(watched[name], plain[name]) for name in plain)
    looks, steps = [reading.seconds for reading in monitor.readings], epochs * songs // RECIPE.batch_size
    share = sum(looks) / seconds
    # The first look also explains the shuffled model, once.
    running = looks[-1] / (looks[-1] + monitor.every * (seconds - sum(looks)) / steps)
    table = Table(title=f"{steps} steps of the embedded model's training, a look at 4 songs every {monitor.every}")
    for heading in ("what", "figure"):
        table.add_column(heading)
    table.add_row("weights with and without the monitor", "the same, bit by bit" if same else "DIFFERENT")
    table.add_row("seconds a look", ", ".join(f"{look:.1f}" for look in looks))
    table.add_row("share of the whole run", f"{share:.1%}")
    table.add_row("share after the first look", f"{running:.1%}")
    Console(width=100).print(table)
    print(json.dumps({"identical": same, "share": round(share, 4), "running_share": round(running, 4)}))


if __name__ == "__main__":
    main()
