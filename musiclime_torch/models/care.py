"""Leaving a model and the process as they were found."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def evaluating(module: torch.nn.Module | None) -> Iterator[None]:
    """Eval mode and no gradients inside; every submodule gets its own flag back, which need not all be the same.

    `no_grad`, never `inference_mode`: tensors a module caches would be poisoned for training after it.
    """
    flags = [] if module is None else [(part, part.training) for part in module.modules()]
    try:
        if module is not None:
            module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, training in flags:
            part.training = training


@contextmanager
def keeping_random_states() -> Iterator[None]:
    """Give Python, numpy and torch (and CUDA, where it runs) their global random states back afterwards."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global state is what is being protected
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
