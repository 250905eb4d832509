"""Taking a song apart: a separator by name, its stems, and a residual that makes them sum to the song.

``demucs``         Hybrid Transformer Demucs from the Hugging Face hub (drums, bass, other, vocals).
``demucs:FOLDER``  the same from a local folder; `weights` says what it holds.
``hpss``           harmonic and percussive, by median filtering: needs no weights.
``midside``        what both sides of a stereo song share, and what they don't.
``none``           the whole song as one stem.
``bands:200,2000`` frequency bands with these edges in Hz; ``hpss+bands:200`` those of each stem.

Without a name it is demucs if its weights are in the hub's cache (the network is never asked), and hpss otherwise. The
song is taken to demucs' rate and channels, through it, and back, with ``shifts=0``: its default draws a random shift from
Python's global state, so that results differ from run to run. What resampling, mono and the model lose is the residual's.

What demucs finds is kept between runs (the others take seconds); the residual is always computed again from the song. An
entry is one safetensors file, named by what it was made from, in ``$MUSICLIME_CACHE``, else
``$XDG_CACHE_HOME/musiclime_torch/stems``, else ``~/.cache/musiclime_torch/stems``. Files are written under a temporary
name and renamed, so that a reader never sees half of one; a file that can't be read is made again. Nothing is deleted
except by its owner.
"""

import hashlib
import json
import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from musiclime_torch.basics.arguments import read_separator
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.models.care import keeping_random_states
from musiclime_torch.song.audio.recording import Recording, resample
from musiclime_torch.song.stems.bands import describe_bands, split_bands
from musiclime_torch.song.stems.harmonic import split_harmonic
from musiclime_torch.song.stems.weights import Weights, cached_weights, fetch_weights, folder_weights

_log = logging.getLogger(__name__)


def cached_stems(
    folder: str | Path | None,
    entry: str | None,
    shape: tuple[int, ...],
    split: Callable[[], tuple[Float[Tensor, "stem channel frame"], tuple[str, ...]]],
) -> tuple[Float[Tensor, "stem channel frame"], tuple[str, ...]]:
    """The stems of an entry, or else what ``split`` makes, then kept. ``shape`` is the song's; no entry, no cache."""
    if entry is None:
        return split()
    path = Path(folder or default_folder()) / f"{entry}.safetensors"
    kept = _load(path, shape)
    if kept is not None:
        return kept
    stems, names = split()
    _save(path, stems, names)
    return stems, names


def name_entry(*parts: str) -> str:
    """File name of an entry: a SHA-256 over what its stems depend on.

    >>> name_entry("song", "hpss") == name_entry("song", "hpss"), name_entry("a", "bc") == name_entry("ab", "c")
    (True, False)
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def default_folder() -> Path:
    """Where stems are kept unless the caller says otherwise."""
    if own := os.environ.get("MUSICLIME_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "musiclime_torch" / "stems"


def _load(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, tuple[str, ...]] | None:
    try:
        with safe_open(path, framework="pt") as file:
            names = json.loads((file.metadata() or {})["names"])
            stems = file.get_tensor("stems")
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    fits = tuple(stems.shape) == (len(names), *shape) and stems.is_floating_point() and bool(stems.isfinite().all())
    return (stems.float(), tuple(str(name) for name in names)) if fits else None


def _save(path: Path, stems: Tensor, names: tuple[str, ...]) -> None:
    """Write an entry; a folder that can't be written to only costs time in the next run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_atomically(path) as partial:
            save_file({"stems": stems.contiguous()}, partial, metadata={"names": json.dumps(names)})
    except (OSError, SafetensorError) as error:
        _log.warning("the stems weren't kept in %s: %s", path.parent, error)


#: As `demucs.api.Separator`: overlap of the windows of a long song.
_OVERLAP = 0.25


