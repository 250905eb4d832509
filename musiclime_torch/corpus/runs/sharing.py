"""Batches shared by several songs: where each has few variants, their requests to a model are joined.

Every song runs in its own thread until it needs the model. When all of them wait, requests of the same kind and shape
are joined, batch by batch, so that what shares a batch never depends on which thread was faster.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from torch.utils.flop_counter import FlopCounterMode

from musiclime_torch.basics.arguments import T
from musiclime_torch.models.batches import credit_flops, ran_out
from musiclime_torch.models.care import module_behind
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import name_model

#: The model's functions that run in shared batches; heads run over pairs of one song and cost little.
_SHARED = ("encode_audio", "encode_text")


@dataclass(eq=False)
class _Request:
    """A song's request; `leads` is the batch of requests that its thread runs, its own among them."""

    song: int
    part: str
    inputs: tuple[Any, ...]
    rows: int
    counted: bool
    leads: list["_Request"] = field(default_factory=list)
    answer: Any = None
    flops: float = 0.0
    failure: BaseException | None = None
    answered: bool = False


class SharedModel:
    """A model inside `run_together`: the same declarations and the same answers, with fuller batches."""

    def __init__(self, model: Callable[..., Any], batch_size: int) -> None:
        self.name = name_model(model)
        self._model, self.module, self._batch_size = model, module_behind(model), batch_size
        self._turn = threading.Condition()
        self._running, self._waiting = 0, list[_Request]()
        self._song = threading.local()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._model, name)
        return functools.partial(self._ask, name) if name in _SHARED else attribute

    def __call__(self, *inputs: Any) -> Any:
        """Outputs of the model for a batch, which other songs may share."""
        return self._ask("__call__", *inputs)

    def run_together(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Results of all calls, each run in its own thread; an error is raised here after all have ended."""
        self._running = len(calls)
        with ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(self._take_part, song, call) for song, call in enumerate(calls)]
            return [future.result() for future in futures]

    def _take_part(self, song: int, call: Callable[[], T]) -> T:
        self._song.number = song
        try:
            return call()
        finally:
            with self._turn:
                # A song that has ended waits for nobody: the others may now be complete without it.
                self._running -= 1
                self._share_out()

    def _ask(self, part: str, *inputs: Any) -> Any:
        rows = _count_rows(inputs)
        # A call from outside `run_together`, or one whose inputs can't be joined, goes straight to the model.
        if rows is None or not hasattr(self._song, "number"):
            return self._run(part, inputs)
        # Counting operations costs a dispatch mode: only where the asking thread is counting, too.
        request = _Request(self._song.number, part, inputs, rows, is_in_torch_dispatch_mode())
        with self._turn:
            self._waiting.append(request)
            self._share_out()
            # Either this thread is the first of a batch and runs it, or another one does and wakes it up.
            self._turn.wait_for(lambda: request.leads or request.answered)
        if request.leads:
            self._answer(request.leads)
        credit_flops(request.flops)
        if request.failure is not None:
            raise request.failure
        return request.answer

    def _share_out(self) -> None:
        """Once all running songs wait: form batches, each run in the thread of its first song, under that thread's
        settings.
        """
        # Only when every running song waits is the set of requests, and so the batches, independent of the threads' timing.
        if not self._waiting or len(self._waiting) < self._running:
            return
        batches: dict[Any, list[_Request]] = {}
        for request in sorted(self._waiting, key=lambda waiting: waiting.song):
            # Songs of other lengths have other shapes, and get batches of their own.
            kind = (request.part, request.counted, *map(_describe, request.inputs))
            batch = batches.setdefault(kind, [])
            if batch and sum(other.rows for other in batch) + request.rows > self._batch_size:
                batch = batches[kind] = []
            batch.append(request)
            batch[0].leads = batch
        self._waiting = []
        self._turn.notify_all()

    def _answer(self, batch: list[_Request]) -> None:
        try:
            self._answer_together(batch) if len(batch) > 1 else self._answer_alone(batch[0])
        finally:
            with self._turn:
                for request in batch:
                    request.answered = True
                self._turn.notify_all()

    def _answer_together(self, batch: list[_Request]) -> None:
        rows = [request.rows for request in batch]
        try:
            joined = tuple(_join(parts) for parts in zip(*(request.inputs for request in batch), strict=True))
            outputs, flops = self._count(batch[0], joined)
        # It can't be known which song a shared batch failed for. Each is run again alone below, and an error raised there
        # belongs to that song.
        except Exception as error:
            outputs, flops = None, 0.0
            if ran_out(error):
                self._batch_size = max(sum(rows) // 2, 1)
        if not isinstance(outputs, Tensor) or not outputs.dim() or len(outputs) != sum(rows):
            for request in batch:
                self._answer_alone(request)
            return
        for request, answer in zip(batch, outputs.split(rows), strict=True):
            request.answer, request.flops = answer, flops * request.rows / sum(rows)
        # This thread's counter has seen the operations of the whole batch, and its share was just credited to every request:
        # take the batch off once, so that each song is counted exactly once.
        batch[0].flops -= flops

    def _answer_alone(self, request: _Request) -> None:
        try:
            request.answer = self._run(request.part, request.inputs)
        except BaseException as error:
            request.failure = error

    def _count(self, request: _Request, inputs: tuple[Any, ...]) -> tuple[Any, float]:
        if not request.counted:
            return self._run(request.part, inputs), 0.0
        with FlopCounterMode(display=False) as counter:
            outputs = self._run(request.part, inputs)
        return outputs, float(counter.get_total_flops())

    def _run(self, part: str, inputs: tuple[Any, ...]) -> Any:
        return self._model(*inputs) if part == "__call__" else getattr(self._model, part)(*inputs)


def _count_rows(inputs: tuple[Any, ...]) -> int | None:
    """Rows of a batch; None for inputs that can't be joined."""
    known = all(isinstance(value, Tensor | TokenBatch | list) for value in inputs)
    first = inputs[0] if inputs else None
    return len(first.embeddings if isinstance(first, TokenBatch) else inputs[0]) if inputs and known else None


def _describe(value: Any) -> Any:
    """What must be equal for two inputs to be joined, precision settings included."""
    if isinstance(value, TokenBatch):
        return _describe(value.embeddings), _describe(value.attended), value.positions is None
    if isinstance(value, list):
        return list
    return value.shape[1:], value.dtype, value.device, torch.is_autocast_enabled(value.device.type)


def _join(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], TokenBatch):
        places = None if parts[0].positions is None else _join([part.positions for part in parts])
        return TokenBatch(_join([part.embeddings for part in parts]), _join([part.attended for part in parts]), places)
    return [text for texts in parts for text in texts] if isinstance(parts[0], list) else torch.cat(list(parts))
