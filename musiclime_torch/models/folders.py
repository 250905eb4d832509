"""Folders of our own models: model.safetensors, and config.json, which says what the model is made of."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def write_model(module: nn.Module, model_type: str, described: dict[str, Any], folder: Path) -> None:
    """Write both. `model_type` identifies the kind of folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with writing_atomically(folder / WEIGHTS) as partial:
        save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, partial)
    text = json.dumps({"model_type": model_type, **described}, indent=1, ensure_ascii=False)
    # Last: its presence says that all is there.
    with writing_atomically(folder / CONFIG) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_description(folder: Path, model_type: str) -> dict[str, Any]:
    """What config.json says; InputError if it can't be read, or describes another type of model."""
    try:
        described: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = described.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{str(folder)!r} is not a saved {model_type} ({error}).") from error
    if found != model_type:
        raise InputError(f"{str(folder)!r} holds a model of type {found!r}, not {model_type}.")
    return described


def read_type(folder: Path) -> str | None:
    """The type of model in a folder, ours or that of `transformers`; None if it isn't a model."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("model_type") if isinstance(found, dict) else None
