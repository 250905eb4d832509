"""The paper's 5,000 joint rows: by a loop as the original's for a while, scaled, and by this package on the same device.

The loop makes one row at a time on the host: the kept parts of the stems are added up in NumPy, the kept words joined,
the library's own feature extractor and the tokenizer run on them, and the model is asked about this row alone. It stands
for MusicLIME's published code, which can't be brought along; weights are random, which changes no time.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.job import Job, Row, forget_memory, measure_memory, take_time
from benchmarks.worlds.subjects import make_ast_roberta, make_track
from musiclime_torch import PAPER, Explanation, Track, explain
from musiclime_torch.models import AstRoberta

#: Rows of the paper.
ROWS = 5000


def measure(job: Job) -> Iterator[Row]:
    """The loop for a third of the time, in full precision and in bfloat16; then this package."""
    model = make_ast_roberta("smallest" if job.small else "paper").to(job.device)
    track = make_track(1.0 if job.small else 10.0, lines=2 if job.small else 24)
    time_loop(model, track, job.device, 0.5)
    loop = time_loop(model, track, job.device, 2.0 if job.small else min(25.0, job.left / 2))
    scaled = loop["seconds"] / loop["rows"] * ROWS
    yield {"what": "the original's loop, float32", **loop, "5,000 rows s": round(scaled, 1)}
    asked = 200 if job.small else ROWS
    ways: list[tuple[str, dict[str, Any]]] = [
        ("paper's masks, bfloat16", {**PAPER, "n_samples": asked, "precision": "bfloat16"}),
        ("2,048 crossed masks, bfloat16", {"n_samples": 96 if job.small else 2048, "precision": "bfloat16"}),
        ("paper's masks, float32", {**PAPER, "n_samples": asked}),
    ]
    for name, options in ways:
        if job.left < 3:
            yield {"what": name, "note": "left out: no time"}
            continue
        yield {"what": name, **run(model, track, options, job, scaled)}


def run(model: AstRoberta, track: Track, options: dict[str, Any], job: Job, loop: float) -> Row:
    """One explanation after a short one; `x loop` is the loop's time for 5,000 rows over its time."""
    given = {"batch_size": 16 if job.small else 128, "device": job.device, "evidence": False}
    explain(model, track, **given, n_samples=(16, 16), precision=options.get("precision", "float32"))
    answers: list[Explanation] = []
    forget_memory(job.device)
    seconds = take_time(lambda: answers.append(explain(model, track, **given, **options)), job.device)
    return {
        "rows": answers[0].n_variants,
        "seconds": round(seconds, 3),
        "x loop": round(loop / seconds, 1),
        "peak GiB": round(measure_memory(job.device), 2),
    }


@torch.no_grad()
def time_loop(model: AstRoberta, track: Track, device: torch.device, seconds: float) -> dict[str, Any]:
    """Rows that the loop manages in so many seconds; each waits for its answer, as the original does."""
    from transformers import ASTFeatureExtractor

    extract = ASTFeatureExtractor(max_length=model.fbank.frames)
    stems, words = track.stems[:, 0].numpy(), track.lyrics.text.split() if track.lyrics else []
    generator = np.random.default_rng(0)
    edges = np.linspace(0, stems.shape[1], 11).astype(int)
    started, rows = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        mask = generator.integers(0, 2, 10 * len(stems) + len(words)).astype(bool)
        gates = mask[: 10 * len(stems)].reshape(len(stems), 10)
        audio = np.zeros(stems.shape[1], np.float32)
        for stem, row in enumerate(gates):
            for segment, kept in enumerate(row):
                if kept:
                    audio[edges[segment] : edges[segment + 1]] += stems[stem, edges[segment] : edges[segment + 1]]
        text = " ".join(word for word, kept in zip(words, mask[10 * len(stems) :], strict=True) if kept)
        features = extract(audio, sampling_rate=16_000, return_tensors="pt")["input_values"].to(device)
        heard = model.audio_model(features).pooler_output
        read = model.encode_text(model.embed_strings([text]))
        model.fuse(heard, read).softmax(1).cpu().numpy()
        rows += 1
    return {"rows": rows, "seconds": round(time.perf_counter() - started, 2)}
