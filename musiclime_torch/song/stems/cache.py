"""Stems kept between runs: one safetensors file an entry, named by what it was made from.

The folder is ``$MUSICLIME_CACHE``, else ``$XDG_CACHE_HOME/musiclime_torch/stems``, else
``~/.cache/musiclime_torch/stems``. Files are written under a temporary name and renamed, so that a reader never sees
half of one; a file that can't be read is made again. Nothing is deleted except by its owner.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from musiclime_torch.basics.files import writing_atomically

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
