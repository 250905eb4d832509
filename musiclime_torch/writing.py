"""Files that appear whole or not at all, whatever interrupts their writing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from musiclime_torch.failures import InputError


def name_partial(path: Path) -> Path:
    """A hidden name beside `path` that nobody else writes to: processes on other machines may have the same number."""
    return path.with_name(f".{uuid4().hex[:12]}.{path.name}")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; the file is renamed when that is done, and gone where anything is raised.

    The suffix stays, for those who write what it says.
    """
    partial = name_partial(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(data: bytes, path: Path, option: str) -> None:
    """A file that appears whole or not at all. InputError where the folder can't be written to, named by its `option`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path.parent} can't be written to ({error.strerror}): give another {option} folder.") from error
