"""Where an explanation comes from: enough to make it again, or to see that it can't be."""

import hashlib
from importlib.metadata import version
from typing import Any

import torch

from musiclime_torch.baselines import AudioBaseline
from musiclime_torch.models.subject import Subject
from musiclime_torch.track import Track


def record_provenance(
    subject: Subject, track: Track, baseline: AudioBaseline, settings: dict[str, Any], device: torch.device
) -> dict[str, Any]:
    """Model, inputs, settings and versions, as JSON takes them. `baseline_song` is None for silence and noise: the settings
    have only its title, which may be any.
    """
    song = {"title": baseline.title, "audio_hash": baseline.audio_hash} if isinstance(baseline, Track) else None
    return {
        "title": track.title,
        "stems": track.source,
        "model": subject.name,
        **hash_inputs(subject, track),
        "baseline_song": song,
        "settings": settings,
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
        "model_hash": _hash_weights(subject.module),
        "audio_hash": track.audio_hash,
        "lyrics_hash": "" if track.lyrics is None else hashlib.sha256(track.lyrics.text.encode()).hexdigest(),
    }


def _hash_weights(module: torch.nn.Module | None) -> str:
    """SHA-256 over names and bytes of all parameters and buffers; empty for a bare callable."""
    if module is None:
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
