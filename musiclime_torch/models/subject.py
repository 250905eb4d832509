"""The model under explanation with everything the pipeline needs to know about it, settled once."""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from musiclime_torch.basics.choices import OutputKind
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.care import is_compiled, module_behind
from musiclime_torch.models.contract import LATE_FUSION, LOCAL, SHARING

#: Hz; a rate outside of these is a slip.
_RATES = (100, 384_000)

#: What a model may take, in the order of its positional arguments.
_MODALITIES = (("audio", "lyrics"), ("audio",), ("lyrics",))

TextForm = Literal["strings", "ids", "embeddings"]


@dataclass(frozen=True)
class Subject:
    """A model, described. What it doesn't declare is None; `module` is the torch module behind it, if there is one.
    `shares_sounds` says that a sound that it heard costs less with further lyrics, `asked_text` is a question whose words
    are components.

    `late_fusion` says that sound and lyrics are encoded apart, so that every pair of two encodings can be fused; `compiled`
    that torch.compile has made the module, a part of it, or one of its methods. `receptive_field` is that of a sound tower
    that offers its local maps, and their hop, in samples. `takes_positions` says that tokens may be left out.
    """

    model: Any  # a callable; what more it offers is looked up by name
    module: torch.nn.Module | None
    name: str
    sample_rate: int | None
    channels: int | None
    max_seconds: float | None
    shortest_seconds: float | None
    classes: tuple[str, ...] | None
    output_kind: OutputKind
    modalities: tuple[str, ...]
    text_form: TextForm
    late_fusion: bool
    compiled: bool = False
    shares_sounds: bool = False
    asked_text: str = ""
    receptive_field: tuple[int, int] | None = None
    takes_positions: bool = False


def describe_model(
    model: Callable[..., Any],
    *,
    sample_rate: int | None,
    channels: int | None = None,
    classes: Sequence[str] | None,
    output_kind: str | None,
    modalities: Sequence[str] | None,
) -> Subject:
    """Read a model's own declarations (`musiclime_torch.models.contract`); what the caller gives takes precedence."""
    if not callable(model):
        raise InputError(
            f"the model is a {type(model).__name__}, which can't be called: give model(audio, text) -> outputs."
        )
    takes = _read_modalities(model, modalities)
    rate = _read_rate(model, sample_rate, hears="audio" in takes)
    compiled = any(map(is_compiled, (module_behind(model), *(getattr(model, part, None) for part in LATE_FUSION))))
    return Subject(
        model=model,
        module=module_behind(model),
        name=name_model(model),
        sample_rate=rate,
        channels=getattr(model, "channels", None) if channels is None else channels,
        max_seconds=_read_longest(model, rate),
        shortest_seconds=_read_shortest(model),
        classes=_read_classes(model, classes),
        output_kind=_read_kind(model, output_kind),
        modalities=takes,
        text_form=_find_text_form(model),
        late_fusion=len(takes) == 2 and is_late_fusion(model),
        shares_sounds=len(takes) == 2 and all(callable(getattr(model, part, None)) for part in SHARING),
        asked_text=str(getattr(model, "asked_text", "") or ""),
        receptive_field=_read_field(model, takes),
        compiled=compiled,
        # Fewer tokens are another shape, for which a compiled module would be made again.
        takes_positions=bool(getattr(model, "takes_positions", False)) and not compiled,
    )


def name_model(model: Callable[..., Any]) -> str:
    """What a model calls itself, or else its function or class."""
    return str(getattr(model, "name", None) or getattr(model, "__qualname__", type(model).__qualname__))


def is_late_fusion(model: Any) -> bool:
    """Whether a model offers its encoders and its head apart."""
    return all(callable(getattr(model, part, None)) for part in LATE_FUSION)


def _read_kind(model: Any, given: str | None) -> OutputKind:
    kind = given or getattr(model, "output_kind", "logits")
    for known in get_args(OutputKind):
        if kind == known:
            return known
    raise InputError(
        f"outputs of kind {kind!r} are not known: use one of {', '.join(get_args(OutputKind))}.", argument="output_kind"
    )


