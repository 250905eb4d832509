"""Models by the names the command line gives them: built in, in a folder, on the hub, or of one's own."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from os.path import exists, isdir, isfile, join  # pathlib's raise where a folder may not be looked into
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musiclime_torch.basics.arguments import suggest
from musiclime_torch.basics.errors import InputError

if TYPE_CHECKING:
    import torch

#: Whisper, with weights from a package.
TRANSCRIBER = "whisper-tiny.en"

#: The sentence that a label is put into for models that compare sound with text.
PROMPT = "This audio is a song of {}."


#: What may be said after "#", by the kind of model: how the text is read.
_SETTINGS: dict[str, dict[str, Callable[[str], Any]]] = {
    "onnx": {"audio": str, "lyrics": str, "outputs": lambda text: tuple(text.split("+"))},
    "http": {
        "queries": int,
        "per_second": float,
        "timeout": float,
        "tries": int,
        "batch": int,
        "sample_rate": int,
        "cache": str,
    },
}


def check_name(name: str) -> None:
    """InputError for a name that is no model's, as far as that shows without loading one: nothing heavy is imported."""
    if name in ("demo", TRANSCRIBER) or name in _TRAINED or isdir(name):
        return
    if kind := find_kind(name):
        path, _ = split_settings(name, kind)
        if kind == "onnx" and not isfile(path):
            raise InputError(f"there is no file {path!r}: give an ONNX file.")
    elif ":" in name and not exists(name):
        _check_module(name)
    elif "/" not in name:
        raise InputError(
            f"model {name!r} is not known{suggest(name, ('demo', *_TRAINED))}: give demo, musicnn-minilm, vibenet, a "
            f"folder, a hub id (owner/name), an ONNX file, an address (https://...), or package.module:object for your own "
            f"model."
        )
    # A hub id has one slash and none of a path's other signs.
    elif not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        raise InputError(f"there is no model folder {name!r}: give one that holds a config.json.")


def find_kind(name: str) -> str:
    """Whether a name is that of an ONNX file or an address, "" for any other.

    >>> find_kind("model.onnx#outputs=mood"), find_kind("https://example.org/tagger"), find_kind("demo")
    ('onnx', 'http', '')
    """
    if re.match(r"https?://", name):
        return "http"
    return "onnx" if name.partition("#")[0].lower().endswith(".onnx") else ""


def split_settings(name: str, kind: str) -> tuple[str, dict[str, Any]]:
    """The file or address, and the settings after "#"; InputError for settings that can't be read.

    >>> split_settings("https://example.org/tagger#queries=500,per_second=2", "http")
    ('https://example.org/tagger', {'queries': 500, 'per_second': 2.0})
    """
    base, _, text = name.partition("#")
    settings, known = {}, _SETTINGS[kind]
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        if key not in known:
            raise InputError(f"setting {key!r} after # is not known{suggest(key, tuple(known))}: use {', '.join(known)}.")
        try:
            settings[key] = known[key](value)
        except ValueError:
            raise InputError(f"setting {part!r} after # can't be read: {key} is a number.") from None
    return base, settings


def redact_name(name: str) -> str:
    """A model's name as it may be written down: an address without login, query and settings, any other as it is.

    >>> redact_name("https://me:secret@example.org/tagger?key=1#queries=5"), redact_name("demo")
    ('https://example.org/tagger', 'demo')
    """
    if find_kind(name) != "http":
        return name
    from musiclime_torch.models.queries import redact

    return redact(name)


def _check_module(name: str) -> None:
    module, _, attribute = name.partition(":")
    _look_here()
    package = module.partition(".")[0]
    if not (module and attribute):
        raise InputError(f"model {name!r} names no object: give package.module:object.")
    try:
        missing = find_spec(package) is None
    except (ImportError, ValueError):  # a relative name, or a module without a spec
        missing = False
    if missing:
        raise InputError(f"model {name!r} can't be made (ModuleNotFoundError: No module named {package!r}).")


def load_model(
    name: str, device: "torch.device | str" = "cpu", labels: Sequence[str] | None = None, embedding: bool = False
) -> Callable[..., Any]:
    """The model called `name`, moved to the device.

    "demo"; "musicnn-minilm" (tags of MagnaTagATune; with "-msd" those of the Million Song Dataset) or its audio tower
    "musicnn" alone; a folder that `save_pretrained` wrote, ours or of `transformers`; a hub id such as
    "MIT/ast-finetuned-audioset-10-10-0.4593"; "vibenet", seven values such as energy; an ONNX file; an address of a model
    behind HTTP; or "package.module:object" from the path or this folder (a class is made without arguments; anything else is
    the model itself). `labels` are what a zero-shot model chooses from. Files and addresses may be followed by settings:
    "model.onnx#outputs=mood", "https://example.org/tagger#queries=500,per_second=2". With `embedding` the encoders of a
    zero-shot model are wanted alone, and it needs no labels.
    """
    import torch

    from musiclime_torch.models.care import find_device

    check_name(name)
    if transcribes(name):
        raise InputError(f"{name} writes down what it hears: give a line with --answer 'hold me now', or --answer auto.")
    device = find_device(device)
    if name == "demo":
        from musiclime_torch.demo.bundle import load_demo_model

        model: Any = load_demo_model()
    elif name in _TRAINED:
        model = _load_trained(name)
    elif not isdir(name) and (kind := find_kind(name)):
        model = _load_foreign(name, kind)
    # A folder may have a colon in its name.
    elif ":" in name and not exists(name):
        model = _import_model(name)
    else:
        model = _load_pretrained(name, labels, embedding)
    return model.to(device) if isinstance(model, torch.nn.Module) else model


