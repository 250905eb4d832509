"""Command lines in processes of their own that begin with all heavy imports behind them.

Importing torch and transformers takes seconds, running a command on a tiny song a tenth of one. A server process imports
once (`multiprocessing`'s forkserver), and each command runs in a fork of it: its own memory, folder, signals, output and
exit code.
What happens before the command line is reached, and after it ended, is left to the tests that start Python anew.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

#: Imported by the server: what the commands import when they run.
IMPORTED = [
    "musiclime_torch.commands.cli",
    "musiclime_torch.commands.output",
    "musiclime_torch.corpus.runs.running",
    "musiclime_torch.demo.bundle",
    "musiclime_torch.explanation.explainer",
    "musiclime_torch.song.manifest",
    "musiclime_torch.training.fitting",
    "musiclime_torch.views.page.song",
    "musiclime_torch.views.terminal",
    "transformers.trainer",
]

#: The command line itself, as `python -m musiclime_torch` runs it.
MAIN = "from musiclime_torch.commands.cli import main\nmain()\n"


def run_warm(
    arguments: Sequence[object], folder: Path, script: str = MAIN, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A script with arguments, run in a folder; TimeoutExpired after so many seconds."""
    return start_warm(arguments, folder, script, **environment).wait(timeout)


def start_warm(arguments: Sequence[object], folder: Path, script: str = MAIN, **environment: str) -> "Warm":
    """The same without waiting for it, with more variables in its environment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    given = list(map(str, arguments))
    out, err = (tempfile.TemporaryFile("w+", errors="replace") for _ in range(2))  # noqa: SIM115 - closed once they are read
    streams = _Inherited(out.fileno()), _Inherited(err.fileno())
    process = context.Process(target=_run, args=(script, given, folder, environment, *streams))
    process.start()
    return Warm(given, process, out, err)


@dataclass
class Warm:
    """A script that was started, and the files that it writes its output to."""

    arguments: list[str]
    process: multiprocessing.process.BaseProcess
    out: IO[str]
    err: IO[str]

    def wait(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Its end, with what it said; killed, and TimeoutExpired, after so many seconds."""
        with self.out, self.err:
            self.process.join(timeout)
            if self.process.exitcode is None:
                self.process.kill()
                raise subprocess.TimeoutExpired(self.arguments, timeout)
            self.out.seek(0)
            self.err.seek(0)
            return subprocess.CompletedProcess(self.arguments, self.process.exitcode, self.out.read(), self.err.read())


class _Inherited:
    """A file that another process opens too: it is sent through a socket when the process starts."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple:
        from multiprocessing.reduction import DupFd

        return _receive, (DupFd(self.number),)


def _receive(sent) -> int:
    return sent.detach()


def _run(script: str, arguments: list[str], folder: Path, environment: dict[str, str], out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    # Fresh streams: as in a process of its own, whose output isn't a terminal.
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = ["musiclime", *arguments]
    exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
