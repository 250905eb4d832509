"""A monitor's share of a training run on the device: the embedded model's recipe with a look at four songs now and then."""

from collections.abc import Iterator

import torch

from benchmarks.catalogues.monitor import make_probe, train_watched
from benchmarks.gpu.job import Job, Row
from musiclime_torch.demo import RECIPE, make_example
from musiclime_torch.training import Monitor


def measure(job: Job) -> Iterator[Row]:
    """With and without a monitor from the same seed; on a GPU with deterministic kernels where there are any."""
    torch.use_deterministic_algorithms(job.device.type == "cuda", warn_only=True)
    songs, epochs, every = (16, 1, 1) if job.small else (200, 40, 500)
    examples = [make_example(seed) for seed in range(songs)]
    monitor = Monitor(make_probe(1 if job.small else 4), every=every)
    watched, seconds = train_watched(examples, epochs, monitor, job.device)
    looks, steps = [reading.seconds for reading in monitor.readings], epochs * songs // RECIPE.batch_size
    yield {
        "what": f"{steps} steps, a look every {every}",
        "seconds": round(seconds, 2),
        "looks": len(looks),
        "s a look": round(looks[-1], 2),
        "share": round(sum(looks) / seconds, 4),
        "share after the first": round(looks[-1] / (looks[-1] + every * (seconds - sum(looks)) / steps), 4),
    }
    if job.left < seconds:
        yield {"what": "without it", "note": "left out: no time"}
        return
    plain, without = train_watched(examples, epochs, None, job.device)
    same = all(torch.equal(watched[name], plain[name]) for name in plain)
    yield {
        "what": "without it",
        "seconds": round(without, 2),
        "note": "weights the same, bit by bit" if same else "weights DIFFER",
    }
