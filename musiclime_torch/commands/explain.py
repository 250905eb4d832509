"""`musiclime explain`, `predict` and `demo`: one song. Nothing heavy is imported before they run.

Standard output carries the result alone; notes and progress go to standard error. Options that weren't given aren't passed
on: the defaults are those of `explain` and `load_track`.
"""

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from os.path import isdir
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.baselines import load_baseline
from musiclime_torch.commands.help import Grouped, SongCommand
from musiclime_torch.commands.models import load_proxy, refuse_proxy
from musiclime_torch.commands.options import (
    ASKING,
    LOADING,
    default_device,
    explain_options,
    gather,
    loading_options,
    names_model,
    output_options,
    pop_given,
    predict_options,
    proxy_options,
    read_command,
    tell_of_demo_model,
    tell_of_lyrics,
)
from musiclime_torch.commands.output import Output, plan_output, say_separation, say_wait
from musiclime_torch.commands.questions import load_models, prefer_sums, refuse_both, settle_answers
from musiclime_torch.commands.refusals import (
    refuse_early,
    refuse_for_model,
    refuse_segments,
    refuse_stand_ins,
    say_error,
)

if TYPE_CHECKING:
    from musiclime_torch.explanation.answers import Answers
    from musiclime_torch.explanation.explanation import Explanation
    from musiclime_torch.song.track import Track


@click.command(
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
@proxy_options
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
    refuse_proxy(options["proxy"])
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
        cheap = load_proxy(options, device)
        explanation = _run(model, track, device, options, output, kept, answers, cheap)
    output.show(explanation, track, options["baseline"])
    return track


@click.command(
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


@click.command(
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
    if options["ask"] and not names_model(options):
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

        asked = tuple(map(find_question, options["ask"]))
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
    for question in asked:
        about = f"{question} " if len(asked) > 1 else ""
        click.echo(f"{about}{describe_reasons(plan, question)}", err=True)


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
    proxy: Mapping[str, Any] = MappingProxyType({}),
) -> "Explanation":
    """Explain with the given options; with the evidence where it is asked for, or played and found in passing.

    What a model prints meanwhile must not get into the result on standard output. `answers` are those of earlier questions,
    and `file` is where they are written together with those of this one. `proxy` are the arguments for one.
    """
    from musiclime_torch.basics.progress import Stages
    from musiclime_torch.explanation.answers import save_answers
    from musiclime_torch.explanation.explainer import explain_with as run
    from musiclime_torch.explanation.settings import read_settings
    from musiclime_torch.models.care import hash_weights, module_behind
    from musiclime_torch.models.subject import name_model

    given = gather(options)
    if file is not None and not hash_weights(module_behind(model)):
        # Before the model runs: nothing could be kept of it.
        raise InputError("--answers needs a model with weights, which tell its answers from another model's: leave it out.")
    settings = output.settle_evidence(model, read_settings({**given, "device": device}))
    say = partial(say_wait, settings, name_model(model), output.plays_evidence)
    explanation = run(model, track, settings, Stages(True, say=say), answers, output.plays_evidence, **proxy)
    explanation = replace(explanation, provenance=explanation.provenance | {"command": read_command()})
    if answers is not None and file is not None:
        try:
            save_answers(answers, file)
        except InputError as error:
            # The explanation stands, and is shown and written all the same.
            click.echo(f"musiclime: {say_error(error)}", err=True)
    return explanation
