"""Songs of four minutes: MusiCNN in windows of three seconds, and AST + RoBERTa in windows of ten.

Both have random weights: MusiCNN's come with a package that a bare machine lacks, and neither costs more or less for them.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.job import Job, Row, Spans, forget_memory, measure_memory, take_time
from benchmarks.worlds.subjects import make_ast_roberta, make_track
from musiclime_torch import Explanation, Track, explain
from musiclime_torch.models import TAGS, Musicnn

#: Seconds of the song.
SECONDS = 240.0


def make_musicnn() -> nn.Module:
    """Random weights, in eval mode."""
    torch.manual_seed(0)
    return Musicnn(TAGS["MTT"]).eval()


def measure(job: Job) -> Iterator[Row]:
    """Each model in bfloat16 where it has separate encoders, after a short song that pays for memory and hashes."""
    seconds = 9.0 if job.small else SECONDS
    models: dict[str, Callable[[], nn.Module]] = {
        "MusiCNN": make_musicnn,
        "AST + RoBERTa": lambda: make_ast_roberta("smallest" if job.small else "base"),
    }
    for name, make in models.items():
        model = make().to(job.device)
        precisions = ("float32", "bfloat16") if hasattr(model, "encode_audio") else ("float32",)
        lines = 2 if hasattr(model, "tokenize") else 0
        options: dict[str, Any] = {
            "n_samples": 64 if job.small else 2048,
            "batch_size": 32 if job.small else 256,
            "device": job.device,
        }
        for precision in reversed(precisions):
            what = {"what": f"{name}, {seconds:g} s, {precision}"}
            if job.left < 3:
                yield {**what, "note": "left out: no time"}
                continue
            options["precision"] = precision
            explain(model, make_track(6.0 if job.small else 24.0, lines), segments=2, **{**options, "n_samples": 64})
            yield {**what, **run(model, make_track(seconds, lines), options, job)}


def run(model: nn.Module, track: Track, options: dict[str, Any], job: Job) -> Row:
    """One explanation, watched."""
    spans = Spans(job.device)
    answers: list[Explanation] = []
    methods = {"encode_audio": model, "encode_text": model} if track.lyrics else {}
    forget_memory(job.device)
    with spans.watching({} if methods else {"model": model}, methods):
        seconds = take_time(
            lambda: answers.append(explain(model, track, segments=3 if job.small else 10, **options)), job.device
        )
    inside = sum(spans.read().values())
    passes = answers[0].audio_passes + answers[0].lyrics_passes
    return {
        "masks": answers[0].design,
        "passes": passes,
        "seconds": round(seconds, 2),
        "passes/s": round(passes / seconds, 1),
        "inside": round(inside / seconds, 3),
        "peak GiB": round(measure_memory(job.device), 2),
    }
