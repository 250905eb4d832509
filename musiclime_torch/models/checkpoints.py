"""Checkpoints of plain tensors: read without running what comes with them, loaded only where every name fits."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError

#: Names listed of each kind that doesn't fit.
SHOWN = 5


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a .safetensors file, or in what `torch.save` wrote of a state dict (also under "state_dict").

    InputError for a pickle that holds anything else, which could run anything when it is read.
    """
    if not path.is_file():
        raise InputError(f"there is no checkpoint {str(path)!r}: give a .safetensors, .pt, .pth or .bin file.")
    try:
        state: dict[str, Any] = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except InputError:
        raise
    # Damaged zips, pickles and safetensors files raise RuntimeError, SafetensorError, EOFError, UnicodeDecodeError,
    # IndexError, ValueError and struct.error: to the user it is all the same, and the cause stays attached.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"the checkpoint {str(path)!r} can't be read ({reason}).") from error
    if isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    foreign = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if foreign or not state:
        what = f"{foreign[0]!r}, which is not a tensor" if foreign else "nothing"
        raise InputError(f"the checkpoint {str(path)!r} holds {what}: save the model's state_dict() by itself.")
    # A model trained in parallel has its names behind "module.", a compiled one behind "_orig_mod.".
    return {name.removeprefix("_orig_mod.").removeprefix("module."): value for name, value in state.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"the checkpoint {str(path)!r} is a pickle of more than tensors, which could run anything: save its "
            f"state_dict() as .safetensors, where you trust it."
        ) from error
    if not isinstance(state, dict):
        raise InputError(f"the checkpoint {str(path)!r} holds a {type(state).__name__}, not a state dict.")
    return state


def load_state(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load every tensor, or none: InputError lists names that are missing, left over or of another shape."""
    own = module.state_dict()
    wrong = {
        "lacks": sorted(own.keys() - state.keys()),
        "has besides": sorted(state.keys() - own.keys()),
        "has in another shape": [
            f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
            for name in sorted(own.keys() & state.keys())
            if own[name].shape != state[name].shape
        ],
    }
    said = [f"{verb} {_list(names)}" for verb, names in wrong.items() if names]
    if said:
        raise InputError(f"{source} doesn't fit {type(module).__name__}: it {'; it '.join(said)}.")
    module.load_state_dict(state)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
