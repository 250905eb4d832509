"""Weights of demucs: where they are, and how they are loaded without running what comes with them.

Neither pickles nor class names from files are trusted: a checkpoint is plain tensors, loaded into a class of
`_classes`. A folder for ``demucs:FOLDER`` holds one of

- ``config.json``, ``{"class": "HTDemucs", "kwargs": {"sources": ["drums", "bass", "other", "vocals"], ...}}``, and
  the state dict beside it as ``weights.safetensors`` or ``weights.th`` (`torch.save` of plain tensors);
- what the hub holds: a bag, ``NAME.yaml`` with ``models: [SIGNATURE, ...]``, and a ``SIGNATURE.safetensors`` each,
  whose metadata have ``klass`` (one of the list), ``args`` and ``kwargs`` as JSON.
"""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from musiclime_torch.basics.errors import InputError, first_line

_HUB = ("adefossez/HTDemucs", "htdemucs")


@dataclass(frozen=True)
class Weights:
    """A model that can be loaded: ``identity`` distinguishes sets of weights, ``name`` is for people."""

    name: str
    identity: str
    load: Callable[[], Any]


def cached_weights() -> Weights | None:
    """The htdemucs in the cache of the Hugging Face hub; None where it isn't there. Never asks the network."""
    from huggingface_hub import try_to_load_from_cache

    repository, name = _HUB
    bag = try_to_load_from_cache(repository, f"{name}.yaml")
    if not isinstance(bag, str):
        return None
    try:
        paths = [try_to_load_from_cache(repository, f"{model}.safetensors") for model in _read_bag(Path(bag))["models"]]
    except InputError:
        return None
    if not all(isinstance(path, str) for path in paths):
        return None
    return folder_weights(Path(bag).parent, name)


def fetch_weights() -> Weights:
    """The htdemucs downloaded from the Hugging Face hub; InputError within seconds where the hub can't be reached."""
    from huggingface_hub import hf_hub_download

    from musiclime_torch.models.checkpoints import reach_hub

    repository, name = _HUB
    try:
        reach_hub(repository, f"{name}.yaml")
        bag = Path(hf_hub_download(repository, f"{name}.yaml"))
        for model in _read_bag(bag)["models"]:
            hf_hub_download(repository, f"{model}.safetensors")
    # httpx, the hub's client and the file system each have errors of their own; all say the same here.
    except Exception as error:
        raise InputError(
            f"separator 'demucs' needs its weights, and {repository!r} can't be fetched from the Hugging Face hub "
            f"({type(error).__name__}): use separator hpss, or demucs:FOLDER with the weights in a folder.",
            argument="separator",
        ) from error
    return folder_weights(bag.parent, name)


def folder_weights(folder: Path, name: str | None = None) -> Weights:
    """Weights in a folder; the module's docstring says what it holds. InputError if it doesn't."""
    if not folder.is_dir():
        raise InputError(f"separator 'demucs:{folder}' names no folder: give one with config.json and weights.safetensors.")
    config = folder / "config.json"
    if config.is_file():
        files = [config, _find_state(folder)]
        return Weights(f"demucs from {folder.name!r}", _hash(files), lambda: _checked(folder, lambda: _load_plain(*files)))
    bags = sorted(folder.glob("*.yaml"))
    if len(bags) != 1:
        raise InputError(
            f"the demucs folder {str(folder)!r} has neither a config.json nor one bag (.yaml): add a config.json."
        )
    bag = _read_bag(bags[0])
    models = [folder / f"{model}.safetensors" for model in bag["models"]]
    if missing := [path.name for path in models if not path.is_file()]:
        raise InputError(
            f"the demucs folder {str(folder)!r} lacks {missing[0]!r}, which {bags[0].name!r} names: put it there."
        )
    title = f"demucs ({name})" if name else f"demucs from {folder.name!r}"
    return Weights(title, _hash([bags[0], *models]), lambda: _checked(folder, lambda: _load_bag(bag, models)))


def _find_state(folder: Path) -> Path:
    for name in ("weights.safetensors", "weights.th"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"the demucs folder {str(folder)!r} has a config.json, but no weights.safetensors or weights.th.")


def _checked(folder: Path, load: Callable[[], Any]) -> Any:
    try:
        return load().eval()
    except InputError:
        raise
    # Whatever a wrong config or a foreign state dict raises, the folder is to blame.
    except Exception as error:
        reason = first_line(error)
        raise InputError(
            f"the demucs weights in {str(folder)!r} can't be loaded ({reason}): do config and weights belong together?"
        ) from error


def _load_plain(config: Path, state: Path) -> Any:
    from safetensors.torch import load_file

    said = json.loads(config.read_text())
    if state.suffix == ".th":
        try:
            tensors = torch.load(state, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"{str(state)!r} is a pickle of more than tensors, which could run anything: save its state dict as "
                "weights.safetensors."
            ) from error
    else:
        tensors = load_file(state)
    return _build(said["class"], [], said["kwargs"], tensors)


def _load_bag(bag: dict[str, Any], paths: list[Path]) -> Any:
    from demucs.apply import BagOfModels
    from safetensors import safe_open

    models = []
    for path in paths:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            if "structure" in said:
                raise InputError(f"{str(path)!r} is a quantised demucs model, which isn't supported: use htdemucs.")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        models.append(_build(said["klass"], json.loads(said["args"]), json.loads(said["kwargs"]), tensors))
    if len(models) == 1 and not bag.get("weights") and not bag.get("segment"):
        # A bag keeps a second copy of all stems while it averages.
        return models[0]
    return BagOfModels(models, bag.get("weights"), bag.get("segment"))


def _build(name: str, args: list[Any], kwargs: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    classes = _classes()
    short = str(name).rsplit(".", 1)[-1]
    if name not in (short, f"demucs.{short.lower()}.{short}") or short not in classes:
        raise InputError(f"the demucs weights name the class {name!r}: only {' and '.join(classes)} are loaded.")
    model = classes[short](*_decode(args), **_decode(kwargs))
    model.load_state_dict(tensors)
    return model


def _classes() -> dict[str, Callable[..., torch.nn.Module]]:
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs

    return {"HTDemucs": HTDemucs, "HDemucs": HDemucs}


def _decode(value: Any) -> Any:
    """JSON as demucs writes it: HTDemucs' ``segment`` is a fraction."""
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _decode(item) for key, item in value.items()}
    return [_decode(item) for item in value] if isinstance(value, list) else value


def _read_bag(path: Path) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped, unused-ignore]  # its stubs are a package of their own

    try:
        bag = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the demucs bag {str(path)!r} can't be read ({reason}).") from error
    names = bag.get("models") if isinstance(bag, dict) else None
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise InputError(f"the demucs bag {str(path)!r} names no models: it needs a line like models: ['955717e8'].")
    return dict(bag)


def _hash(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
