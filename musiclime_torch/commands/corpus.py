"""`musiclime corpus`. Nothing heavy is imported before it runs."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from os import environ
from os.path import isdir, isfile, join
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.arguments import find_class
from musiclime_torch.basics.errors import InputError, needing, require
from musiclime_torch.basics.files import refuse_file
from musiclime_torch.commands.distill import teach_first
from musiclime_torch.commands.help import Grouped
from musiclime_torch.commands.models import redact_name
from musiclime_torch.commands.options import (
    MODEL_NAMES,
    catalogue_options,
    default_device,
    explain_options,
    gather,
    names_model,
    pop_given,
    proxy_options,
    read_command,
    split,
)
from musiclime_torch.commands.output import LONG, SHORT, say_duration
from musiclime_torch.commands.questions import load_models, prefer_sums
from musiclime_torch.commands.refusals import list_takes, refuse_early, refuse_for_model
from musiclime_torch.song.manifest import read_folder, read_manifest

if TYPE_CHECKING:
    from musiclime_torch.basics.progress import Forecast
    from musiclime_torch.corpus.runs.job import Job
    from musiclime_torch.corpus.runs.running import Progress


@click.command(
    cls=Grouped,
    examples=(
        "musiclime corpus songs --model musicnn-minilm --start 30 --end 60 --out run",
        "torchrun --nproc-per-node 4 -m musiclime_torch corpus songs.csv --model my.module:model --out run",
    ),
)
@click.argument("songs", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the tables.")
@catalogue_options
@click.option("--all-classes", is_flag=True, help="Write every class, not only the predicted one and --target A,B.")
@click.option("--shard-size", type=click.IntRange(min=1), metavar="SONGS", help="Songs per shard, written together.")
@click.option("--controls", type=click.FloatRange(0, 1), metavar="SHARE", help="Songs also explained as their own control.")
@click.option("--pages", is_flag=True, help="Write every song's own page, which the catalogue's page links to.")
@click.option("--retry", is_flag=True, help="Retry songs that failed, for example after their files were repaired.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that decode and separate songs ahead.  [default: 1]")
@click.option(
    "--engine",
    type=click.Choice(["here", "ray"]),
    default="here",
    show_default=True,
    help="Where to run: in this process, or on Ray.",
)
@click.option("--actors", type=click.IntRange(min=1), help="Ray: number of processes with the model.  [default: 1]")
@click.option("--gpus", type=click.FloatRange(min=0), help="Ray: GPUs per actor.  [default: 1 with --device cuda]")
@click.option(
    "--output",
    type=click.Choice(["object-store", "filesystem"]),
    help="Ray: results are written by this process, or by the actors.",
)
@proxy_options
@click.option(
    "--distill",
    type=click.IntRange(min=1),
    metavar="SONGS",
    help="Train a student on the passes that the first so many songs take anyway, into OUT/student, and guide the others' "
    "explanations with it.",
)
@explain_options("--foil", "--evidence", "--edits")
def corpus(songs: Path, out: Path, engine: str, **options: Any) -> None:
    """Explain every one of SONGS, a folder or a manifest (.csv, .tsv, .jsonl or .parquet); run it again to resume.

    In a folder each sound file is a song, named by its path, with the lyrics of its name beside it (song.flac, song.lrc).

    Under torchrun, or in a Slurm array, every process takes its share of the shards. --engine ray spreads them over a
    cluster.
    """
    running = _pick_engine(engine, options)
    _refuse_questions_of_one_song(options)
    if not names_model(options):
        raise InputError("a catalogue needs a model: give --model, --audio-model or --text-model.")
    refuse_file(out)
    cheap, taught = _take_student(options), options.pop("distill")
    _refuse_distill(taught, cheap)
    loading = pop_given(options, "separator", "start", "end", "max_seconds")
    prefer_sums(options)
    refuse_early(options, loading)
    entries = read_folder(songs) if isdir(songs) else read_manifest(songs)
    for package in ("pyarrow", "duckdb"):
        require(package, "musiclime_torch[corpus]")
    if engine == "ray":
        require("ray", "musiclime_torch[ray]")
    device = options.pop("device") or default_device()
    naming = {name: options.pop(name) for name in MODEL_NAMES}
    about = {name: redact_name(given) if name == "model" else given for name, given in naming.items() if given}
    load = partial(_load, naming | {"classes": options["classes"], "target": options["target"], "foil": None}, device)
    with redirect_stdout(sys.stderr):
        with needing("musiclime_torch[corpus]"):
            from musiclime_torch.corpus.runs.ahead import prepare_readers
            from musiclime_torch.corpus.runs.job import begin_job
        if engine == "here" and running.get("workers") != 0:
            prepare_readers()
        # A model that can't be loaded is refused before a folder is begun; on Ray every actor loads its own.
        model = None if engine == "ray" and taught is None else load()
        if model is not None:
            refuse_for_model(model, options | {"target": None})
        request = _read_request(model, options, device)
        job = begin_job(
            entries,
            out,
            **request,
            **cheap,
            loading=loading,
            about=about,
            command=read_command(),
            taught=taught or 0,
        )
        # The songs that teach are explained here under every engine.
        teaching = partial(_run_here, model, running=running if engine == "here" else {"workers": 0}, closing_job=False)
        begun = None if taught is None else teach_first(model, job, teaching)
        done = _run_on_ray(load, job, device, running) if engine == "ray" else _run_here(model, job, running)
        done = done if begun is None else begun.followed_by(done)
    _report(done, out)


def _load(naming: dict[str, Any], device: str) -> Any:
    """The model; its names are still there for whoever loads it again."""
    return load_models(dict(naming), device)


def _pick_engine(engine: str, options: dict[str, Any]) -> dict[str, Any]:
    """Take the engines' options out of those given; those of the chosen one. InputError for one of the other's."""
    running = {"here": pop_given(options, "workers"), "ray": pop_given(options, "actors", "gpus", "output")}
    strange = next((name for other, given in running.items() if other != engine for name in given), None)
    if strange is not None:
        raise InputError(f"--{strange} is not for --engine {engine}: leave one of them out.")
    return running[engine]


def _take_student(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `begin_job` for a proxy; InputError for one that isn't a student."""
    given = pop_given(options, "proxy", "proxy_samples")
    if "proxy" in given and not isfile(join(given["proxy"], "student.json")):
        raise InputError(
            f"--proxy {given['proxy']!r} holds no student, and a catalogue takes no other proxy: make one with musiclime "
            "distill."
        )
    if given and "proxy" not in given:
        raise InputError("--proxy-samples needs a proxy: give --proxy.")
    return given


