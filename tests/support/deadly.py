"""A song that kills the process which reads it: in a module that worker processes can import."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from musiclime_torch.song.manifest import Entry


def die_on(entry: Entry, loading: dict[str, Any]) -> str:
    """Stands in for reading a song: those in `deadly` kill their process as often as it says."""
    if entry.id in loading["deadly"]:
        marks = Path(loading["marks"])
        (marks / f"{entry.id}{time.monotonic_ns()}").touch()
        if len(list(marks.glob(f"{entry.id}*"))) <= loading["deadly"][entry.id]:
            os.kill(os.getpid(), signal.SIGKILL)
    return entry.id


class Deadly:
    """What a song was read as, that kills the process which sends it."""

    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def die_of_sending(entry: Entry, loading: dict[str, Any]) -> str | Deadly:
    """Stands in for reading a song: those in `deadly` are read, and never arrive."""
    return Deadly() if entry.id in loading["deadly"] else entry.id


def die_at_once() -> None:
    """Stands in for the beginning of a process."""
    os.kill(os.getpid(), signal.SIGKILL)
