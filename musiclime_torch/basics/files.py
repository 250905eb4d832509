"""Files that appear complete or not at all, whatever interrupts their writing."""

import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager
from os import W_OK, X_OK, access
from os.path import exists, isdir  # pathlib's raise for folders without permission, and for long names
from pathlib import Path
from uuid import uuid4

from musiclime_torch.basics.errors import InputError

#: Ends the name of an unfinished file: patterns such as *.parquet match hidden files too, but not these.
_PARTIAL = ".partial"


def write_atomically(data: bytes, path: Path, argument: str) -> None:
    """Write a file that appears complete or not at all; `argument` is what the caller calls its folder.

    InputError where the folder can't be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_atomically(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise InputError(
            f"{path.parent} can't be written to ({error.strerror}): give another {argument} folder.", argument=argument
        ) from error


@contextmanager
def writing_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to: renamed to `path` at the end, removed if anything is raised.

    Its suffix differs from that of `path`, so a writer must be told the format.
    """
    # A rename within a folder is atomic on POSIX systems: readers see the old file or the new one, never half of one.
    partial = name_partial(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def name_partial(path: Path) -> Path:
    """A hidden name beside `path` that nobody else writes to: processes on other machines may have the same number."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}{_PARTIAL}")


def remove_partials(folder: Path, names: Container[str]) -> None:
    """Remove what killed processes left half-written under these names; only for a caller that knows nobody writes them."""
    for path in folder.glob(f".*{_PARTIAL}"):
        if path.name[1:].rsplit(".", 2)[0] in names:
            path.unlink(missing_ok=True)


def refuse_file(out: Path | None, argument: str = "out") -> None:
    """InputError for an `out` that can't be a folder, or can't be written to; called before anything runs, not when the
    results are written. `argument` is what the caller calls it.
    """
    if out is None:
        return
    if exists(out) and not isdir(out):
        raise InputError(f"{argument} {out} is a file: give a folder.", argument=argument)
    # The folder itself, or the nearest one above it that is there, in which it would be made.
    home = next((folder for folder in (out, *out.absolute().parents) if exists(folder)), None)
    if home is None or not isdir(home) or not access(home, W_OK | X_OK):
        raise InputError(f"{argument} {out} can't be written to: give another folder.", argument=argument)


def refuse_devices(path: Path) -> None:
    """InputError for pipes, sockets and devices: they may never end, or nobody may write to them."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # whoever opens it will say why
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{str(path)!r} is a pipe or a device: give a file.")
