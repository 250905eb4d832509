"""Taking a song apart: a separator by name, its stems, and a residual that makes them sum to the song.

``demucs``         Hybrid Transformer Demucs from the Hugging Face hub (drums, bass, other, vocals).
``demucs:FOLDER``  the same from a local folder; `weights` says what lies in it.
``hpss``           harmonic and percussive, by median filtering: needs no weights.
``midside``        what both sides of a stereo song share, and what they don't.
``none``           the whole song as one stem.

Without a name it is demucs where its weights lie in the hub's cache - the network is never asked - and hpss elsewhere.
What demucs and hpss find is kept in a cache; the residual is always made anew from the song.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.audio import Recording
from musiclime_torch.failures import InputError
from musiclime_torch.models.care import keeping_random_states
from musiclime_torch.separation.cache import cached_stems, name_entry
from musiclime_torch.separation.harmonic import split_harmonic
from musiclime_torch.separation.midside import split_midside
from musiclime_torch.separation.neural import split_neural
from musiclime_torch.separation.residual import complete
from musiclime_torch.separation.weights import Weights, cached_weights, fetch_weights, folder_weights

Split = Callable[[], tuple[Float[Tensor, "stem channel frame"], tuple[str, ...]]]

#: Counts up when the same weights would give other stems, so that old cache entries aren't taken for new ones.
_VERSION = "1"


def separate(
    recording: Recording, separator: str | None, device: torch.device | str, cache_dir: str | Path | None
) -> tuple[Float[Tensor, "stem channel frame"], tuple[str, ...], str]:
    """Stems on the CPU that sum to the recording (within 1e-6 of its peak), their names, and where they come from.

    The last stem is "residual" unless the others leave nothing. ``cache_dir`` None is the default folder of `cache`.
    Global random states are given back.

    Raises:
        InputError: an unknown separator, weights that can't be had or loaded, or mid/side of a mono song.

    >>> song = Recording(torch.tensor([[0.5, 0.25], [0.5, -0.25]]), 8000)
    >>> separate(song, "midside", "cpu", None)[1:]
    (('mid', 'side'), 'mid and side of the stereo image.')
    """
    kind, _, folder = (separator or "").partition(":")
    if separator is None and (weights := cached_weights()) is not None:
        kind, note = "demucs", f"{weights.name} (the default where its weights are in the hub's cache)."
    elif separator is None:
        kind, note = (
            "hpss",
            (
                "harmonic and percussive parts (the weights of demucs aren't on this machine: "
                "--separator demucs fetches them, once)."
            ),
        )
    elif kind == "demucs":
        weights = _find_weights(folder)
        note = f"{weights.name}, as asked."
    elif separator == "hpss":
        note = "harmonic and percussive parts, as asked."
    elif separator == "midside":
        return (*complete(recording.samples, *split_midside(recording.samples)), "mid and side of the stereo image.")
    elif separator == "none":
        return recording.samples[None], ("mix",), "none: the song is one stem."
    else:
        raise InputError(f"separator {separator!r} is unknown: use demucs, demucs:FOLDER, hpss, midside or none.")
    if kind == "demucs":
        assert weights is not None
        split, identity = _with_demucs(recording, weights, device), weights.identity
    else:
        split, identity = _with_hpss(recording, device), "median"
    entry = name_entry(recording.content_hash, kind, identity, _VERSION) if recording.content_hash else None
    with keeping_random_states():
        stems, names = cached_stems(cache_dir, entry, tuple(recording.samples.shape), split)
    return (*complete(recording.samples, stems, names), note)


def _find_weights(folder: str) -> Weights:
    return folder_weights(Path(folder).expanduser()) if folder else cached_weights() or fetch_weights()


def _with_demucs(recording: Recording, weights: Weights, device: torch.device | str) -> Split:
    return lambda: split_neural(recording.samples, recording.sample_rate, weights.load(), device)


def _with_hpss(recording: Recording, device: torch.device | str) -> Split:
    return lambda: (split_harmonic(recording.samples, recording.sample_rate, device), ("harmonic", "percussive"))
