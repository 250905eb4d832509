"""A model and a track as Captum's classes take them: stems and tokens as inputs, components as feature masks.

With these, `MusicLIME` and Captum's own Lime, KernelShap and FeatureAblation explain the very same components side by side.
Segments are cut hard here (a feature mask can't cross-fade), which is all that differs from `explain`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from musiclime_torch.basics.arguments import check_name
from musiclime_torch.basics.choices import LyricsBaseline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.care import evaluating
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.subject import describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.sound import fit_stems
from musiclime_torch.variants.words import StringGates, TokenGates, gate_lyrics


@dataclass(frozen=True)
class CaptumInputs:
    """Arguments for `Attribution(forward).attribute(inputs, baselines, feature_mask=feature_mask, target=...)`.

    `inputs` are (1, stem, channel, frame) and (1, token, dim) or (1, token). Tokens of no component share one last id,
    and their baseline is their own value, so that switching it changes nothing.
    """

    forward: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]
    feature_mask: tuple[Int[Tensor, "..."], ...]


def lay_out(
    model: Callable[..., Tensor],
    track: Track,
    components: Components,
    lyrics_baseline: LyricsBaseline | None = None,
    *,
    sample_rate: int | None = None,
    classes: Sequence[str] | None = None,
    output_kind: str | None = None,
    modalities: Sequence[str] | None = None,
) -> CaptumInputs:
    """Tensors of a track for a model that hears, or reads tokens, or both.

    Args:
        model: as `explain` takes it.
        track: the song.
        components: what is switched, from `list_components`, for the modalities that the model takes.
        lyrics_baseline: what a removed word's tokens become: "mask", "zero" or "pad"; None takes the mask token where the
            model has one.
        sample_rate: Hz the model hears at. This and the next three go before the model's own declarations, as in `explain`.
        classes: names of its outputs.
        output_kind: what its outputs are.
        modalities: what it takes: ("audio", "lyrics"), ("audio",) or ("lyrics",).

    Raises:
        InputError: the model reads strings, or hears less in one call than the song lasts: Captum knows no windows.
    """
    if lyrics_baseline is not None:
        check_name(lyrics_baseline, LyricsBaseline, "lyrics baseline")
    subject = describe_model(model, sample_rate=sample_rate, classes=classes, output_kind=output_kind, modalities=modalities)
    parameter = None if subject.module is None else next(subject.module.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    inputs: list[Tensor] = []
    baselines: list[Tensor] = []
    masks: list[Tensor] = []
    if "audio" in subject.modalities:
        assert subject.sample_rate is not None, "describe_model refuses a hearing model without a rate"
        if subject.max_seconds is not None and track.seconds > subject.max_seconds:
            raise InputError(
                f"the track lasts {track.seconds:.1f} s but the model hears {subject.max_seconds:g} s: load a part of it "
                f"(start=, end=)."
            )
        stems = fit_stems(track, subject.sample_rate, subject.channels)
        inputs.append(stems[None].to(device))
        baselines.append(torch.zeros_like(inputs[-1][..., :1]))
        masks.append(_number_cells(components, stems.shape[-1], subject.sample_rate).to(device))
    if "lyrics" in subject.modalities:
        text = "" if track.lyrics is None else track.lyrics.text
        with evaluating(subject.module):
            gates, _ = gate_lyrics(subject, text, components.lyric_spans, lyrics_baseline, device)
        if isinstance(gates, StringGates):
            raise InputError(f"the model {subject.name} reads strings, which Captum can't mask: give it tokenize().")
        if isinstance(gates, TokenGates) and gates.gone:
            raise InputError(
                "lyrics baseline 'gone' can't be told to Captum, whose masks swap values: use mask, zero or pad."
            )
        free = gates.owner == len(components.lyric_spans)
        own = gates.embeddings if isinstance(gates, TokenGates) else gates.ids
        shape = (1, -1, 1) if isinstance(gates, TokenGates) else (1, -1)
        inputs.append(own[None])
        baselines.append(torch.where(free.reshape(shape), own[None], gates.baseline))
        masks.append((components.n_audio + gates.owner).reshape(shape))

    module = subject.module  # held here, so that `MusicLIME` finds it and puts it in eval mode

    def forward(*parts: Tensor) -> Tensor:
        rest = list(parts)
        arguments: list[Tensor | TokenBatch] = []
        if "audio" in subject.modalities:
            arguments.append(rest.pop(0).sum(1))
        if rest and subject.text_form == "embeddings":
            arguments.append(TokenBatch(rest[0], torch.ones_like(rest[0][:, :, 0], dtype=torch.bool)))
        elif rest:
            arguments.append(rest[0])
        assert module is subject.module
        return subject.model(*arguments)

    return CaptumInputs(forward, tuple(inputs), tuple(baselines), tuple(masks))


def _number_cells(components: Components, frames: int, sample_rate: int) -> Int[Tensor, "1 stem 1 frame"]:
    borders = [round(edge * sample_rate) for edge in components.edges[:-1]] + [frames]
    lengths = torch.tensor([right - left for left, right in pairwise(borders)])
    segment = torch.repeat_interleave(torch.arange(components.n_segments), lengths)
    return segment[None, None, None] + components.n_segments * torch.arange(components.n_stems)[None, :, None, None]
