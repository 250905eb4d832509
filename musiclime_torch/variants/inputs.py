"""A track made ready for one model, sound and words together; and the components that the model can't notice."""

from dataclasses import dataclass

import torch

from musiclime_torch.basics.choices import LyricsBaseline
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.sound import (
    AudioBaseline,
    Window,
    find_changes,
    find_unheard,
    fit_stems,
    gate_stems,
    make_stand_in,
)
from musiclime_torch.variants.words import LyricGates, gate_lyrics, list_unread

#: Why a lyric column is unseen.
UNREAD = "no token is its own: past the model's token limit, or one token with a neighbour"


@dataclass(frozen=True)
class Sources:
    """What variants are rendered from. Masks have the audio's columns first, stem-major, then the lyrics'.

    `windows` is () for a model without audio and `lyrics` None for one without lyrics. `unseen` gives the columns that
    change nothing in what the model is given, with the reason. `lyrics_baseline` is the one picked if none was asked for.
    """

    windows: tuple[Window, ...]
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
    windows, unheard = _prepare_sound(subject, track, components, baseline, seed, device)
    lyrics, picked, unread = _prepare_words(subject, track, components, lyrics_baseline, device)
    return Sources(windows, components.n_stems, components.n_segments, lyrics, picked, unheard | unread)


def _prepare_sound(
    subject: Subject, track: Track, components: Components, baseline: AudioBaseline, seed: int, device: torch.device
) -> tuple[tuple[Window, ...], dict[int, str]]:
    if "audio" not in subject.modalities:
        return (), {}
    # Resampled once, before mixing: a mix of resampled stems is the resampled mix, and stems are few where variants are
    # many.
    rate = subject.sample_rate
    assert rate is not None, "describe_model refuses a model that takes audio and has no rate"
    stems = fit_stems(track, rate, subject.channels)
    stand_in = make_stand_in(stems, track.stem_names, rate, baseline, seed)
    # Before anything goes to the device: what is unheard is decided on the host.
    unheard = find_unheard(stems, stand_in, components, rate)
    there = None if stand_in is None else stand_in.to(device)
    changes = find_changes(stems, stand_in)
    return gate_stems(stems.to(device), there, components.edges, rate, subject.max_seconds, changes), unheard


def _prepare_words(
    subject: Subject, track: Track, components: Components, asked: LyricsBaseline | None, device: torch.device
) -> tuple[LyricGates | None, LyricsBaseline | None, dict[int, str]]:
    if "lyrics" not in subject.modalities:
        return None, None, {}
    spans = components.lyric_spans
    lyrics, picked = gate_lyrics(subject, "" if track.lyrics is None else track.lyrics.text, spans, asked, device)
    unread = {components.n_audio + column: UNREAD for column in list_unread(lyrics, len(spans))}
    return lyrics, picked, unread
