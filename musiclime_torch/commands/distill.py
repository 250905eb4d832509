"""`musiclime distill`: a student learned over a catalogue, for --proxy. Nothing heavy is imported before it runs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from os.path import isdir, isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import refuse_file
from musiclime_torch.commands.help import Grouped
from musiclime_torch.commands.options import (
    catalogue_options,
    default_device,
    distill_options,
    gather,
    names_model,
    pop_given,
)
from musiclime_torch.commands.questions import load_models
from musiclime_torch.commands.refusals import refuse_early
from musiclime_torch.song.manifest import Entry, read_folder, read_manifest

if TYPE_CHECKING:
    from musiclime_torch.corpus.runs.job import Job
    from musiclime_torch.corpus.runs.running import Progress
    from musiclime_torch.models.students import Student
    from musiclime_torch.song.track import Track


#: Masks of each song's sound that the model answers for a student, and of its lyrics where it encodes these apart.
MASKS = 256


@click.command(
    cls=Grouped,
    examples=(
        "musiclime distill songs.csv --model musicnn --start 30 --end 33 --segments 10 --out student",
        "musiclime distill songs --model my.module:model --separator hpss --most 96 --out student",
    ),
)
@click.argument("songs", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the student.")
@catalogue_options
@click.option("--most", type=click.IntRange(min=1), default=64, show_default=True, metavar="SONGS", help="Songs at most.")
@click.option(
    "--masks",
    type=click.IntRange(min=1),
    default=MASKS,
    show_default=True,
    help="Masks of each song's sound, and of its lyrics at least.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=25, show_default=True, help="Rounds of training.")
@distill_options
def distill(songs: Path, out: Path, most: int, masks: int, epochs: int, **options: Any) -> None:
    """Train a student of a model on SONGS, a folder or a manifest, for later runs' --proxy.

    The model answers some masks of each song's sound and, where it encodes lyrics apart, of these. One song in five is held
    out: the student is judged on these, side by side, and has only the sides that pay.
    """
    if not names_model(options):
        raise InputError("a student needs a model to learn from: give --model, --audio-model or --text-model.")
    refuse_file(out)
    loading = pop_given(options, "separator", "start", "end", "max_seconds")
    options |= {"target": None, "foil": None, "preset": None}
    refuse_early(options, loading)
    entries = (read_folder(songs) if isdir(songs) else read_manifest(songs))[:most]
    device = options.pop("device") or default_device()
    with redirect_stdout(sys.stderr):
        from musiclime_torch.basics.progress import Stages
        from musiclime_torch.explanation.settings import read_settings
        from musiclime_torch.training.distilling import Training, distill as learn

        model = load_models(options, device)
        settings = read_settings({**gather(options), "device": device})
        student = learn(
            model, _read_tracks(entries, loading), settings, masks, Training(epochs, seed=settings.seed), Stages(True)
        )
        student.save(out)
    _report(student.recipe, out)


def _read_tracks(entries: Sequence[Entry], loading: dict[str, Any]) -> Iterator["Track"]:
    """Songs one after the other; what can't be read is left out, and said."""
    from musiclime_torch.corpus.runs.ahead import load_entry

    for entry in entries:
        track = load_entry(entry, loading)
        if isinstance(track, str):
            click.echo(f"{entry.id} is left out: {track}", err=True)
        else:
            yield track


def _report(recipe: Any, out: Path) -> None:
    """On standard output, or on standard error inside another command."""
    sides = [
        ("the sound's", recipe.rho2, recipe.gain, recipe.masks, recipe.hears),
        ("the lyrics'", recipe.lyrics_rho2, recipe.lyrics_gain, recipe.lyrics_masks, recipe.reads),
    ]
    names = recipe.classes or tuple(f"output {number}" for number in range(recipe.n_outputs))
    for side, shares, gain, masks, learned in sides:
        if not learned:
            continue
        click.echo(f"On held-out songs the student explains, of what {side} main effects leave over:")
        for name, share in zip(names, shares, strict=True):
            click.echo(f"  {name}: {100 * share:.0f}%")
        click.echo(f"Their squared errors should be {gain:.1f} times lower with it. Learned from {masks} masks.")
    click.echo(f"Learned from {recipe.songs} songs. Written to {out}; use it with --proxy {out}.")


def teach_first(model: Any, job: "Job", run: Callable[["Job"], "Progress"]) -> "Progress":
    """Explain the songs of a job that teach its student, and train it on what the model said of them; or write why none of
    it would pay. A run that is resumed goes on as it began.
    """
    from shutil import rmtree  # not at the start: --help does without it

    from musiclime_torch.basics.files import writing_atomically
    from musiclime_torch.corpus.runs.job import NO_STUDENT

    done, reason = run(job.teaching), job.student / NO_STUDENT
    if not isfile(job.student / "student.json") and not isfile(reason):
        try:
            student = _learn_from_run(model, job)
            student.save(job.student)
            _report(student.recipe, job.student)
        except InputError as error:
            job.student.mkdir(parents=True, exist_ok=True)
            with writing_atomically(reason) as partial:
                partial.write_text(f"{error}\n", encoding="utf-8")
    rmtree(job.student / "lessons", ignore_errors=True)
    if isfile(reason):
        click.echo(f"No student guides this run: {reason.read_text(encoding='utf-8').strip()}", err=True)
    return done


def _learn_from_run(model: Any, job: "Job") -> "Student":
    """The student of the lessons that were written, in the order of the songs."""
    from musiclime_torch.explanation.lessons import read_lesson
    from musiclime_torch.explanation.planning import describe_asked
    from musiclime_torch.training.distilling import Training, distill_lessons

    subject, _ = describe_asked(model, job.settings)
    if "audio" not in subject.modalities:
        raise InputError(f"a student hears, and {subject.name} doesn't.")
    places = (job.place_lesson(entry.id) for shard in job.teaching.shards for entry in shard.entries)
    lessons = [read_lesson(place) for place in places if place is not None and isfile(place)]
    return distill_lessons(subject, lessons, Training(seed=job.settings.seed))