def split_neural(
    samples: Float[Tensor, "channel frame"],
    sample_rate: int,
    model: Any,
    device: torch.device | str,
    advance: Callable[[float], object] = lambda share: None,
) -> tuple[Float[Tensor, "stem channel frame"], tuple[str, ...]]:
    """Stems on the CPU at the song's own rate, and the model's names for them. The model stays on the CPU. `advance` is told
    of the share of the work that each piece of the song was.
    """
    from demucs.apply import apply_model

    channels, frames = samples.shape
    mixture = resample(samples, sample_rate, model.samplerate)
    if channels < model.audio_channels:
        mixture = mixture.expand(model.audio_channels, -1)
    elif channels > model.audio_channels:
        mixture = mixture.mean(0, keepdim=True)
    # The model was trained on songs scaled so; the constant it takes away is left to the residual.
    reference = mixture.mean(0)
    mean, scale = reference.mean(), reference.std(correction=0) + 1e-8
    with torch.no_grad(), _noting_pieces(model, mixture.shape[-1], advance):
        # Some models shift their position embedding by Python's global state, which the caller keeps: the same for each run.
        random.seed(0)
        separated = apply_model(
            model, ((mixture - mean) / scale)[None], shifts=0, split=True, overlap=_OVERLAP, device=torch.device(device)
        )[0]
    model.to("cpu")
    separated = (separated * scale).cpu()
    if not separated.isfinite().all():
        raise InputError("the weights of demucs turn this song into NaN: they are damaged, or use hpss.")
    if channels != model.audio_channels:
        separated = separated.mean(1, keepdim=True).expand(-1, channels, -1)
    stems = separated.new_zeros(len(separated), channels, frames)
    for stem, target in zip(separated, stems, strict=True):
        back = resample(stem.contiguous(), model.samplerate, sample_rate)[..., :frames]
        target[:, : back.shape[-1]] = back
    return stems, tuple(model.sources)


@contextmanager
def _noting_pieces(model: Any, frames: int, advance: Callable[[float], object]) -> Iterator[None]:
    """Tell `advance` of every piece that the model, or each model of a bag, has taken apart."""
    members = list(getattr(model, "models", [model]))
    # As demucs cuts the song: pieces of a length that the model declares, which overlap by a quarter.
    strides = [int((1 - _OVERLAP) * int(model.samplerate * float(getattr(each, "segment", 10)))) for each in members]
    pieces = sum(-(-frames // stride) for stride in strides)
    hooks = [each.register_forward_hook(lambda *_: advance(1 / pieces)) for each in members]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


#: Frames handled at once in double precision.
_BLOCK = 1 << 20

#: Relative to the song's peak, or to full scale where that is more.
_NOTHING = 1e-6

#: Counts up when the same weights would give other stems, so that old cache entries aren't taken for new ones.
_VERSION = "1"


def separate(
    recording: Recording,
    separator: str | None,
    device: torch.device | str,
    cache_dir: str | Path | None,
    advance: Callable[[float], object] = lambda share: None,
) -> tuple[Float[Tensor, "stem channel frame"], tuple[str, ...], str]:
    """Stems on the CPU that sum to the recording (within 1e-6 of its peak), their names, and where they come from.

    The last stem is "residual" unless the others leave nothing. ``cache_dir`` None is the default folder of `cache`.
    ``advance`` is told of each share of the work that is done.
    Global random states are given back.

    Raises:
        InputError: an unknown separator, weights that can't be had or loaded, or mid/side of a mono song.

    >>> song = Recording(torch.tensor([[0.5, 0.25], [0.5, -0.25]]), 8000)
    >>> separate(song, "midside", "cpu", None)[1:]
    (('mid', 'side'), 'mid and side of the stereo image, as asked')
    """
    if separator is not None:
        base, edges = read_separator(separator)
        if edges:
            stems, names, note = separate(recording, base or "none", device, cache_dir, advance)
            return (
                *split_bands(stems, names, recording.sample_rate, edges, device),
                describe_bands(edges, note if base else ""),
            )
    song = recording.samples
    if separator is None:
        weights = cached_weights()
        if weights is not None:
            note = f"{weights.name}, the default where its weights are in the hub's cache"
            return (*_separate_neurally(recording, weights, device, cache_dir, advance), note)
        note = (
            "hpss (harmonic and percussive), as the weights of demucs aren't on this machine; "
            "separator demucs fetches them once"
        )
        return (*complete(song, *split_harmonic(song, recording.sample_rate, device, advance)), note)
    kind, _, folder = separator.partition(":")
    if kind == "demucs":
        weights = folder_weights(Path(folder).expanduser()) if folder else cached_weights() or fetch_weights()
        return (*_separate_neurally(recording, weights, device, cache_dir, advance), f"{weights.name}, as asked")
    if separator == "hpss":
        stems, names = split_harmonic(song, recording.sample_rate, device, advance)
        return (*complete(song, stems, names), "hpss (harmonic and percussive), as asked")
    if separator == "midside":
        return (*complete(song, *split_midside(song)), "mid and side of the stereo image, as asked")
    return song[None], ("mix",), "the whole song as one stem, as asked"


def _separate_neurally(
    recording: Recording,
    weights: Weights,
    device: torch.device | str,
    cache_dir: str | Path | None,
    advance: Callable[[float], object],
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
            lambda: split_neural(recording.samples, recording.sample_rate, weights.load(), device, advance),
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
