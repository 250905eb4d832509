"""ONNX files as models that can be explained: what a graph takes and gives is read off its inputs, outputs and metadata.

A float input is sound, as (frame), (batch, frame) or (batch, channel, frame); a string input of one text a row is lyrics. A
graph made for a certain number of frames gets windows of that length, shorter ones with silence at the end. One made for a
certain number of rows gets so many at a time, the last one repeated where there are fewer. Everything else is refused: a
spectrogram has lost the sound that is to be changed, and token ids need a tokenizer, which the file doesn't have. Outputs of
a softmax or a sigmoid are taken for probabilities, all others for logits.

What a graph can't say may stand in the file's metadata (`metadata_props`), as text: `sample_rate`, `channels`, `classes` (a
JSON list, or names between commas), `output_kind`, `max_seconds`, `shortest_seconds`. Arguments of `explain` override it.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from musiclime_torch.basics.choices import OutputKind
from musiclime_torch.basics.errors import InputError, first_line, needing

#: Types of inputs that sound can be given as.
_FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}

#: Fewer frames than this, where their number is fixed, are bands or features and no sound.
FEWEST_FRAMES = 2000

#: What a session is fed with.
Values = NDArray[Any]

#: What may stand in the metadata, and how its text is read.
_METADATA = {"sample_rate": int, "channels": int, "max_seconds": float, "shortest_seconds": float}


class OnnxModel(nn.Module):
    """A graph behind the same call as other models. It runs in onnxruntime: on the CPU, or on a GPU where that can.

    `weights_hash` is that of the file and of those that its weights lie in, `max_frames` the fixed length of its input.
    """

    def __init__(
        self,
        path: str | Path,
        audio: str | None = None,
        lyrics: str | None = None,
        outputs: Sequence[str] | None = None,
    ) -> None:
        """`audio`, `lyrics` and `outputs` name the graph's, where they can't be guessed. InputError for a graph that takes
        or gives something else.
        """
        super().__init__()
        self.path, self.name = Path(path), Path(path).name
        self._sessions = {"cpu": _open(self.path, "cpu")}
        session = self._sessions["cpu"]
        graph = read_graph(self.path)
        self.weights_hash = hash_files(self.path, graph)
        sound, text = _pick_inputs(self.name, session.get_inputs(), audio, lyrics)
        self._inputs = {name: given for name, given in (("audio", sound), ("lyrics", text)) if given is not None}
        self.modalities = tuple(self._inputs)
        results = _pick_outputs(self.name, session.get_outputs(), outputs)
        self._outputs = [given.name for given in results]
        self._rows = _read_rows(self.name, list(self._inputs.values()), results)
        declared = read_metadata(self.name, session.get_modelmeta().custom_metadata_map)
        # Outputs of one number each are named for what they say.
        names = tuple(self._outputs) if all(map(_is_single, results)) else None
        self.classes = declared.get("classes", names)
        self.output_kind = declared.get("output_kind", _guess_kind(graph, self._outputs))
        self.sample_rate, self.max_seconds = declared.get("sample_rate"), declared.get("max_seconds")
        self.shortest_seconds = declared.get("shortest_seconds")
        shape = [] if sound is None else sound.shape
        self.channels = _read_channels(shape, declared.get("channels"))
        self.max_frames = shape[-1] if shape and isinstance(shape[-1], int) else None

    def forward(self, *inputs: Any) -> Float[Tensor, "batch class"]:
        """Outputs, rows by rows where the graph takes a certain number of them."""
        device = next((given.device for given in inputs if isinstance(given, Tensor)), torch.device("cpu"))
        fed = {
            given.name: self._fit_sound(given, values)
            if name == "audio"
            else np.array(list(values), dtype=object).reshape((-1, 1)[: len(given.shape)])
            for (name, given), values in zip(self._inputs.items(), inputs, strict=True)
        }
        return torch.from_numpy(self._run_all(device, fed)).to(device)

    def _fit_sound(self, given: Any, audio: Float[Tensor, "batch channel frame"]) -> Values:
        """Sound in the shape and type that the graph takes."""
        if self.max_frames is not None:
            if audio.shape[2] > self.max_frames:
                raise InputError(f"{self.name} takes {self.max_frames} frames at a time, got {audio.shape[2]}.")
            audio = nn.functional.pad(audio, (0, self.max_frames - audio.shape[2]))
        audio = audio if len(given.shape) == 3 else audio.mean(1)
        values: Values = audio.detach().cpu().numpy().astype(_FLOATS[given.type])
        return values

    def _run_all(self, device: torch.device, fed: dict[str, Values]) -> Values:
        count = len(next(iter(fed.values())))
        if self._rows is None:
            try:
                return self._run(device, fed, count)
            # A graph may promise any number of rows and be made for one inside, which shows as whatever its node raises.
            except Exception:
                if count == 1:
                    raise
                self._rows = 1
        rows = self._rows
        parts = [
            {name: _fill(values[start : start + rows], rows) for name, values in fed.items()}
            for start in range(0, count, rows)
        ]
        return np.concatenate([self._run(device, part, rows) for part in parts])[:count]

    def _run(self, device: torch.device, fed: dict[str, Values], count: int) -> Values:
        """Outputs of the graph for as many rows as it takes."""
        sound = self._inputs.get("audio")
        if sound is not None and len(sound.shape) == 1:
            # A graph of one song has no place for a batch.
            fed = {**fed, sound.name: fed[sound.name][0]}
        place = str(device)
        if place not in self._sessions:
            self._sessions[place] = _open(self.path, place)
        results = [np.asarray(result, np.float32) for result in self._sessions[place].run(self._outputs, fed)]
        for name, result in zip(self._outputs, results, strict=True):
            if result.size % count or (result.ndim > 1 and len(result) != count):
                raise InputError(
                    f"{self.name} gave {name!r} of shape {result.shape} for {count} rows: it must be (batch, class)."
                )
        return np.concatenate([result.reshape(count, -1) for result in results], 1)


def _open(path: Path, device: str) -> Any:
    """A session of the file. Where onnxruntime was built for GPUs and the sound is on one, it runs there."""
    with needing("musiclime_torch[onnx]"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # As many threads as torch has: a machine that others work on, too, is asked for no more.
    options.intra_op_num_threads = torch.get_num_threads()
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda") and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers = [("CUDAExecutionProvider", {"device_id": device.partition(":")[2] or "0"}), *providers]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    # onnxruntime has a class for each of its many errors, and no common one that it exports.
    except Exception as error:
        raise InputError(f"{str(path)!r} can't be loaded as ONNX ({first_line(error)}).") from error


def _pick_inputs(model: str, inputs: Sequence[Any], audio: str | None, lyrics: str | None) -> tuple[Any | None, Any | None]:
    """The inputs of sound and of lyrics; InputError for any other input."""
    named = {given.name: given for given in inputs}
    for given in (audio, lyrics):
        if given is not None and given not in named:
            raise InputError(f"{model} has no input {given!r}: it has {', '.join(map(repr, named))}.")
    sounds = [given for given in inputs if given.type in _FLOATS and given.name != lyrics]
    texts = [given for given in inputs if given.type == "tensor(string)" and given.name != audio]
    sound = named[audio] if audio is not None else _only(model, "audio", sounds)
    text = named[lyrics] if lyrics is not None else _only(model, "lyrics", texts)
    others = [given for given in inputs if given not in (sound, text)]
    if others:
        raise InputError(_tell_of_other(model, others[0]))
    if sound is not None:
        _check_sound(model, sound)
    if text is not None and (text.type != "tensor(string)" or not 1 <= len(text.shape) <= 2):
        raise InputError(f"the input {text.name!r} of {model} doesn't take one text a row, but {_say(text)}.")
    return sound, text


def _only(model: str, what: str, inputs: Sequence[Any]) -> Any | None:
    if len(inputs) > 1:
        names = ", ".join(repr(given.name) for given in inputs)
        raise InputError(f"{model} has several inputs that may be {what} ({names}): say which, as {model}#{what}=NAME.")
    return inputs[0] if inputs else None


def _tell_of_other(model: str, other: Any) -> str:
    if other.type in ("tensor(int64)", "tensor(int32)"):
        return (
            f"{model} takes whole numbers as {other.name!r}, such as token ids, and the file has no tokenizer: wrap it in a "
            "callable of your own (package.module:object)."
        )
    return f"{model} also takes {other.name!r}, {_say(other)}, which is neither sound nor lyrics: export it without."


def _check_sound(model: str, sound: Any) -> None:
    """InputError for an input that isn't samples."""
    shape = sound.shape
    wide = len(shape) == 3 and isinstance(shape[1], int) and shape[1] > 2
    few = bool(shape) and isinstance(shape[-1], int) and shape[-1] < FEWEST_FRAMES
    if sound.type not in _FLOATS or not 1 <= len(shape) <= 3 or wide or few:
        what = "a spectrogram or features" if len(shape) > 2 or few else "something else"
        raise InputError(
            f"the input {sound.name!r} of {model} takes {_say(sound)}, which is {what} and not sound: export the model "
            "together with its front end, as (batch, frame) or (batch, channel, frame)."
        )