def transcribes(name: str) -> bool:
    """Whether a model is Whisper as it writes down words: by its name, or by what its configuration says it is."""
    if name == TRANSCRIBER:
        return True
    # A folder or hub id of a model that `transformers` knows; our own folders have no architecture.
    if isdir(name):
        config = Path(name) / "config.json"
        named = json.loads(config.read_text(encoding="utf-8")).get("architectures") if config.is_file() else None
    elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]*[Ww]hisper[\w.-]*", name):
        from transformers import AutoConfig

        from musiclime_torch.models.checkpoints import load_part

        named = load_part(AutoConfig, name).architectures
    else:
        return False
    return "WhisperForConditionalGeneration" in (named or ())


def load_ensemble(
    audio_model: str,
    text_model: str,
    weights: tuple[float, float],
    device: "torch.device | str" = "cpu",
    labels: Sequence[str] | None = None,
) -> Callable[..., Any]:
    """The sum of an audio and a lyrics classifier, each by name, over the labels they share."""
    from musiclime_torch.models.care import find_device
    from musiclime_torch.models.classifiers import LateEnsemble

    for name in (audio_model, text_model):
        if find_kind(name):
            raise InputError(f"the model {redact_name(name)!r} can't be added to another: explain it by itself.")
    audio, text = load_model(audio_model, device, labels), load_model(text_model, device)
    for name, model, takes in ((audio_model, audio, "audio"), (text_model, text, "lyrics")):
        if getattr(model, "modalities", None) != (takes,):
            raise InputError(f"the model {name!r} doesn't take {takes} alone: an ensemble adds an audio and a lyrics model.")
    return LateEnsemble(audio, text, weights).to(find_device(device))


_TRAINED = ("musicnn", "musicnn-msd", "musicnn-minilm", "musicnn-minilm-msd", "vibenet")


def _load_trained(name: str) -> Any:
    """A model whose weights come with packages."""
    from musiclime_torch.models.musicnn import load_musicnn
    from musiclime_torch.models.musicnn_minilm import load_musicnn_minilm
    from musiclime_torch.models.vibenet import load_vibenet

    if name == "vibenet":
        return load_vibenet()
    load = load_musicnn_minilm if "minilm" in name else load_musicnn
    return load("MSD" if name.endswith("-msd") else "MTT")


def _load_foreign(name: str, kind: str) -> Any:
    """A model that isn't torch's: an ONNX file, or one behind HTTP."""
    base, settings = split_settings(name, kind)
    if kind == "onnx":
        from musiclime_torch.models.onnx_files import OnnxModel

        return OnnxModel(base, **settings)
    from musiclime_torch.models.remote import HttpModel

    return HttpModel(base, **settings)


def _load_pretrained(name: str, labels: Sequence[str] | None, embedding: bool) -> Any:
    """A saved model, by the type in its configuration."""
    from transformers import (
        AutoConfig,
        AutoFeatureExtractor,
        AutoModelForAudioClassification,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        ClapModel,
    )
    from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES as HEARING

    from musiclime_torch.models.ast_roberta import AstRoberta
    from musiclime_torch.models.checkpoints import load_part, load_weights, read_type
    from musiclime_torch.models.classifiers import AudioClassifier, ClapTowers, ClapZeroShot
    from musiclime_torch.models.tagger import Tagger
    from musiclime_torch.models.text_classifiers import make_text_classifier

    # Our own folders first: `transformers` would refuse their model type.
    for kind in (AstRoberta, Tagger):
        if read_type(Path(name)) == kind.model_type:
            return kind.from_pretrained(name)
    config = load_part(AutoConfig, name)
    if config.model_type == "clap":
        parts = (load_weights(ClapModel, name), load_part(AutoFeatureExtractor, name), load_part(AutoTokenizer, name))
        return ClapTowers(*parts) if embedding else ClapZeroShot(*parts, labels or (), PROMPT)
    if config.model_type in HEARING:
        return AudioClassifier(load_weights(AutoModelForAudioClassification, name), load_part(AutoFeatureExtractor, name))
    module = load_weights(AutoModelForSequenceClassification, name)
    return make_text_classifier(module, load_part(AutoTokenizer, name))


def _look_here() -> None:
    """An installed command doesn't look into the current folder, where people keep their model's module."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _import_model(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    _look_here()
    try:
        model = getattr(import_module(module_name), attribute)
        return model() if isinstance(model, type) else model
    except (Exception, SystemExit) as error:  # imported code may raise anything
        raise InputError(f"model {name!r} can't be made ({type(error).__name__}: {error}).") from error


def refuse_proxy(name: str | None) -> None:
    """InputError for a folder that holds neither a student nor a model, before anything is loaded."""
    if name is not None and isdir(name) and not any(isfile(join(name, file)) for file in ("student.json", "config.json")):
        raise InputError(f"--proxy {name!r} holds neither a student nor a model: make one with musiclime distill.")


def load_proxy(options: dict[str, Any], device: "torch.device | str") -> dict[str, Any]:
    """Arguments of `explain` for a proxy, taken out of the options: a student by its folder, or a model by its name."""
    name, masks = options.pop("proxy"), options.pop("proxy_samples")
    if name is None:
        if masks is not None:
            raise InputError("--proxy-samples needs a proxy: give --proxy.")
        return {}
    if isfile(join(name, "student.json")):
        from musiclime_torch.models.students import load_student

        return {"proxy": load_student(name), "proxy_samples": masks}
    return {"proxy": load_model(name, device), "proxy_samples": masks}
