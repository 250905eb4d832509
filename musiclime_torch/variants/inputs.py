"""A track made ready for one model: resampled, gated, tokenized; and the components that model can't notice."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import Tokens
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.audio.recording import resample
from musiclime_torch.song.track import Track
from musiclime_torch.variants.baselines import (
    AudioBaseline,
    LyricsBaseline,
    borrow_stems,
    gate_embeddings,
    gate_ids,
    gate_strings,
    make_noise,
    pick_lyrics_baseline,
    unread_columns,
)
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.sound import LyricGates, StemGates, gate_stems


@dataclass(frozen=True)
class Sources:
    """What variants are rendered from. Masks have the audio's columns first, stem-major, then the lyrics'.

    `unseen` gives the columns that change nothing the model is given, with the reason; `lyrics_baseline` is the one that
    was picked where none was asked for.
    """

    stems: StemGates | None
    n_stems: int
    n_segments: int
    lyrics: LyricGates | None
    lyrics_baseline: LyricsBaseline | None
    unseen: dict[int, str]


def prepare_sources(
    subject: Subject,
    track: Track,
    components: Components,
    baseline: AudioBaseline,
    lyrics_baseline: LyricsBaseline | None,
    seed: int,
    device: torch.device,
) -> Sources:
    """Bring the track to the model's rate, channels and device; call inside `models.care.evaluating`."""
    unseen: dict[int, str] = {}
    gates, lyric_gates, picked = None, None, None
    if "audio" in subject.modalities:
        assert subject.sample_rate is not None, "describe_model refuses a hearing model without a rate"
        stems = fit_stems(track, subject.sample_rate, subject.channels)
        stand_in = _stand_in(stems, track, subject, baseline, seed)
        unseen |= _unheard(stems, stand_in, components, subject.sample_rate)
        gates = gate_stems(
            stems.to(device),
            None if stand_in is None else stand_in.to(device),
            components.edges,
            subject.sample_rate,
            subject.max_seconds,
        )
    if "lyrics" in subject.modalities:
        text = "" if track.lyrics is None else track.lyrics.text
        spans = components.lyric_spans
        lyric_gates, picked = gate_lyrics(subject, text, spans, lyrics_baseline, device)
        for column in unread_columns(lyric_gates, len(spans)):
            unseen[components.n_audio + column] = (
                "no token is its own: past the model's token limit, or one token with a neighbour"
            )
    return Sources(gates, components.n_stems, components.n_segments, lyric_gates, picked, unseen)


def fit_stems(track: Track, sample_rate: int, channels: int | None) -> Float[Tensor, "stem channel frame"]:
    """Stems at a model's rate and number of channels (None keeps the track's); two channels become one by their mean."""
    stems = track.stems
    if channels == 1:
        stems = stems.mean(1, keepdim=True)
    elif channels == 2 and stems.shape[1] == 1:
        stems = stems.expand(-1, 2, -1)
    elif channels not in (None, stems.shape[1]):
        raise InputError(f"the model asks for {channels} channels; tracks have one or two.")
    return resample(stems.contiguous(), track.sample_rate, sample_rate)


def _stand_in(
    stems: Float[Tensor, "stem channel frame"], track: Track, subject: Subject, baseline: AudioBaseline, seed: int
) -> Float[Tensor, "stem channel frame"] | None:
    if isinstance(baseline, Track):
        assert subject.sample_rate is not None
        other = fit_stems(baseline, subject.sample_rate, stems.shape[1])
        return borrow_stems(other, baseline.stem_names, track.stem_names, stems.shape[-1])
    return make_noise(stems, seed) if baseline == "noise" else None


def _unheard(
    stems: Float[Tensor, "stem channel frame"],
    stand_in: Float[Tensor, "stem channel frame"] | None,
    components: Components,
    sample_rate: int,
) -> dict[int, str]:
    """Columns whose stem equals its baseline all through their segment, fades included."""
    loudness = (stems if stand_in is None else stems - stand_in).abs().amax(1)
    same = "the stem is silent there" if stand_in is None else "the stem equals its baseline there"
    borders = [round(edge * sample_rate) for edge in components.edges[:-1]] + [stems.shape[-1]]
    reach = sample_rate // 100
    return {
        stem * components.n_segments + segment: same
        for stem, row in enumerate(loudness)
        for segment, (left, right) in enumerate(pairwise(borders))
        if not row[max(left - reach, 0) : right + reach].any()
    }


def gate_lyrics(
    subject: Subject,
    text: str,
    spans: Sequence[Sequence[tuple[int, int]]],
    asked: LyricsBaseline | None,
    device: torch.device,
) -> tuple[LyricGates, LyricsBaseline]:
    """Lyrics in the form the model reads, each token or character owned by its column; and the baseline picked."""
    columns = tuple(tuple(parts) for parts in spans)
    if subject.text_form == "strings":
        picked = pick_lyrics_baseline(asked, None, takes_embeddings=False)
        return gate_strings(text, columns, picked), picked
    try:
        tokens = subject.model.tokenize(text)  # text_form says that it has it
    except Exception as error:  # the model is somebody else's code and may raise anything
        raise InputError(f"the model {subject.name} can't tokenize the lyrics: {type(error).__name__}: {error}") from error
    if not isinstance(tokens, Tokens):
        raise InputError(
            f"{subject.name}.tokenize returned a {type(tokens).__name__}: it must return models.contract.Tokens."
        )
    picked = pick_lyrics_baseline(asked, tokens, subject.text_form == "embeddings")
    if subject.text_form == "ids":
        return gate_ids(tokens, columns, picked, device), picked
    return gate_embeddings(subject.model, tokens, columns, picked, device), picked
