"""The paper's model, AST-base + RoBERTa-large with random weights: 2,048 crossed masks in every way they can be run.

Precision, rows a forward, compiled or not. "Inside" is the time of both encoders and the head alone, without rendering,
spectra, masking, solving and whatever else the call does; the ceiling is what the card's own matrix products of the same
run would give in passes a second. Ten seconds of sound in four stems, 256 tokens of lyrics.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.graphs import graphing, measure_kernels
from benchmarks.gpu.job import Job, Row, Spans, forget_memory, measure_memory, name_error, take_time
from benchmarks.worlds.subjects import make_ast_roberta, make_track
from musiclime_torch import Explanation, Track, explain
from musiclime_torch.models import AstRoberta, Precision, TokenBatch, count_flops

#: Masks of each side.
MASKS = 1024


@dataclass(frozen=True)
class Way:
    """How the explanation is run: `products` is float32, tf32 or bfloat16, `how` is plain, compiled or graphs."""

    products: str
    rows: int
    how: str = "plain"
    masks: int = MASKS

    @property
    def precision(self) -> Precision:
        """As `explain` takes it."""
        return "bfloat16" if self.products == "bfloat16" else "float32"


#: In order of worth. Twice the masks shows whether memory depends on them.
WAYS = (
    *(Way("bfloat16", rows) for rows in (64, 256)),
    Way("tf32", 64),
    Way("float32", 64),
    Way("bfloat16", 128, masks=2 * MASKS),
    *(Way("bfloat16", rows) for rows in (128, 16, 512)),
    Way("bfloat16", 128, "graphs"),
    Way("bfloat16", 16, "graphs"),
    Way("bfloat16", 128, "compiled"),
    *(Way("tf32", rows) for rows in (256, 16, 512)),
    *(Way("float32", rows) for rows in (256, 16, 512)),
)
SMALL = (
    Way("bfloat16", 16, masks=48),
    Way("tf32", 16, masks=48),
    Way("float32", 16, masks=48),
    Way("float32", 16, masks=96),
    Way("float32", 16, "compiled", masks=48),
)


def measure(job: Job) -> Iterator[Row]:
    """Ceilings, the small kernels alone, then every way for which there is time."""
    model = make_ast_roberta("smallest" if job.small else "paper").to(job.device)
    track = make_track(1.0 if job.small else 10.0, lines=2 if job.small else 24)
    work = count_work(model, job.device)
    ceilings: dict[str, float] = {}
    for products in ("bfloat16", "tf32", "float32"):
        with multiplying(products):
            ceilings[products] = measure_products(products, job.device, 256 if job.small else 8192)
        yield {"what": "matrix products", "products": products, "TFLOP/s": round(ceilings[products] / 1e12, 2)}
    yield from measure_kernels(model, track, 16 if job.small else 128, job.device)
    spent = 0.0
    for way in SMALL if job.small else WAYS:
        name = {"what": "explanation", "products": way.products, "rows": way.rows, "how": way.how, "masks": 2 * way.masks}
        # What the last one took is a guess at the next; compiling takes longer.
        if job.left < (2 * spent if way.how == "plain" else 2 * spent + 20) or job.left < 3:
            yield {**name, "note": "left out: no time"}
            continue
        started = time.monotonic()
        try:
            yield {**name, **run(way, model, track, job, ceilings[way.products] / work)}
        # All errors: a compiler may be missing, memory may be short. The row says it, and the next way is tried.
        except Exception as error:
            yield {**name, "note": f"failed: {name_error(error)}"}
        spent = time.monotonic() - started


@contextmanager
def multiplying(products: str) -> Iterator[None]:
    """Products of float32 in TensorFloat-32 inside, or in full."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if products == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def measure_products(products: str, device: torch.device, width: int) -> float:
    """Operations a second of square matrix products, the best of three runs."""
    kind = torch.bfloat16 if products == "bfloat16" else torch.float32
    a, b = (torch.randn(width, width, device=device, dtype=kind) for _ in range(2))
    times = 10

    def multiply() -> None:
        for _ in range(times):
            a @ b

    multiply()
    return 2 * width**3 * times / min(take_time(multiply, device) for _ in range(3))


@torch.no_grad()
def count_work(model: AstRoberta, device: torch.device) -> float:
    """Operations of a pass, the mean of both encoders."""
    audio = torch.zeros(1, 1, 16_000 * 10, device=device)
    read = model.embed_text(torch.zeros(1, 256, dtype=torch.long, device=device))
    text = TokenBatch(read, torch.ones(1, 256, dtype=torch.bool, device=device))
    return (count_flops(lambda: model.encode_audio(audio))[1] + count_flops(lambda: model.encode_text(text))[1]) / 2


def run(way: Way, model: AstRoberta, track: Track, job: Job, ceiling: float) -> Row:
    """One explanation, after a short one that pays for memory, hashes and compiling."""
    options: dict[str, Any] = {"batch_size": way.rows, "precision": way.precision, "device": job.device, "evidence": False}
    answers: list[Explanation] = []
    with multiplying(way.products), preparing(model, way, job.device):
        warm = take_time(lambda: explain(model, track, n_samples=(way.rows, way.rows), **options), job.device)
        spans, graphs = Spans(job.device), count_graphs()
        forget_memory(job.device)
        modules: dict[str, nn.Module] = {"sound": model.audio_model, "lyrics": model.text_model, "spectra": model.fbank}
        # Replayed graphs call no module: there the encoders are watched as a whole, spectra and all.
        whole = way.how == "graphs"
        methods: dict[str, nn.Module] = dict.fromkeys(
            ("encode_audio", "encode_text", "fuse_pairs")[0 if whole else 2 :], model
        )
        with spans.watching({} if whole else modules, methods):
            seconds = take_time(
                lambda: answers.append(explain(model, track, n_samples=(way.masks,) * 2, **options)), job.device
            )
        inside = spans.read()
    spectra = inside.pop("spectra", 0.0)
    passes = answers[0].audio_passes + answers[0].lyrics_passes
    return {
        "seconds": round(seconds, 3),
        "inside": round(sum(inside.values()) / seconds, 4),
        "spectra": round(spectra / seconds, 4),
        "passes/s": round(passes / seconds, 1),
        "of ceiling": round(passes / seconds / ceiling, 3),
        "peak GiB": round(measure_memory(job.device), 2),
        "warm-up": round(warm, 2),
        "recompiled": count_graphs() - graphs,
        "moves outputs by": find_moved(answers[0].warnings),
    }


def find_moved(warnings: tuple[str, ...]) -> float | None:
    """How far a lower precision moves the outputs of song and empty song, as the explanation itself says."""
    said = [re.search(r"changes? the outputs by up to ([\d.e+-]*\d)", warning) for warning in warnings]
    return next((float(match[1]) for match in said if match), None)


def count_graphs() -> int:
    """Graphs that torch.compile has made in this process so far."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@contextmanager
def preparing(model: AstRoberta, way: Way, device: torch.device) -> Iterator[None]:
    """The model compiled or recorded inside, and plain again after it."""
    if way.how == "graphs":
        with graphing(model, device):
            yield
        return
    layers = list_layers(model) if way.how == "compiled" else []
    # Layer by layer: all layers of an encoder are one graph, which is compiled once, in seconds instead of a minute.
    for layer in layers:
        layer.compile(backend="inductor" if device.type == "cuda" else "eager")
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None


def list_layers(model: AstRoberta) -> list[nn.Module]:
    """The layers of both encoders, whatever a version of the library calls them."""
    stacks = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) > 1]
    return [layer for stack in stacks for layer in stack]
