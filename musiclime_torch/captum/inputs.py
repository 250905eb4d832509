"""A model and a track as Captum's classes take them: stems and tokens as inputs, components as feature masks.

With these, `MusicLIME` and Captum's own Lime, KernelShap and FeatureAblation explain the very same components side by side.
The only difference from `explain` is that segments are cut hard: a feature mask can't cross-fade.
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
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.probe import pick_device
from musiclime_torch.variants.sound import fit_stems
from musiclime_torch.variants.words import IdGates, StringGates, TokenGates, gate_lyrics


@dataclass(frozen=True)
class CaptumInputs:
    """Arguments for `Attribution(forward).attribute(inputs, baselines, feature_mask=feature_mask, target=...)`.

    `inputs` are (1, stem, channel, frame) and (1, token, dim) or (1, token). Tokens of no component share one last id, and
    their baseline is their own value, so switching it changes nothing.
    """

    forward: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]
    feature_mask: tuple[Int[Tensor, "..."], ...]


@dataclass(frozen=True, eq=False)
class Forward:
    """The model as Captum calls it: stems are summed to the song, and embeddings become the batch that the model reads."""

    subject: Subject

    @property
    def module(self) -> torch.nn.Module | None:
        """What `MusicLIME` puts in eval mode."""
        return self.subject.module

    def __call__(self, *parts: Tensor) -> Tensor:
        """Outputs for `inputs`, or for inputs altered by a feature mask."""
        rest = list(parts)
        arguments: list[Tensor | TokenBatch] = []
        if "audio" in self.subject.modalities:
            arguments.append(rest.pop(0).sum(1))
        if rest and self.subject.text_form == "embeddings":
            arguments.append(TokenBatch(rest[0], torch.ones_like(rest[0][:, :, 0], dtype=torch.bool)))
        elif rest:
            arguments.append(rest[0])
        outputs: Tensor = self.subject.model(*arguments)
        return outputs


@dataclass(frozen=True)
class _Part:
    """One input of the model with its baseline and its feature mask."""

    own: Tensor
    baseline: Tensor
    owner: Int[Tensor, "..."]


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
    """Tensors of a track for a model that takes audio, or tokens, or both.

    Args:
        model: as `explain` takes it.
        track: the song.
        components: what is switched, from `list_components`, for the modalities that the model takes.
        lyrics_baseline: what a removed word's tokens become: "mask", "zero" or "pad"; None takes the mask token if the
            model has one.
        sample_rate: Hz of the audio that the model takes. This and the next three take precedence over the model's own,
            as in `explain`.
        classes: names of its outputs.
        output_kind: what its outputs are.
        modalities: what it takes: ("audio", "lyrics"), ("audio",) or ("lyrics",).

    Raises:
        InputError: the model reads strings, or takes less audio in one call than the song lasts: Captum knows no windows.
    """
    if lyrics_baseline is not None:
        check_name(lyrics_baseline, LyricsBaseline, "lyrics baseline")
    subject = describe_model(model, sample_rate=sample_rate, classes=classes, output_kind=output_kind, modalities=modalities)
    device = pick_device(subject, None)
    parts: list[_Part] = []
    if "audio" in subject.modalities:
        parts.append(_lay_sound(subject, track, components, device))
    if "lyrics" in subject.modalities:
        parts.append(_lay_words(subject, track, components, lyrics_baseline, device))
    return CaptumInputs(
        Forward(subject),
        tuple(part.own for part in parts),
        tuple(part.baseline for part in parts),
        tuple(part.owner for part in parts),
    )


def _lay_sound(subject: Subject, track: Track, components: Components, device: torch.device) -> _Part:
    assert subject.sample_rate is not None, "describe_model refuses a model that takes audio and has no rate"
    if subject.max_seconds is not None and track.seconds > subject.max_seconds:
        raise InputError(
            f"the track lasts {track.seconds:.1f} s but the model hears {subject.max_seconds:g} s: load a part of it "
            f"(start=, end=)."
        )
    stems = fit_stems(track, subject.sample_rate, subject.channels)
    own = stems[None].to(device)
    owner = _number_cells(components, stems.shape[-1], subject.sample_rate).to(device)
    return _Part(own, torch.zeros_like(own[..., :1]), owner)


def _lay_words(
    subject: Subject, track: Track, components: Components, baseline: LyricsBaseline | None, device: torch.device
) -> _Part:
    text = "" if track.lyrics is None else track.lyrics.text
    with evaluating(subject.module):
        gates, _ = gate_lyrics(subject, text, components.lyric_spans, baseline, device)
    if isinstance(gates, StringGates):
        raise InputError(f"the model {subject.name} reads strings, which Captum can't mask: give it tokenize().")
    if isinstance(gates, TokenGates) and gates.gone:
        raise InputError(
            "lyrics baseline 'gone' can't be expressed for Captum, whose masks swap values: use mask, zero or pad.",
            argument="lyrics_baseline",
        )
    own = gates.ids if isinstance(gates, IdGates) else gates.embeddings
    shape = (1, -1) if isinstance(gates, IdGates) else (1, -1, 1)
    # Tokens that no component owns keep their own value as baseline.
    free = gates.owner == len(components.lyric_spans)
    swapped = torch.where(free.reshape(shape), own[None], gates.baseline)
    return _Part(own[None], swapped, (components.n_audio + gates.owner).reshape(shape))


def _number_cells(components: Components, frames: int, sample_rate: int) -> Int[Tensor, "1 stem 1 frame"]:
    lengths = torch.tensor([right - left for left, right in pairwise(components.borders(sample_rate, frames))])
    segment = torch.repeat_interleave(torch.arange(components.n_segments), lengths)
    return segment[None, None, None] + components.n_segments * torch.arange(components.n_stems)[None, :, None, None]
