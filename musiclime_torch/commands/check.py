"""`musiclime check`. Nothing heavy is imported before it runs."""

import math
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from os.path import isdir  # pathlib's raises for names that are too long
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.arguments import read_separator
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import refuse_file
from musiclime_torch.commands.baselines import load_baseline
from musiclime_torch.commands.help import SongCommand
from musiclime_torch.commands.options import (
    LOADING,
    default_device,
    explain_options,
    gather,
    loading_options,
    names_model,
    pop_given,
    tell_of_demo_model,
)
from musiclime_torch.commands.output import LONG, SHORT, say_duration, say_separation
from musiclime_torch.commands.questions import load_models
from musiclime_torch.commands.refusals import refuse_early, refuse_for_model, refuse_segments
from musiclime_torch.song.manifest import Entry, is_manifest, read_manifest

if TYPE_CHECKING:
    from musiclime_torch.basics.progress import Forecast
    from musiclime_torch.explanation.settings import Settings
    from musiclime_torch.faithfulness.checking import Check
    from musiclime_torch.song.track import Track


@click.command(
    cls=SongCommand,
    examples=(
        "musiclime check song.flac --model musicnn-minilm",
        "musiclime check songs/*.flac --model my.module:model --out check",
    ),
)
@click.argument("songs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--demo", is_flag=True, help="Check the embedded song, and with no --model the embedded model.")
@loading_options
@click.option("--chances", type=click.IntRange(min=2), help="Number of random attributions to compare with.  [default: 10]")
@click.option(
    "--seeds", type=click.IntRange(min=0), help="Explanations under other seeds, for stability.  [default: 3; 0 for none]"
)
@click.option("--no-shuffle", is_flag=True, help="Leave out the model with shuffled weights.")
@explain_options("--evidence", "--edits")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for check.json and check.txt.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="On standard output.")
def check(songs: tuple[Path, ...], demo: bool, out: Path | None, form: str, **options: Any) -> None:
    """Are explanations faithful? Explain SONGS, or those of a manifest, and test the explanations on the model.

    Each measure is shown beside that of random attributions; several songs give means with intervals over songs.
    """
    if demo == bool(songs):
        raise InputError("give one or more songs or a manifest, or --demo for the embedded song, and not both.")
    refuse_file(out)
    loading = pop_given(options, *LOADING)
    measuring = pop_given(options, "chances", "seeds") | ({"shuffled": ()} if options.pop("no_shuffle") else {})
    strange = [name for name in ("evidence", "edits") if options.pop(name)]
    if strange:
        raise InputError(f"--{strange[0]} isn't measured by check: use explain.")
    # Of several songs a missing one is a row of failures.
    alone = songs if len(songs) == 1 else ()
    refuse_early(options, loading, *(song for song in alone if not is_manifest(song)))
    entries = _list_entries(songs, loading)
    device = options.pop("device") or default_device()
    with redirect_stdout(sys.stderr):
        if not demo:
            tell_of_demo_model(options)
        elif options["target"] is None and not names_model(options):
            options["target"] = "anthem"  # as `musiclime demo` explains it
        for entry in entries if len(entries) == 1 else ():
            if isinstance(entry.audio, Path):
                refuse_segments(entry.audio, options, loading)
        model = load_models(options, device)
        refuse_for_model(model, options)
        load_baseline(options, device, {key: loading[key] for key in ("separator", "max_seconds") if key in loading})
        asked = gather(options) | {"device": device}
        checks: list[Check] = []
        errors: dict[str, InputError] = {}
        # One song at a time: a broken file is a row of failures, and the others are still measured.
        for name, track in _load_songs(entries, loading, device):
            try:
                checks.append(_check(model, track, asked, measuring, len(entries)))
            except InputError as error:
                errors[name] = error
    if not checks:
        raise next(iter(errors.values()))
    failures = {name: str(error) for name, error in errors.items()}
    for name, reason in failures.items():
        click.echo(f"{name}: {reason}", err=True)
    _report(checks, failures, out, form)


def _list_entries(songs: tuple[Path, ...], loading: dict[str, Any]) -> list[Entry]:
    """The songs, those of manifests among them; none for the embedded one. InputError for options that don't fit them."""
    entries: list[Entry] = []
    for song in songs:
        entries += read_manifest(song) if is_manifest(song) else [Entry(str(song), audio=song)]
    single = next((name for name in ("lyrics", "stems", "start", "end") if name in loading), None)
    if len(entries) > 1 and single is not None:
        raise InputError(
            f"--{single} is for one song, and {len(entries)} were given: write a manifest with one row per song."
        )
    # Bands are cut from stems too.
    separates = "separator" in loading and read_separator(loading["separator"])[0]
    if separates and ("stems" in loading or any(map(isdir, songs))):
        raise InputError(
            f"--separator {loading['separator']} and stems at once: songs with their own stems aren't separated."
        )
    return entries


