"""Files that appear whole or not at all."""

from pathlib import Path

from musiclime_torch.failures import InputError


def write_whole(data: bytes, path: Path, option: str) -> None:
    """A file that appears whole or not at all. InputError where the folder can't be written to, named by its `option`."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} can't be written to ({error.strerror}): give another {option} folder.") from error
