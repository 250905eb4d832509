"""A music language model of random weights, tiny and of a billion parameters, asked about a song; and what a prefix cache
would bring.

The package runs every variant's prompt as a whole. Crossed masks would let all lyrics under one masked sound share the keys
and values of the prompt up to the lyrics: this isn't in this build, so its ceiling is measured on the language model alone,
the prefix once and each suffix behind it, against whole sequences. Both give the same last states, which is checked.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.job import Job, Row, forget_memory, measure_memory, take_time
from benchmarks.worlds.listeners import make_listener
from benchmarks.worlds.subjects import make_track
from musiclime_torch import Explanation, explain

#: Tokens of the prompt before the lyrics (half a minute of sound and the template), of the lyrics and the question, and how
#: many lyrics share a sound.
PREFIX, SUFFIX, LYRICS = 780, 220, 32


def measure(job: Job) -> Iterator[Row]:
    """The package by rows of a batch, then the ceiling of a cache, for each size."""
    for size in ("tiny",) if job.small else ("tiny", "1B"):
        if job.left < 5:
            yield {"what": size, "note": "left out: no time"}
            return
        kind = torch.bfloat16 if job.device.type == "cuda" and size == "1B" else torch.float32
        model = make_listener(size, job.device, kind)
        billions = sum(weight.numel() for weight in model.parameters()) / 1e9
        for rows in (1, 8) if job.small else (1, 8, 32):
            if job.left < 4:
                yield {"what": f"{size}, {rows} rows", "note": "left out: no time"}
                continue
            yield {"what": f"{size}, {billions:.3f} B, {rows} rows a forward", **ask(model, rows, job)}
        few = (48, 24, 4) if job.small else (PREFIX, SUFFIX, LYRICS)
        yield {"what": f"{size}, prefix cache across lyrics (ceiling)", **compare_caches(model, *few, job.device)}
        del model


def ask(model: Any, rows: int, job: Job) -> Row:
    """Seconds a pass of an explanation with few masks."""
    track = make_track(2.0 if job.small else 10.0, lines=1 if job.small else 8)
    options: dict[str, Any] = {"segments": 1, "units": "line", "batch_size": rows, "device": job.device, "evidence": False}
    explain(model, track, n_samples=16, **options)
    answers: list[Explanation] = []
    forget_memory(job.device)
    seconds = take_time(
        lambda: answers.append(explain(model, track, n_samples=16 if job.small else 64, seed=1, **options)), job.device
    )
    return {
        "passes": answers[0].audio_passes,
        "seconds": round(seconds, 3),
        "passes/s": round(answers[0].audio_passes / seconds, 1),
        "peak GiB": round(measure_memory(job.device), 2),
    }


@torch.no_grad()
def compare_caches(model: Any, prefix: int, suffix: int, lyrics: int, device: torch.device) -> Row:
    """Lyrics under one sound: whole sequences, and the prefix once with its keys and values shared."""
    body = model.model.model.language_model
    weights = model.model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        ids = torch.randint(len(weights), shape, generator=generator).to(device)
        return weights[ids]

    opening, endings = draw(1, prefix), draw(lyrics, suffix)
    joined = torch.cat([opening.expand(lyrics, -1, -1), endings], 1)
    found: dict[str, Tensor] = {}

    # transformers 5.24 renamed it.
    name = "cache" if "cache" in inspect.signature(body.forward).parameters else "past_key_values"

    def run_whole() -> None:
        found["whole"] = body(inputs_embeds=joined).last_hidden_state[:, -1]

    def run_cached() -> None:
        cache = body(inputs_embeds=opening, use_cache=True)[name]
        cache.batch_repeat_interleave(lyrics)
        found["cached"] = body(inputs_embeds=endings, use_cache=True, **{name: cache}).last_hidden_state[:, -1]

    run_whole()
    run_cached()
    apart = (found["whole"] - found["cached"]).abs().max() / found["whole"].abs().max()
    whole, cached = (min(take_time(call, device) for _ in range(3)) for call in (run_whole, run_cached))
    return {
        "passes": lyrics,
        "seconds": round(cached, 4),
        "passes/s": round(lyrics / cached, 1),
        "whole, s": round(whole, 4),
        "x faster": round(whole / cached, 2),
        "note": f"not in this build; last states {float(apart):.0e} apart",
    }
