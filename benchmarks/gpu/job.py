"""What a part is given: where it runs, how large, and until when; and clocks that don't make the device wait."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

#: A line of a part's table, and of its file.
Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """`small` is a size for a CPU, whose figures mean nothing; `until` is a reading of `time.monotonic`."""

    device: torch.device
    small: bool
    until: float

    @property
    def left(self) -> float:
        """Seconds that the part may still take."""
        return self.until - time.monotonic()


def name_error(error: BaseException) -> str:
    r"""An error's class and the first line of what it says, which may be nothing.

    >>> name_error(AssertionError()), name_error(ValueError("a\nb"))
    ('AssertionError: ', 'ValueError: a')
    """
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:300]}"


def wait(device: torch.device) -> None:
    """Until the device has done what is queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def take_time(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of a call, what it queued included."""
    wait(device)
    started = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - started


@dataclass(eq=False)
class Spans:
    """Seconds inside watched modules and methods, by name. On a GPU events are recorded and read at the end: a clock that
    waits after every forward would leave the device idle, and measure that.
    """

    device: torch.device
    marks: dict[str, list[Any]] = field(default_factory=dict)

    def _mark(self, name: str) -> None:
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            self.marks.setdefault(name, []).append(event)
        else:
            self.marks.setdefault(name, []).append(time.perf_counter())

    @contextmanager
    def watching(self, modules: dict[str, nn.Module], methods: dict[str, nn.Module]) -> Iterator[None]:
        """Watch forwards of modules, and methods of these names."""
        hooks = []
        for name, module in modules.items():
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: self._mark(name)))
            hooks.append(module.register_forward_hook(lambda *_, name=name: self._mark(name)))
        for name, owner in methods.items():
            setattr(owner, name, self._wrap(name, getattr(owner, name)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for name, owner in methods.items():
                delattr(owner, name)

    def _wrap(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*inputs: Any) -> Any:
            self._mark(name)
            result = inner(*inputs)
            self._mark(name)
            return result

        return call

    def read(self) -> dict[str, float]:
        """Seconds by name; waits for the device."""
        wait(self.device)
        return {name: sum(map(self._between, marks[0::2], marks[1::2])) for name, marks in self.marks.items()}

    def _between(self, begun: Any, ended: Any) -> float:
        return float(begun.elapsed_time(ended) / 1000 if self.device.type == "cuda" else ended - begun)


def measure_memory(device: torch.device) -> float:
    """GiB allocated on the device at the peak since `forget_memory`; zero on a CPU, whose peak is the process's."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def forget_memory(device: torch.device) -> None:
    """Start counting the peak again."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
