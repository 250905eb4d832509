"""Where an explanation comes from: enough to make it again, or to see that it can't be."""

import hashlib
from importlib.metadata import version
from typing import Any

import torch

from musiclime_torch.models.hashing import hash_weights
from musiclime_torch.models.subject import Subject
from musiclime_torch.track import Track


def record_provenance(subject: Subject, track: Track, settings: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Model, inputs, settings and versions, as JSON takes them. Hashes are SHA-256; empty where there is nothing."""
    return {
        "title": track.title,
        "stems": track.source,
        "model": subject.name,
        "model_hash": hash_weights(subject.module),
        "audio_hash": track.audio_hash,
        "lyrics_hash": "" if track.lyrics is None else hashlib.sha256(track.lyrics.text.encode()).hexdigest(),
        "settings": settings,
        "device": str(device),
        "versions": {name: version(name) for name in ("musiclime_torch", "torch", "numpy")},
    }