def _refuse_distill(taught: int | None, cheap: dict[str, Any]) -> None:
    if taught is not None and cheap:
        raise InputError("--distill trains a student of its own: leave --proxy out.")
    if taught is not None and (int(environ.get("WORLD_SIZE", 1)) > 1 or "SLURM_PROCID" in environ):
        raise InputError("--distill trains in one process: run musiclime distill first, and give --proxy to all of them.")


def _refuse_questions_of_one_song(options: dict[str, Any]) -> None:
    """InputError for options that ask about a single song; those that aren't asked for are taken out."""
    if options.pop("foil") is not None or any([options.pop("evidence"), options.pop("edits")]):
        raise InputError("--foil, --evidence and --edits are questions about one song: use explain.")
    if list_takes(options):
        raise InputError(
            f"--baseline {options['baseline']!r} belongs to one song: give silence or noise, or an edit such as '-12 dB'."
        )
    words = options["lyrics_baseline"]
    if words is not None and "=" in words:
        raise InputError(f"--lyrics-baseline {words!r} belongs to one song's words: give a name, or guess:MODEL.")


def _read_request(model: Any, options: dict[str, Any], device: str) -> dict[str, Any]:
    """Arguments of `begin_job` from the options; InputError for a class that the model doesn't know."""
    cutting = pop_given(options, "shard_size", "controls", "retry", "pages")
    all_classes, target = options.pop("all_classes"), options.pop("target")
    settings, targets = {**gather(options), "device": device}, () if target is None else split(target)
    known: tuple[str, ...] = tuple(settings.get("classes") or getattr(model, "classes", None) or ())
    for name in targets if known else ():
        find_class(name, known)
    return {"options": settings, "targets": targets, "all_classes": all_classes, **cutting}


def _run_here(model: Any, job: "Job", running: dict[str, Any], closing_job: bool = True) -> "Progress":
    from musiclime_torch.corpus.runs.running import run_here

    return run_here(model, job, progress=True, say=say_corpus, closing_job=closing_job, **running)


def say_corpus(forecast: "Forecast") -> str:
    """About how long so many songs take, and what would shorten it; "" for a few seconds."""
    if forecast.seconds < SHORT or forecast.passes < 2:
        return ""
    each = say_duration(forecast.seconds / forecast.passes)
    at_most = "at most " * forecast.at_most
    said = f"{forecast.passes:,} songs, {at_most}about {each} each if they are like the first: {at_most}about "
    said += f"{say_duration(forecast.seconds)}. "
    # Where every rendering is asked about once, only fewer of them are shorter.
    fewer = ", fewer --segments or --until 'top 5'" if forecast.at_most else " or fewer stems (--separator hpss or none)"
    ways = f"a part of every song (--start, --end){fewer}"
    if forecast.seconds > LONG:
        return f"This takes long: {said}Ctrl-C stops it, and the same command goes on from there. Shorter with {ways}."
    return f"{said}Shorter with {ways}."


def _run_on_ray(load: Callable[[], Any], job: "Job", device: str, running: dict[str, Any]) -> "Progress":
    with needing("musiclime_torch[ray]"):
        from musiclime_torch.corpus.runs.on_ray import run_on_ray
    gpus = {} if device == "cpu" else {"gpus": 1.0}
    return run_on_ray(load, job, progress=True, **{**gpus, **running})


def _report(done: "Progress", out: Path) -> None:
    """What was done, on standard error; InputError where no song could be explained."""
    summary = f"{done.explained} songs explained, {done.failed} failed, {done.before} done before"
    summary += f" ({done.failed_before} of them failed)." if done.failed_before else "."
    click.echo(f"{summary} Written to {out}.", err=True)
    if done.changed:
        summary = f"Songs whose files were changed since: {len(done.changed)}, {done.changed[0]!r} the first of them"
        click.echo(f"{summary}. Another --out folder explains them again.", err=True)
    if done.failed + done.failed_before:
        summary = f"The first failure: {done.first_failure} The same command with --retry tries them again."
        if done.explained + done.before == done.failed_before:
            raise InputError(f"no song could be explained. {summary}")
        click.echo(summary, err=True)
