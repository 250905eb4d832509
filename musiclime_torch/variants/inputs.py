"""A track made ready for one model: resampled, gated, tokenized; and the components that model can't notice."""

from dataclasses import dataclass

import torch

from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.sound import AudioBaseline, StemGates, _stand_in, _unheard, fit_stems, gate_stems
from musiclime_torch.variants.words import (
    LyricGates,
    LyricsBaseline,
    gate_lyrics,
    unread_columns,
)


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