def _read_modalities(model: Any, given: Sequence[str] | None) -> tuple[str, ...]:
    declared = given or getattr(model, "modalities", None)
    if declared is None:
        _refuse_one_argument(model)
        return _MODALITIES[0]
    takes = tuple(declared) if isinstance(declared, Sequence) and not isinstance(declared, str) else ()
    if takes not in _MODALITIES:
        raise InputError(
            f"modalities {declared!r} are not known: use ('audio', 'lyrics'), ('audio',) or ('lyrics',).",
            argument="modalities",
        )
    return takes


def _refuse_one_argument(model: Any) -> None:
    """InputError for a model that can't be called with sound and lyrics, as far as its signature says so."""
    try:
        # A module's own signature is that of `nn.Module.__call__`, which takes anything.
        signature = inspect.signature(model.forward if isinstance(model, torch.nn.Module) else model)
    except (TypeError, ValueError):  # some callables have none that can be read
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise InputError(
            f"the model {name_model(model)} can't be called with two arguments, sound and lyrics: for one that takes sound "
            'alone give modalities=("audio",), for one that takes lyrics alone modalities=("lyrics",).',
        ) from None


def _read_rate(model: Any, given: int | None, hears: bool) -> int | None:
    declared: int | None = getattr(model, "sample_rate", None)
    if given is not None and given != declared and getattr(model, "only_rate", False):
        raise InputError(
            f"{name_model(model)} takes sound at {declared} Hz, got sample_rate={given}: leave it out.",
            argument="sample_rate",
        )
    rate = declared if given is None else given
    if hears and rate is None:
        raise InputError(
            "the model doesn't say which sample rate it takes: give sample_rate, such as 16000.", argument="sample_rate"
        )
    if rate is not None and not _RATES[0] <= rate <= _RATES[1]:
        raise InputError(
            f"sample_rate must be between {_RATES[0]} and {_RATES[1]} Hz, got {rate}: give the rate that the model takes, "
            f"such as 16000.",
            argument="sample_rate",
        )
    return rate


def _read_longest(model: Any, rate: int | None) -> float | None:
    frames: int | None = getattr(model, "max_frames", None)
    longest: float | None = getattr(model, "max_seconds", None) if frames is None or rate is None else frames / rate
    if longest is not None and not longest >= 0.1:
        said = f"max_seconds={longest}" if frames is None else f"max_frames={frames}, {longest:.2g} s at {rate} Hz"
        raise InputError(f"the model declares {said}: it must be a tenth of a second or more.")
    return longest


def _read_shortest(model: Any) -> float | None:
    shortest: float | None = getattr(model, "shortest_seconds", None)
    if shortest is not None and not shortest > 0:
        raise InputError(f"the model declares shortest_seconds={shortest}: it must be positive.")
    return shortest


def _read_field(model: Any, takes: tuple[str, ...]) -> tuple[int, int] | None:
    """The receptive field and the hop of local maps; None for a model that offers none, or that needs lyrics beside them."""
    if not all(callable(getattr(model, part, None)) for part in LOCAL):
        return None
    declared = getattr(model, "receptive_field", None)
    if not (isinstance(declared, tuple) and len(declared) == 2 and all(isinstance(n, int) and n > 0 for n in declared)):
        raise InputError(
            f"{name_model(model)} declares receptive_field={declared!r}: it must be field and hop in samples, such as "
            "(16512, 1600)."
        )
    return declared if takes == ("audio",) or (len(takes) == 2 and is_late_fusion(model)) else None


def _read_classes(model: Any, given: Sequence[str] | None) -> tuple[str, ...] | None:
    names = getattr(model, "classes", None) if given is None else given
    if isinstance(names, str) or not isinstance(names, Collection | None):
        raise InputError(
            f"expected a list of class names, got {names!r}: give one for each output, such as ['sad', 'glad'].",
            argument="classes",
        )
    if names is not None and len(set(names)) < len(names):
        raise InputError(f"the class names {', '.join(map(str, names))} are not all different.", argument="classes")
    return None if names is None else tuple(map(str, names))


def _find_text_form(model: Any) -> TextForm:
    if not hasattr(model, "tokenize"):
        return "strings"
    return "embeddings" if hasattr(model, "embed_text") else "ids"
