"""Time and memory, measured the same way everywhere."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import torch


def start(device: torch.device) -> Callable[[], float]:
    """Start a clock. The returned function gives the seconds since; on a GPU by CUDA events, once queued work is done."""
    if device.type != "cuda":
        started = time.perf_counter()
        return lambda: time.perf_counter() - started
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    # On the stream of this device: torch's current one may belong to another card.
    stream = torch.cuda.current_stream(device)
    begun.record(stream)

    def stop() -> float:
        ended.record(stream)
        ended.synchronize()
        return begun.elapsed_time(ended) / 1000

    return stop


def forget_peak(device: torch.device) -> None:
    """Reset the peak of memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def tell_peak(device: torch.device) -> float:
    """MiB at the peak: allocated on a GPU, resident in this process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
