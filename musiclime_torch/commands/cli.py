"""The command line. Only click is imported at the start; everything heavy waits until a command runs.

Standard output carries the result alone; notes and progress go to standard error. Bad input is one sentence and exit
code 2; an argument of the library is named as its option. Options that weren't given aren't passed on: the defaults are
those of `explain` and `load_track`.
"""

import json
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from io import TextIOWrapper
from os.path import isdir, isfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.app.serving import app
from musiclime_torch.commands.check import check
from musiclime_torch.commands.corpus import corpus
from musiclime_torch.commands.doctor import describe_torchaudio, doctor, models
from musiclime_torch.commands.findings import contrast, summarise
from musiclime_torch.commands.help import Grouped, SongCommand
from musiclime_torch.commands.options import (
    ASKING,
    LOADING,
    default_device,
    explain_options,
    gather,
    load_baseline,
    loading_options,
    names_model,
    output_options,
    pop_given,
    predict_options,
    read_command,
    tell_of_demo_model,
    tell_of_lyrics,
)
from musiclime_torch.commands.output import Output, plan_output, say_separation, say_wait
from musiclime_torch.commands.questions import load_models, prefer_sums, refuse_both, settle_answers
from musiclime_torch.commands.refusals import refuse_early, refuse_for_model, refuse_segments, refuse_stand_ins
from musiclime_torch.commands.train import train

if TYPE_CHECKING:
    from musiclime_torch.explanation.answers import Answers
    from musiclime_torch.explanation.explanation import Explanation
    from musiclime_torch.song.track import Track


#: Options with another name than their argument.
_OTHERWISE = {"max_seconds": "--max-duration", "path": "--out"}


def name_flag(argument: str) -> str:
    """The option for an argument.

    >>> name_flag("n_samples"), name_flag("max_seconds")
    ('--n-samples', '--max-duration')
    """
    return _OTHERWISE.get(argument, "--" + argument.replace("_", "-"))


def say_error(error: InputError) -> str:
    """What went wrong, with the option's name where the library's sentence has the argument's.

    >>> say_error(InputError("n_samples must be at least 1, got 0.", argument="n_samples"))
    '--n-samples must be at least 1, got 0.'
    >>> say_error(InputError("'/tmp/out' can't be written to: give another out folder.", argument="out"))
    "'/tmp/out' can't be written to: give another --out folder."
    """
    if error.argument is None:
        return str(error)
    # What is quoted stays as it is: a path or a name may hold the argument's word. An apostrophe within a word quotes
    # nothing.
    quoted = r"(?<!\w)'[^']*'(?!\w)|(?<!\w)\"[^\"]*\"(?!\w)"
    argument = rf"\b{re.escape(error.argument)}\b(?!\()"
    return re.sub(f"{quoted}|{argument}", lambda match: _name(match[0], error.argument or ""), str(error))


def _name(text: str, argument: str) -> str:
    return name_flag(argument) if text == argument else text


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="musiclime_torch")
def cli() -> None:
    """Which stems, at which moments, and which words decided what a music model predicts."""


@cli.command(
    cls=SongCommand,
    examples=(
        "musiclime explain song.flac --model musicnn-minilm --out report",
        "musiclime explain song.flac --lyrics song.lrc --stems stems --model my.module:model --target sad --foil calm",
    ),
)
@click.argument("song", type=click.Path(path_type=Path))
@loading_options
@explain_options()
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the model's answers here: another question about the same song costs no pass of the model.",
)
@click.option("--both", is_flag=True, help="With --like SONG: explain the other song too, into OUT/other.")
@output_options
def explain(song: Path, answers: Path | None, both: bool, **options: Any) -> None:
    """Explain what a model makes of SONG: an audio file, a .stem.mp4, or a folder of stems."""
    loading = pop_given(options, *LOADING)
    output = plan_output(options)
    prefer_sums(options)
    refuse_early(options, loading, song)
    if both:
        refuse_both(options)
    if answers is not None and not isdir(answers.absolute().parent):
        raise InputError(f"--answers {str(answers)!r} lies in a folder that doesn't exist: make it first.")
    device = options.pop("device") or default_device()
    tell_of_demo_model(options)
    other = options["like"][0] if both else None
    track = _explain_song(song, dict(options), loading, device, output, answers)
    if other is not None:
        # What belongs to the first song alone stays with it.
        shared: dict[str, Any] = {name: loading[name] for name in ("separator", "max_seconds") if name in loading}
        _explain_song(Path(other), {**options, "like": (track,)}, shared, device, output.enter("other"), None)


def _explain_song(
    song: Path,
    options: dict[str, Any],
    loading: dict[str, Any],
    device: str,
    output: Output,
    answers: Path | None,
) -> "Track":
    """Load the model and the song, explain, and write what was asked for; the song with its stems."""
    # Standard output belongs to the result: models, separators and their libraries print whatever they like meanwhile.
    with redirect_stdout(sys.stderr):
        from musiclime_torch.basics.progress import Stages
        from musiclime_torch.song.track import fold_quiet, load_track

        refuse_segments(song, options, loading)
        kept = None if answers is None else read_answers(answers, device)
        model = load_models(options, device, knows_song=True)
        refuse_for_model(model, options)
        refuse_stand_ins(model, song, options, loading)
        load_baseline(options, device, {key: loading[key] for key in ("separator", "max_seconds") if key in loading})
        track = load_track(song, device=device, progress=Stages(True, say=say_separation), **loading)
        track = track if options["residual"] else fold_quiet(track)
        click.echo(f"Stems: {track.source}", err=True)
        tell_of_lyrics(model, track, options)
        model = settle_answers(model, track, options)
        explanation = _run(model, track, device, options, output, kept, answers)
    output.show(explanation, track, options["baseline"])
    return track