def _load_songs(entries: list[Entry], loading: dict[str, Any], device: str) -> Iterator[tuple[str, "Track | str"]]:
    """Every song by its name, or why it can't be loaded; without songs the embedded one."""
    from musiclime_torch.basics.progress import Stages
    from musiclime_torch.corpus.runs.ahead import load_entry
    from musiclime_torch.demo.bundle import load_demo_track

    if not entries:
        yield "demo song", load_demo_track()
    given = dict(loading)
    files = {name: given.pop(name) for name in ("lyrics", "stems") if name in given}
    for entry in entries:
        stages = Stages(True, say=say_separation)
        yield entry.id, load_entry(replace(entry, **files), given | {"device": device, "progress": stages})


def _check(model: Any, track: "Track | str", asked: dict[str, Any], measuring: dict[str, Any], songs: int) -> "Check":
    from musiclime_torch.basics.progress import Stages
    from musiclime_torch.explanation.answers import Answers, identify_songs
    from musiclime_torch.explanation.explainer import explain_with
    from musiclime_torch.explanation.settings import read_settings
    from musiclime_torch.faithfulness.checking import check as measure
    from musiclime_torch.models.subject import name_model
    from musiclime_torch.song.track import fold_quiet

    if isinstance(track, str):
        raise InputError(track)
    answers, settings = Answers(), read_settings(asked)
    track = track if settings.residual else fold_quiet(track)
    click.echo(f"{track.title}: {track.source}", err=True)
    windows = math.ceil(track.seconds / (getattr(model, "max_seconds", None) or track.seconds))
    say = partial(say_check, settings, name_model(model), measuring, windows, songs)
    stages = Stages(True, say=say, about=track.title if songs > 1 else "")
    explanation = explain_with(model, track, settings, stages, answers)
    baseline = asked.get("baseline")
    borrowed = baseline if identify_songs("silence" if baseline is None else baseline) else None
    try:
        return measure(
            model,
            track,
            explanation,
            baseline=borrowed,
            device=asked["device"],
            answers=answers,
            progress=stages,
            **measuring,
        )
    except InputError as error:
        # The only argument that has an option of another form here.
        if error.argument == "shuffled":
            raise InputError(str(error).replace("shuffled=()", "--no-shuffle")) from error
        raise


def say_check(
    settings: "Settings", model: str, measuring: dict[str, Any], windows: int, songs: int, forecast: "Forecast"
) -> str:
    """What a check of so many songs will do, about how long it takes and what would shorten it; "" for a few seconds.

    `windows` are those of a song, and `forecast` is of the explanation alone.
    """
    from musiclime_torch.faithfulness.checking import CHANCES, SEEDS, count_masks

    again = measuring.get("seeds", SEEDS) + len(measuring.get("shuffled", (1.0,)))
    # Of a hundred components, which take as many masks as any more. Where every rendering was run, each has its answer.
    known = not forecast.at_most and settings.n_samples is None
    masks = 0 if known else windows * count_masks(100, measuring.get("chances", CHANCES))
    passes = songs * (forecast.passes * (1 + again) + masks)
    seconds = forecast.seconds * passes / max(forecast.passes, 1)
    if seconds < SHORT:
        return ""
    named = f"{songs} songs, explained {1 + again} times each" if songs > 1 else f"{1 + again} explanations"
    said = f"{named}: {'up to ' * forecast.at_most}{passes:,} forward passes of {model}, about {say_duration(seconds)}"
    long = "This takes long, and Ctrl-C stops it: " if seconds > LONG else ""
    return f"{long}{said}. Shorter with --seeds 1, --no-shuffle or a part of the song (--start, --end)."


def _report(checks: list["Check"], failures: dict[str, str], out: Path | None, form: str) -> None:
    """One song's measures, or the means over several, on standard output and into a folder."""
    from rich.console import Console

    from musiclime_torch.basics.files import write_atomically
    from musiclime_torch.faithfulness import summary

    if len(checks) > 1:
        means = summary.summarise(checks)
        shown, record = summary.tabulate_means(means), summary.to_records(means, checks, failures)
    else:
        shown, record = summary.tabulate(checks[0]), summary.to_record(checks[0]) | {"failures": failures}
    text = summary.to_json(record)
    if out is not None:
        write_atomically(text.encode() + b"\n", out / "check.json", "out")
        write_atomically(summary.to_text(shown).encode(), out / "check.txt", "out")
    if form == "json":
        click.echo(text)
    else:
        Console().print(shown)
    if out is not None:
        click.echo(f"Written to {out}.", err=True)
