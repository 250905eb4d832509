"""The model under explanation with everything the pipeline needs to know about it, settled once."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.care import module_behind
from musiclime_torch.models.contract import OUTPUT_KINDS

#: Hz; what lies outside is a slip.
_RATES = (100, 384_000)

#: What a late-fusion model offers.
_LATE_FUSION = ("encode_audio", "encode_text", "fuse")

TextForm = Literal["strings", "ids", "embeddings"]


@dataclass(frozen=True)
class Subject:
    """A model, described. What it doesn't declare is None; `module` is the model where it is a torch module.

    `late_fusion` says that sound and lyrics are encoded apart, so that every pair of two encodings can be fused.
    """

    model: Any  # a callable; what more it offers is looked up by name
    module: torch.nn.Module | None
    name: str
    sample_rate: int | None
    channels: int | None
    max_seconds: float | None
    shortest_seconds: float | None
    classes: tuple[str, ...] | None
    output_kind: str
    modalities: tuple[str, ...]
    text_form: TextForm
    late_fusion: bool


def describe_model(
    model: Callable[..., Any],
    *,
    sample_rate: int | None,
    classes: Sequence[str] | None,
    output_kind: str | None,
    modalities: Sequence[str] | None,
) -> Subject:
    """Read a model's own declarations (`musiclime_torch.models.contract`); what the caller gives goes before them."""
    if not callable(model):
        raise InputError(
            f"the model is a {type(model).__name__}, which can't be called: give model(audio, text) -> outputs."
        )
    names: Sequence[str] | None = getattr(model, "classes", None) if classes is None else classes
    kind = output_kind or getattr(model, "output_kind", "logits")
    if kind not in OUTPUT_KINDS:
        raise InputError(f"outputs of kind {kind!r} are not known: use one of {', '.join(OUTPUT_KINDS)}.")
    declared: Sequence[str] = getattr(model, "modalities", ("audio", "lyrics"))
    given = modalities or declared
    takes = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if takes not in (("audio", "lyrics"), ("audio",), ("lyrics",)):
        raise InputError(f"modalities {given!r} are not known: use ('audio', 'lyrics'), ('audio',) or ('lyrics',).")
    rate = getattr(model, "sample_rate", None) if sample_rate is None else sample_rate
    longest = getattr(model, "max_seconds", None)
    if "audio" in takes and rate is None:
        raise InputError("the model doesn't say at which rate it hears: give sample_rate (--sample-rate 16000).")
    if rate is not None and not _RATES[0] <= rate <= _RATES[1]:
        raise InputError(f"a sample rate of {rate} Hz is none: give the rate the model hears at, such as 16000.")
    if longest is not None and not longest >= 0.1:
        raise InputError(f"the model says that it hears {longest} s (max_seconds): it must be a tenth of a second or more.")
    shortest = getattr(model, "shortest_seconds", None)
    if shortest is not None and not shortest > 0:
        raise InputError(f"the model says that {shortest} s is its shortest segment (shortest_seconds): it must be above 0.")
    if isinstance(names, str) or not isinstance(names, Collection | None):
        raise InputError(f"class names {names!r} are no list: give one for each output, such as ['sad', 'glad'].")
    if names is not None and len(set(names)) < len(names):
        raise InputError(f"the class names {', '.join(map(str, names))} are not all different.")
    text_form: TextForm = "strings"
    if hasattr(model, "tokenize"):
        text_form = "embeddings" if hasattr(model, "embed_text") else "ids"
    return Subject(
        model=model,
        module=module_behind(model),
        name=name_model(model),
        sample_rate=rate,
        channels=getattr(model, "channels", None),
        max_seconds=longest,
        shortest_seconds=shortest,
        classes=None if names is None else tuple(map(str, names)),
        output_kind=kind,
        modalities=takes,
        text_form=text_form,
        late_fusion=len(takes) == 2 and all(callable(getattr(model, part, None)) for part in _LATE_FUSION),
    )


def name_model(model: Callable[..., Any]) -> str:
    """What a model calls itself, or else its function or class."""
    return str(getattr(model, "name", None) or getattr(model, "__qualname__", type(model).__qualname__))