def _say(given: Any) -> str:
    """An input or output as a person reads it: its type and shape."""
    places = ", ".join(str(size) if isinstance(size, int) else str(size or "any") for size in given.shape)
    return f"{given.type.removeprefix('tensor(').removesuffix(')')} of shape ({places})"


def _read_channels(shape: Sequence[Any], declared: int | None) -> int | None:
    if len(shape) < 3:
        return 1 if shape else None
    return shape[1] if isinstance(shape[1], int) else declared


def _read_rows(model: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> int | None:
    """How many rows the graph takes, None where that is free."""
    counts = [given.shape[0] for given in inputs if len(given.shape) > 1 or (given.shape and given.type not in _FLOATS)]
    counts += [1 for given in inputs if len(given.shape) == 1 and given.type in _FLOATS]
    # An input of any number of rows with an output of one was exported from a batch of one.
    counts += [given.shape[0] for given in outputs if len(given.shape) > 1]
    fixed = {count for count in counts if isinstance(count, int)}
    if len(fixed) > 1:
        raise InputError(
            f"the inputs and outputs of {model} have {' and '.join(map(str, sorted(fixed)))} rows: export one batch."
        )
    return next(iter(fixed), None)


def _fill(values: Values, rows: int) -> Values:
    """So many rows, the last one repeated."""
    return np.concatenate([values, np.repeat(values[-1:], rows - len(values), 0)])


def _pick_outputs(model: str, outputs: Sequence[Any], asked: Sequence[str] | None) -> list[Any]:
    """The outputs that are explained: all of one number a row, or one of several numbers."""
    named = {given.name: given for given in outputs}
    for name in asked or ():
        if name not in named:
            raise InputError(f"{model} has no output {name!r}: it has {', '.join(map(repr, named))}.")
    # Classifiers of scikit-learn also give the winner's name or number, which says nothing more.
    chosen = [named[name] for name in asked] if asked else [given for given in outputs if given.type in _FLOATS]
    for given in chosen or list(outputs)[:1]:
        if given.type not in _FLOATS or len(given.shape) > 2:
            raise InputError(f"the output {given.name!r} of {model} is {_say(given)}, not floats of shape (batch, class).")
    if len(chosen) > 1 and not all(_is_single(given) for given in chosen):
        raise InputError(
            f"{model} has several outputs ({', '.join(map(repr, named))}): say which to explain, as {model}#outputs=NAME."
        )
    return chosen


def _is_single(given: Any) -> bool:
    """Whether an output is one number a row: (batch), (1), (batch, 1); a fixed number alone counts classes of one song."""
    if len(given.shape) == 1:
        return given.shape[0] == 1 or not isinstance(given.shape[0], int)
    return not given.shape or given.shape[1] == 1


def read_metadata(model: str, given: dict[str, str]) -> dict[str, Any]:
    """What a file's metadata says of the model; InputError for what can't be read.

    >>> read_metadata("a.onnx", {"sample_rate": "16000", "classes": "sad, glad", "author": "me"})
    {'sample_rate': 16000, 'classes': ('sad', 'glad')}
    """
    declared: dict[str, Any] = {}
    for key, text in given.items():
        try:
            if key in _METADATA:
                declared[key] = _METADATA[key](text)
            elif key == "classes":
                declared[key] = _read_classes(text)
            elif key == "output_kind":
                declared[key] = {kind: kind for kind in get_args(OutputKind)}[text]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"the metadata of {model} has {key}={text!r}, which can't be read.") from None
    return declared


def _read_classes(text: str) -> tuple[str, ...]:
    names = json.loads(text) if text.lstrip().startswith("[") else [name.strip() for name in text.split(",")]
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError
    return tuple(names)


def read_graph(path: Path) -> Any:
    """What is in the file itself; weights that lie beside it stay there."""
    with needing("musiclime_torch[onnx]"):
        import onnx
    return onnx.load(path, load_external_data=False).graph


def _guess_kind(graph: Any, outputs: Sequence[str]) -> OutputKind:
    """Probabilities, where what makes the outputs is a softmax or a sigmoid."""
    last = {node.op_type for node in graph.node for name in node.output if name in outputs}
    return "probabilities" if last and last <= {"Softmax", "Sigmoid"} else "logits"


def hash_files(path: Path, graph: Any) -> str:
    """SHA-256 of an ONNX file; where weights lie in files beside it, of the hashes of all of them."""
    beside = {entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"}
    hashes = [hashlib.sha256(file.read_bytes()) for file in (path, *(path.parent / name for name in sorted(beside)))]
    return hashes[0].hexdigest() if not beside else hashlib.sha256(b"".join(part.digest() for part in hashes)).hexdigest()
