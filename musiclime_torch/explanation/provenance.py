"""Where an explanation comes from: enough to reproduce it, or to see that it can't be reproduced."""

import hashlib
from importlib.metadata import version
from typing import Any

import torch

from musiclime_torch.explanation.settings import Settings
from musiclime_torch.models.answering.answering import Answering
from musiclime_torch.models.hashing import hash_weights
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track


def record_provenance(subject: Subject, track: Track, settings: Settings, device: torch.device) -> dict[str, Any]:
    """Model, inputs, settings and versions, as JSON takes them. `baseline_song` is None for silence and noise; a song used
    as baseline is identified by its hash, for titles aren't unique.
    """
    baseline = settings.baseline
    song = {"title": baseline.title, "audio_hash": baseline.audio_hash} if isinstance(baseline, Track) else None
    return {
        "title": track.title,
        "stems": track.source,
        "model": subject.name,
        "output_kind": subject.output_kind,
        **record_question(subject.model),
        **hash_inputs(subject, track),
        "baseline_song": song,
        "settings": settings.to_record(),
        "device": str(device),
        "versions": {name: version(name) for name in ("musiclime_torch", "torch", "numpy")},
    }


def record_question(model: Any) -> dict[str, Any]:
    """What a language model was asked, in which order, and the tokens that its answers were cut into."""
    if not isinstance(model, Answering):
        return {}
    order, answers = model.prompt.order, model.describe_answers()
    return {"asked": model.asked, "order": order, "answers": answers, "answer_tokens": model.by_token}


def find_baseline_song(provenance: dict[str, Any]) -> dict[str, str] | None:
    """Title and hash of the song whose stems replaced removed ones, None for silence or noise.

    Older versions kept only its title, in the place of "silence" or "noise".
    """
    name = provenance["settings"]["baseline"]
    guess = None if name in (None, "silence", "noise") else {"title": name, "audio_hash": ""}
    song: dict[str, str] | None = provenance.get("baseline_song", guess)
    return song


def hash_inputs(subject: Subject, track: Track) -> dict[str, str]:
    """SHA-256 of the weights, the audio and the lyrics; empty where there are none."""
    return {
        "model_hash": hash_weights(subject.module),
        "audio_hash": track.audio_hash,
        "lyrics_hash": "" if track.lyrics is None else hashlib.sha256(track.lyrics.text.encode()).hexdigest(),
    }
