"""Where an explanation comes from: enough to make it again, or to see that it can't be."""

import hashlib
from importlib.metadata import version
from typing import Any

import torch

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


def hash_weights(module: torch.nn.Module | None) -> str:
    """SHA-256 over names and bytes of all parameters and buffers; empty for a bare callable."""
    if module is None:
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