@cli.command(
    cls=SongCommand,
    examples=(
        "musiclime predict song.flac --model musicnn",
        "musiclime predict song.flac --lyrics song.lrc --model my.module:model --format json",
    ),
)
@click.argument("song", type=click.Path(path_type=Path))
@predict_options
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="On standard output.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Classes that are listed.")
def predict(song: Path, form: str, top: int, **options: Any) -> None:
    """What a model makes of SONG as it is: its classes with their outputs and probabilities. One question, no masks."""
    loading = pop_given(options, *(name for name in LOADING if name in options))
    options |= {"target": None, "foil": None, "preset": None}
    refuse_early(options, loading, song)
    device = options.pop("device") or default_device()
    tell_of_demo_model(options)
    with redirect_stdout(sys.stderr):
        from musiclime_torch.explanation.prediction import predict as run
        from musiclime_torch.song.track import load_track

        model = load_models(options, device)
        # Nothing is removed, so that no stems are needed, but where the song is a folder of them.
        track = load_track(song, separator=None if isdir(song) else "none", progress=True, **loading)
        given = {name: value for name, value in gather(options).items() if name in ASKING}
        prediction = run(model, track, device=device, **given)
    click.echo(
        json.dumps(prediction.to_record(), ensure_ascii=False, indent=1) if form == "json" else prediction.to_text(top)
    )


@cli.command(
    cls=Grouped,
    examples=("musiclime demo --out report --foil calm", "musiclime demo --ask 'Is this song an anthem?'"),
)
@explain_options()
@output_options
def demo(**options: Any) -> None:
    """Explain the embedded song with the embedded model, offline: why it is an "anthem", unless --target is given.

    With --ask an embedded music language model is asked about a song of four seconds.
    """
    output = plan_output(options)
    refuse_early(options, {})
    if options["ask"] is not None and not names_model(options):
        _ask_demo(options, output)
        return
    device = options.pop("device") or default_device()
    if options["target"] is None and not names_model(options):
        # Of the song's two tags, the one that needs a sound and a word together.
        options["target"] = "anthem"
    with redirect_stdout(sys.stderr):
        from musiclime_torch.demo.bundle import describe_causes, load_demo_track

        load_baseline(options, device, {})
        track = load_demo_track()
        explanation = _run(load_models(options, device), track, device, options, output)
    output.show(explanation, track, options["baseline"])
    click.echo(describe_causes(), err=True)


def _ask_demo(options: dict[str, Any], output: Output) -> None:
    """Explain what the embedded music language model answers about its own song, and say what was planted there."""
    device = options.pop("device") or default_device()
    with redirect_stdout(sys.stderr):
        from musiclime_torch.demo.questions import (
            ANSWERS,
            MOMENTS,
            describe_reasons,
            find_model,
            find_question,
            give_name,
            load_short_demo,
        )

        asked = find_question(options["ask"])
        if options["answer"] is None:
            options["answer"], options["foil"] = ANSWERS[0], options["foil"] or ANSWERS[1]
        # The song's own half-bars, and masks enough to tell pairs apart; others can be asked for.
        options |= {"ask": asked, "model": str(find_model()), "segments": options["segments"] or str(MOMENTS)}
        if options["until"] is None and options["preset"] is None:
            options["n_samples"] = options["n_samples"] or "576"
        load_baseline(options, device, {})
        plan, track = load_short_demo()
        model = give_name(settle_answers(load_models(options, device, knows_song=True), track, options))
        explanation = _run(model, track, device, options, output)
    output.show(explanation, track, options["baseline"])
    click.echo(describe_reasons(plan, asked), err=True)


cli.add_command(train)
cli.add_command(corpus)
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


def read_answers(file: Path, device: str) -> "Answers":
    """Those of earlier questions, if there are any."""
    from musiclime_torch.explanation.answers import Answers, load_answers

    return load_answers(file, device) if file.exists() else Answers()


def _run(
    model: Any,
    track: "Track",
    device: str,
    options: dict[str, Any],
    output: Output,
    answers: "Answers | None" = None,
    file: Path | None = None,
) -> "Explanation":
    """Explain with the given options; with the evidence where it is asked for, or played and found in passing.

    What a model prints meanwhile must not get into the result on standard output. `answers` are those of earlier questions,
    and `file` is where they are written together with those of this one.
    """
    from musiclime_torch.basics.progress import Stages
    from musiclime_torch.explanation.answers import save_answers
    from musiclime_torch.explanation.explainer import explain_with as run
    from musiclime_torch.explanation.settings import read_settings
    from musiclime_torch.models.care import module_behind
    from musiclime_torch.models.hashing import hash_weights
    from musiclime_torch.models.subject import name_model

    given = gather(options)
    if file is not None and not hash_weights(module_behind(model)):
        # Before the model runs: nothing could be kept of it.
        raise InputError("--answers needs a model with weights, which tell its answers from another model's: leave it out.")
    settings = output.settle_evidence(model, read_settings({**given, "device": device}))
    say = partial(say_wait, settings, name_model(model), output.plays_evidence)
    explanation = run(model, track, settings, Stages(True, say=say), answers, output.plays_evidence)
    explanation = replace(explanation, provenance=explanation.provenance | {"command": read_command()})
    if answers is not None and file is not None:
        try:
            save_answers(answers, file)
        except InputError as error:
            # The explanation stands, and is shown and written all the same.
            click.echo(f"musiclime: {say_error(error)}", err=True)
    return explanation
