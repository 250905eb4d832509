"""Files that appear whole or not at all, whatever interrupts their writing."""

import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager
from os.path import exists, isdir  # pathlib's raise where a folder may not be looked into, and for long names
from pathlib import Path
from uuid import uuid4

from musiclime_torch.basics.errors import InputError

#: Last in the name of what isn't whole yet: patterns such as *.parquet, which match hidden files too, pass it by.
_PARTIAL = ".partial"


def name_partial(path: Path) -> Path:
    """A hidden name beside `path` that nobody else writes to: processes on other machines may have the same number."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}{_PARTIAL}")


def remove_partials(folder: Path, names: Container[str]) -> None:
    """Remove what killed processes had begun to write under these names: for those who know that nobody writes them now."""
    for path in folder.glob(f".*{_PARTIAL}"):
        if path.name[1:].rsplit(".", 2)[0] in names:
            path.unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; the file is renamed when that is done, and gone where anything is raised.

    Its suffix is another one: who writes it says what it holds.
    """
    partial = name_partial(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def refuse_file(out: Path | None) -> None:
    """InputError for an --out that can't be a folder; said before anything is run, not when it is written to."""
    if out is not None and exists(out) and not isdir(out):
        raise InputError(f"--out {out} is a file: give a folder.")


def write_whole(data: bytes, path: Path, option: str) -> None:
    """A file that appears whole or not at all. InputError where the folder can't be written to, named by its `option`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path.parent} can't be written to ({error.strerror}): give another {option} folder.") from error


def refuse_devices(path: Path) -> None:
    """InputError for pipes, sockets and devices, which may have no end or nobody at the other one."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # whoever opens it will say why
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{str(path)!r} is a pipe or a device: give a file.")
