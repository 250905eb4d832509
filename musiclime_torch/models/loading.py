"""Models by the name the command line gives them."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from musiclime_torch.devices import find_device
from musiclime_torch.failures import InputError


def load_model(name: str, device: torch.device | str) -> Callable[..., Any]:
    """The model called `name`, moved to the device: "demo", or "package.module:object" from the path or this folder.

    A class is made without arguments; anything else is the model itself.
    """
    device = find_device(device)
    if name == "demo":
        from musiclime_torch.demo.bundle import load_demo_model

        model: Any = load_demo_model()
    else:
        model = _import_model(name)
    return model.to(device) if isinstance(model, torch.nn.Module) else model


def _import_model(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    if not attribute or Path(name).exists():
        raise InputError(f"model {name!r} is not understood: give demo, or package.module:object for a model of your own.")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module_name), attribute)
        return found() if isinstance(found, type) else found
    except (Exception, SystemExit) as error:  # somebody else's code, which may do anything when it is imported
        raise InputError(f"model {name!r} can't be made ({type(error).__name__}: {error}).") from error
