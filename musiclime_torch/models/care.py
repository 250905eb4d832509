"""Leaving a model and the process as they were found."""

import functools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np
import torch


def module_behind(call: Callable[..., Any]) -> torch.nn.Module | None:
    """The torch module a callable is, belongs to (bound methods), wraps (partials) or names (functions); None without one.

    >>> layer = torch.nn.Linear(2, 2)
    >>> all(module_behind(f) is layer for f in (layer, layer.forward, lambda x: layer(x)))
    True
    """
    if isinstance(call, torch.nn.Module):
        return call
    if isinstance(call, functools.partial):
        return module_behind(call.func)
    held = [getattr(call, "__self__", None), *vars(call).values()] if hasattr(call, "__dict__") else []
    held += [cell.cell_contents for cell in getattr(call, "__closure__", None) or () if _is_filled(cell)]
    held += [call.__globals__.get(name) for name in call.__code__.co_names] if isinstance(call, FunctionType) else []
    return next((part for part in held if isinstance(part, torch.nn.Module)), None)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


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
