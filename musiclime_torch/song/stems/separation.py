"""Taking a song apart: a separator by name, its stems, and a residual that makes them sum to the song.

``demucs``         Hybrid Transformer Demucs from the Hugging Face hub (drums, bass, other, vocals).
``demucs:FOLDER``  the same from a local folder; `weights` says what it holds.
``hpss``           harmonic and percussive, by median filtering: needs no weights.
``midside``        what both sides of a stereo song share, and what they don't.
``none``           the whole song as one stem.

Without a name it is demucs if its weights are in the hub's cache (the network is never asked), and hpss otherwise.
What demucs finds is kept in a cache (the others take seconds); the residual is always computed again from the song.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.care import keeping_random_states
from musiclime_torch.song.audio.recording import Recording
from musiclime_torch.song.stems.cache import cached_stems, name_entry
from musiclime_torch.song.stems.harmonic import split_harmonic
from musiclime_torch.song.stems.neural import split_neural
from musiclime_torch.song.stems.weights import Weights, cached_weights, fetch_weights, folder_weights

#: Frames handled at once in double precision.
_BLOCK = 1 << 20

#: Relative to the song's peak, or to full scale where that is more.
_NOTHING = 1e-6

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
    (('mid', 'side'), 'mid and side of the stereo image, as asked')
    """
    song = recording.samples
    if separator is None:
        weights = cached_weights()
        if weights is not None:
            note = f"{weights.name}, the default where its weights are in the hub's cache"
            return (*_separate_neurally(recording, weights, device, cache_dir), note)
        note = (
            "hpss (harmonic and percussive), as the weights of demucs aren't on this machine; "
            "separator demucs fetches them once"
        )
        return (*complete(song, *split_harmonic(song, recording.sample_rate, device)), note)
    kind, _, folder = separator.partition(":")
    if kind == "demucs":
        weights = folder_weights(Path(folder).expanduser()) if folder else cached_weights() or fetch_weights()
        return (*_separate_neurally(recording, weights, device, cache_dir), f"{weights.name}, as asked")
    if separator == "hpss":
        stems, names = split_harmonic(song, recording.sample_rate, device)
        return (*complete(song, stems, names), "hpss (harmonic and percussive), as asked")
    if separator == "midside":
        return (*complete(song, *split_midside(song)), "mid and side of the stereo image, as asked")
    if separator == "none":
        return song[None], ("mix",), "the whole song as one stem, as asked"
    raise InputError(
        f"separator {separator!r} is unknown: use demucs, demucs:FOLDER, hpss, midside or none.", argument="separator"
    )


def _separate_neurally(
    recording: Recording, weights: Weights, device: torch.device | str, cache_dir: str | Path | None
) -> tuple[Float[Tensor, "stem channel frame"], tuple[str, ...]]:
    """Stems and names from the cache or the model, completed. A recording without a hash is never cached."""
    known = recording.content_hash
    entry = name_entry(known, "demucs", weights.identity, _VERSION) if known else None
    # A new model draws its first weights from torch's global state, before its real ones are loaded.
    with keeping_random_states():
        found = cached_stems(
            cache_dir,
            entry,
            tuple(recording.samples.shape),
            lambda: split_neural(recording.samples, recording.sample_rate, weights.load(), device),
        )
    return complete(recording.samples, *found)


def complete(
    song: Float[Tensor, "channel frame"], stems: Float[Tensor, "stem channel frame"], names: tuple[str, ...]
) -> tuple[Float[Tensor, "stem2 channel frame"], tuple[str, ...]]:
    """Stems and names with the residual after them, so that they sum to the song; unchanged if they already do.

    If a stem is already named "residual", what is left is added to it.

    >>> stems, names = complete(torch.ones(1, 2), torch.full((1, 1, 2), 0.75), ("voice",))
    >>> stems[1], names
    (tensor([[0.2500, 0.2500]]), ('voice', 'residual'))
    """
    # In double precision: the sum of several float32 stems rounds by more than what is tolerated as nothing.
    left = torch.empty_like(song)
    for at in range(0, song.shape[-1], _BLOCK):
        part = slice(at, at + _BLOCK)
        left[:, part] = song[:, part].double() - stems[..., part].sum(0, dtype=torch.float64)
    if left.abs().max() <= _NOTHING * max(1.0, float(song.abs().max())):
        return stems, names
    if "residual" in names:
        stems = stems.clone()
        stems[names.index("residual")] += left
        return stems, names
    return torch.cat([stems, left[None]]), (*names, "residual")


def split_midside(
    samples: Float[Tensor, "channel frame"],
) -> tuple[Float[Tensor, "2 channel frame"], tuple[str, str]]:
    """Mid, (L + R) / 2 in both channels, and side, (L - R) / 2 left and its negative right. InputError unless stereo."""
    if len(samples) != 2:
        raise InputError(
            "separator 'midside' takes a stereo song and this one is mono: use hpss, demucs or none.", argument="separator"
        )
    mid = samples.mean(0, keepdim=True).expand(2, -1)
    return torch.stack([mid, samples - mid]), ("mid", "side")
