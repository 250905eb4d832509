"""The command line. Only click is imported at the start; everything heavy waits until a command runs.

Bad input is one sentence and exit code 2; an argument of the library is named as its option.
"""

import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from os.path import isfile
from types import FrameType

import click

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.app.serving import app
from musiclime_torch.commands.check import check
from musiclime_torch.commands.corpus import corpus
from musiclime_torch.commands.distill import distill
from musiclime_torch.commands.doctor import describe_torchaudio, doctor, models
from musiclime_torch.commands.explain import demo, explain, predict
from musiclime_torch.commands.findings import contrast, summarise
from musiclime_torch.commands.refusals import say_error
from musiclime_torch.commands.train import train


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="musiclime_torch")
def cli() -> None:
    """Which stems, at which moments, and which words decided what a music model predicts."""


cli.add_command(explain)
cli.add_command(predict)
cli.add_command(demo)
cli.add_command(train)
cli.add_command(corpus)
cli.add_command(distill)
cli.add_command(summarise)
cli.add_command(contrast)
cli.add_command(app)
cli.add_command(check)
cli.add_command(models)
cli.add_command(doctor)


def main() -> None:
    """Run the command line; every expected failure is a sentence on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Lyrics may be in any script, and file names may not be valid text.
            stream.reconfigure(encoding="utf-8", errors="replace")
    stopped = threading.Event()
    try:
        with _noting_interrupts(stopped):
            # Without click's own handling, which would print a traceback for our errors and exit with 1.
            cli(_keep_files(sys.argv[1:]), standalone_mode=False, obj=sys.argv[1:])
    except (Exception, KeyboardInterrupt) as error:
        # An interrupt that some package's import swallows comes back as an error of another kind.
        if stopped.is_set() or isinstance(error, click.Abort | KeyboardInterrupt):
            click.echo("musiclime: stopped.", err=True)
            sys.exit(130)
        if isinstance(error, click.ClickException):
            error.show()
        elif isinstance(error, InputError):
            click.echo(f"musiclime: {say_error(error)}", err=True)
        elif _comes_from_torchaudio(error):
            click.echo(f"musiclime: {describe_torchaudio(error)}", err=True)
        else:
            raise
        sys.exit(2)


def _comes_from_torchaudio(error: BaseException) -> bool:
    """Whether torchaudio failed at its own import: it was built for another torch than the one that is there."""
    frames = [] if error.__traceback__ is None else [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, ImportError | OSError | RuntimeError) and any(
        frame.f_globals.get("__name__", "").partition(".")[0] == "torchaudio" and _is_importing(frame) for frame in frames
    )


def _keep_files(arguments: list[str]) -> list[str]:
    """The arguments, with files that are named like options told apart from them: "-song.wav" is "./-song.wav"."""
    return [f"./{name}" if name.startswith("-") and "." in name and isfile(name) else name for name in arguments]


@contextmanager
def _noting_interrupts(stopped: threading.Event) -> Iterator[None]:
    """Set the event at Ctrl-C, which raises as always, but never in an import. Only Python's main thread may listen.

    torch's extension calls back into Python while it is imported, and what is raised there aborts the process.
    """
    again: list[threading.Timer] = []

    def note(number: int, frame: FrameType | None) -> None:
        stopped.set()
        if not _is_importing(frame):
            signal.default_int_handler(number, frame)
        # An import is under way: ask again in 50 ms, until the interrupt finds ordinary code to stop.
        again.append(threading.Timer(0.05, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)))
        again[-1].daemon = True
        again[-1].start()

    listens = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, note) if listens else None
    try:
        yield
    finally:
        for timer in again:
            timer.cancel()
        if listens:
            signal.signal(signal.SIGINT, before)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None
