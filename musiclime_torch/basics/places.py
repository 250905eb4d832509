"""Paths that aren't files: opening them may wait for ever, and reading them may never end."""

import stat
from pathlib import Path

from musiclime_torch.basics.errors import InputError


def refuse_devices(path: Path) -> None:
    """InputError for pipes, sockets and devices, which may have no end or nobody at the other one."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # whoever opens it will say why
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{str(path)!r} is a pipe or a device: give a file.")
