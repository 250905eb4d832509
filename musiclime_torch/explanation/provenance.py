"""Where an explanation comes from: enough to make it again, or to see that it can't be."""

import hashlib
from importlib.metadata import version
from typing import Any

import torch

from musiclime_torch.explanation.settings import Settings
from musiclime_torch.models.hashing import hash_weights
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track


def record_provenance(subject: Subject, track: Track, settings: Settings, device: torch.device) -> dict[str, Any]:
    """Model, inputs, settings and versions, as JSON takes them. `baseline_song` is None for silence and noise: the settings
    have only its title, which may be any.
    """
    baseline = settings.baseline
    song = {"title": baseline.title, "audio_hash": baseline.audio_hash} if isinstance(baseline, Track) else None
    return {
        "title": track.title,
        "stems": track.source,
        "model": subject.name,
        **hash_inputs(subject, track),
        "baseline_song": song,
        "settings": settings.to_record(),
        "device": str(device),
        "versions": {name: version(name) for name in ("musiclime_torch", "torch", "numpy")},
    }


def find_baseline_song(provenance: dict[str, Any]) -> dict[str, str] | None:
    """Title and hash of the song whose stems stood in for removed ones, None where silence or noise did.

    Versions that kept its title alone knew no song by the name of one of the two.
    """
    name = provenance["settings"]["baseline"]
    guess = None if name in (None, "silence", "noise") else {"title": name, "audio_hash": ""}
    found: dict[str, str] | None = provenance.get("baseline_song", guess)
    return found


def hash_inputs(subject: Subject, track: Track) -> dict[str, str]:
    """What tells this model and song from others: SHA-256, empty where there is nothing."""
    return {
        "model_hash": hash_weights(subject.module),
        "audio_hash": track.audio_hash,
        "lyrics_hash": "" if track.lyrics is None else hashlib.sha256(track.lyrics.text.encode()).hexdigest(),
    }
