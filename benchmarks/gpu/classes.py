"""527 classes: 1,024 masks of the sound by 1,040 of the lyrics on the device, all scales, interactions and errors.

The model of `overhead/head`, whose encoders cost next to nothing, so that head and solver are what is timed.
"""

from collections.abc import Iterator

import torch

from benchmarks.gpu.job import Job, Row, forget_memory, measure_memory, take_time
from benchmarks.overhead.head import Head, compare_heads, make_song
from musiclime_torch import Explanation, explain


def measure(job: Job) -> Iterator[Row]:
    """The explanation, twice; then the head by its two ways."""
    rows, classes = (60, 20) if job.small else (1000, 527)
    torch.manual_seed(0)
    model, track = Head(classes).to(job.device).eval(), make_song()
    units = "line" if job.small else "word"
    for name in ("first", "second"):
        answers: list[Explanation] = []
        forget_memory(job.device)
        seconds = take_time(
            lambda answers=answers: answers.append(
                explain(model, track, n_samples=(rows, rows), units=units, device=job.device)
            ),
            job.device,
        )
        pairs = answers[0].n_variants
        yield {
            "what": f"{answers[0].design}, {classes} classes, {name} time",
            "seconds": round(seconds, 2),
            "outputs GiB": round(pairs * classes * 4 / 2**30, 2),
            "peak GiB": round(measure_memory(job.device), 2),
        }
        if job.left < seconds:
            return
    yield {"what": "a pair joined / by the shortcut", "ratio": round(compare_heads(model, rows, job.device), 1)}
