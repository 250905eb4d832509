"""CUDA graphs around encoders and around rendering: what many small kernels cost, and what is left when they are replayed.

A graph is recorded at the first batch of each shape and replayed for the others: it takes one launch instead of hundreds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.job import Row, take_time
from benchmarks.tools.tuning import Tuning
from benchmarks.worlds.world import make_probe
from musiclime_torch import Track
from musiclime_torch.models import AstRoberta, TokenBatch
from musiclime_torch.variants import mask_lyrics, mix

#: Calls that a kernel's time is the mean of.
TIMES = 20


class Recorded:
    """A function of tensors as a CUDA graph for each number of rows; results are copied: a replay overwrites them."""

    #: As torch.compile marks what it made: `explain` then fills batches up to one number of rows.
    _torchdynamo_orig_callable = None

    def __init__(self, inner: Callable[..., Tensor]) -> None:
        self.inner = inner
        self.graphs: dict[tuple[int, ...], tuple[Any, tuple[Tensor, ...], Tensor]] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        shape = tuple(inputs[0].shape)
        if shape not in self.graphs:
            self.graphs[shape] = self._record(inputs)
        graph, fixed, result = self.graphs[shape]
        for place, value in zip(fixed, inputs, strict=True):
            place.copy_(value)
        graph.replay()
        return result.clone()

    def _record(self, inputs: tuple[Tensor, ...]) -> tuple[Any, tuple[Tensor, ...], Tensor]:
        fixed = tuple(value.clone() for value in inputs)
        # On a stream of its own first, as torch asks: libraries set themselves up in their first calls.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self.inner(*fixed)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self.inner(*fixed)
        return graph, fixed, result


class RecordedReading:
    """The same for a function of a `TokenBatch`."""

    _torchdynamo_orig_callable = None

    def __init__(self, inner: Callable[[TokenBatch], Tensor]) -> None:
        self.recorded = Recorded(lambda embeddings, attended: inner(TokenBatch(embeddings, attended)))

    def __call__(self, text: TokenBatch) -> Tensor:
        return self.recorded(text.embeddings, text.attended)


@contextmanager
def graphing(model: AstRoberta, device: torch.device) -> Iterator[None]:
    """Both encoders, spectra included, replayed inside. RuntimeError on a CPU, which has no graphs."""
    if device.type != "cuda":
        raise RuntimeError("CUDA graphs need a GPU")
    recorded = {"encode_audio": Recorded(model.encode_audio), "encode_text": RecordedReading(model.encode_text)}
    for name, method in recorded.items():
        setattr(model, name, method)
    try:
        yield
    finally:
        for name in recorded:
            delattr(model, name)


@torch.no_grad()
def measure_kernels(model: AstRoberta, track: Track, rows: int, device: torch.device) -> Iterator[Row]:
    """Milliseconds a batch of rendering, masking and spectra, launched one by one and, on a GPU, replayed."""
    probe = make_probe(model, track, tuning=Tuning(device, rows))
    window, lyrics = probe.sources.windows[0], probe.sources.lyrics
    assert lyrics is not None, "the song has lyrics"
    gates = torch.rand(rows, probe.sources.n_stems, probe.sources.n_segments, device=device) < 0.5
    words = torch.rand(rows, probe.columns - probe.n_audio, device=device) < 0.5
    sound = mix(window, gates)

    def mask_words(masks: Tensor) -> Tensor:
        text = mask_lyrics(lyrics, masks)
        assert isinstance(text, TokenBatch), "the model reads embeddings"
        return text.embeddings

    kernels: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
        "rendering": (lambda masks: mix(window, masks), gates),
        "masking words": (mask_words, words),
        "spectra": (model.fbank, sound),
    }
    for name, (kernel, given) in kernels.items():
        row: Row = {"what": name, "rows": rows, "ms a batch": time_kernel(kernel, given, device)}
        if device.type == "cuda":
            row["ms replayed"] = time_kernel(Recorded(kernel), given, device)
        yield row


def time_kernel(kernel: Callable[[Tensor], Tensor], given: Tensor, device: torch.device) -> float:
    """The mean of several calls, after one."""
    kernel(given)

    def repeat() -> None:
        for _ in range(TIMES):
            kernel(given)

    return round(1e3 * take_time(repeat, device) / TIMES, 3)
