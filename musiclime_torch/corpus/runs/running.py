"""A job run in this process, or in the ranks of torchrun and Slurm, shard by shard; and one shard explained, which every
launcher calls. What a launcher did of a job is counted here too.
"""

import functools
import hashlib
import os
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from musiclime_torch.basics.arguments import find_class
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Forecast, SongBar, Stages
from musiclime_torch.corpus.runs.ahead import load_ahead
from musiclime_torch.corpus.runs.controls import is_chosen, make_control
from musiclime_torch.corpus.runs.job import (
    Begun,
    Job,
    check_weights,
    clear_leftovers,
    close_job,
    write_shard,
)
from musiclime_torch.corpus.runs.shards import PAGES, Place, Shard, find_place, place_page
from musiclime_torch.corpus.runs.sharing import SharedModel
from musiclime_torch.corpus.runs.tables import Rows
from musiclime_torch.explanation.explainer import explain_with
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.lessons import write_lesson
from musiclime_torch.explanation.settings import read_asked_classes
from musiclime_torch.models.care import evaluating, hash_weights, keeping_random_states, module_behind
from musiclime_torch.models.students import Student, load_student
from musiclime_torch.song.manifest import Entry
from musiclime_torch.song.track import Track, fold_quiet
from musiclime_torch.views.page.song import write_report


@dataclass(frozen=True)
class Progress:
    """What a launcher did: songs explained and failed now, songs of shards that were done before.

    `failed_before` of the latter had failed; `changed` are the ids of the others whose files were written to since.
    """

    explained: int
    failed: int
    before: int
    failed_before: int
    first_failure: str
    changed: tuple[str, ...]

    def followed_by(self, rest: "Progress") -> "Progress":
        """A part of the job, and what then did the rest, to which the part's songs were done before."""
        return replace(
            rest,
            explained=rest.explained + self.explained, failed=rest.failed + self.failed,
            before=rest.before - self.explained - self.failed, failed_before=rest.failed_before - self.failed,
            first_failure=self.first_failure or rest.first_failure,
        )  # fmt: skip


@dataclass
class Tally:
    """Counts while a launcher runs, which `close` turns into a `Progress`."""

    explained: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        """A shard that has been written."""
        self.explained += len(rows.tables["songs"])
        self.failures += [row["reason"] for row in rows.tables["failures"]]

    def close(self, job: Job, before: Sequence[Shard]) -> Progress:
        """All of it, with what is known of the shards that were done before."""
        failed = {row["id"]: row["reason"] for shard in before for row in job.read_failures(shard)}
        return Progress(
            explained=self.explained,
            failed=len(self.failures),
            before=count_songs(before),
            failed_before=len(failed),
            first_failure=next(iter([*self.failures, *failed.values()]), ""),
            changed=_find_changed(job, before, failed),
        )


def _find_changed(job: Job, shards: Sequence[Shard], failed: Container[str]) -> tuple[str, ...]:
    """Ids of songs whose files are newer than their results, except those that failed, whose files may have been repaired.

    Hashing a catalogue again would take hours. Files that were replaced with their old times aren't found, nor files that
    were overwritten within a folder of stems.
    """
    changed = []
    for shard in shards:
        written = _find_time(job.out / "songs" / shard.file)
        for entry in shard.entries:
            files = [value for value in (entry.audio, entry.lyrics, entry.stems) if isinstance(value, Path)]
            if entry.id not in failed and any(_find_time(path) > written for path in files):
                changed.append(entry.id)
    return tuple(changed)


def _find_time(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except (OSError, ValueError):  # gone, or not a valid file name
        return 0


def count_songs(shards: Sequence[Shard]) -> int:
    """Songs in all of them."""
    return sum(len(shard.entries) for shard in shards)


#: Songs that share batches at most: the stems of each lie in memory meanwhile.
TOGETHER = 8

#: A manifest's song, read; or in one sentence why it couldn't be.
Loaded = tuple[Entry, Track | str]


def explain_shard(
    model: Callable[..., Any],
    job: Job,
    songs: Iterable[Loaded],
    advance: Callable[[int], object] = lambda songs: None,
    begun: Begun | None = None,
    follow: Callable[[str], Stages] = lambda song: Stages(),
) -> Rows:
    """Rows of a shard's songs, in their order. Songs whose variants don't fill a batch share batches with others.

    `begun` has the rows of songs that aren't among these, for an earlier run explained them, and keeps those of more.
    `follow` makes the stages of a song, by its id, that is explained by itself.
    """
    rows, rest = Rows() if begun is None else begun.rows, iter(songs)
    together = _count_together(job)
    shared = SharedModel(model, job.settings.batch_size)
    with evaluating(module_behind(model)), keeping_random_states():
        while some := list(islice(rest, together)):
            if len(some) == 1:
                results = [_explain_song(model, job, *some[0], follow(some[0][0].id))]
            else:
                results = shared.run_together([functools.partial(_explain_song, shared, job, *song) for song in some])
            for song in results:
                rows.extend(song)
            advance(len(results))
            if begun is not None:
                begun.keep(rows)
    return rows


def _count_together(job: Job) -> int:
    """How many songs' masks fill a batch."""
    # For crossed designs the smaller side counts: its batches are the ones that stay unfilled.
    counts = job.settings.n_samples
    masks = min(counts) if isinstance(counts, tuple) else job.settings.total
    return min(max(job.settings.batch_size // masks, 1), TOGETHER)


def _explain_song(
    model: Callable[..., Any], job: Job, entry: Entry, track: Track | str, stages: Stages | None = None
) -> Rows:
    rows, started = Rows(), time.perf_counter()
    if isinstance(track, str):
        rows.fail(entry, track)
        return rows
    try:
        track = track if job.settings.residual else fold_quiet(track)
        asked_pairs = _ask_pairs(job)
        settings = replace(job.settings, seed=draw_seed(job.settings.seed, entry.id), interactions=asked_pairs)
        guide, lesson = job.find_proxy(entry.id), job.place_lesson(entry.id)
        student = _load_student(guide, job.settings_hash) if guide else None
        teach = None if lesson is None else functools.partial(write_lesson, path=lesson)
        explanation = explain_with(
            model, track, settings, stages or Stages(), proxy=student, proxy_samples=job.proxy_samples, teach=teach
        )
        predicted = int(explanation.output_song.argmax())
        asked = {predicted, *(find_class(target, explanation.classes) for target in job.targets)}
        if is_chosen(entry.id, job.controls):
            explanation = _control(model, job, entry, track, explanation, rows)
    # A model may raise anything: the song's row among the failures keeps the error's class and message, and the run
    # continues. A broken device is no song's fault and ends the run.
    except Exception as error:
        if _device_failed(error):
            raise
        rows = Rows()
        rows.fail(entry, str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
        return rows
    explanation = replace(explanation, provenance=explanation.provenance | {"command": job.command})
    page = place_page(job.out / PAGES, entry.id) if job.pages else None
    if page is not None:
        write_report(explanation, track, page.parent, baseline=job.settings.baseline)
    chosen = range(len(explanation.classes)) if job.all_classes else sorted(asked)
    rows.add(entry, track, explanation, chosen, time.perf_counter() - started)
    return rows


@functools.lru_cache(maxsize=1)
def _load_student(folder: str, settings_hash: str) -> Student:
    """Once a run, whose hash holds that of the student's weights."""
    return load_student(folder)


def _ask_pairs(job: Job) -> str | tuple[int | str, ...]:
    """Whose interactions are solved: those of the classes that get rows too."""
    asked = read_asked_classes(job.settings.interactions)
    if job.all_classes or asked == "all":
        return "all"
    named = () if isinstance(asked, str) else asked
    return (*named, *job.targets) or "target"


def draw_seed(seed: int, song: str) -> int:
    """A song's own seed, from the run's: under the same masks all songs would share their sampling noise, and a spread over
    songs wouldn't show it.
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {song}".encode()).digest()[:7], "big")


def _device_failed(error: BaseException | None) -> bool:
    """Whether the device failed: it would fail for every later song too, and all would be recorded as failures."""
    while error is not None and not isinstance(error, torch.AcceleratorError):
        error = error.__cause__
    return error is not None


def _control(
    model: Callable[..., Any], job: Job, entry: Entry, track: Track, explanation: Explanation, rows: Rows
) -> Explanation:
    """Add the song as its own control. Where that can't be explained the song still is, and its explanation says so."""
    # The control is cut where the song was, so that a rotated segment is the same stretch of sound as in the song.
    cuts = [edge + track.offset for edge in explanation.components.edges[1:-1]]
    try:
        control = make_control(track, cuts or 1, entry.id)
        settings = replace(
            job.settings,
            seed=draw_seed(job.settings.seed, f"control of {entry.id}"),
            segments=control.edges[1:-1] or 1,
            residual=True,
            target=int(explanation.output_song.argmax()),
        )
        rows.add_control(entry, explain_with(model, control.track, settings), control)
    except InputError as error:
        warning = f"this song has no control: {error}"
        return replace(explanation, warnings=(*explanation.warnings, warning))
    return explanation


#: Processes that read ahead.
WORKERS = 1


def run_here(
    model: Callable[..., Any],
    job: Job,
    *,
    workers: int = WORKERS,
    place: Place | None = None,
    progress: bool = False,
    say: Callable[[Forecast], str] | None = None,
    closing_job: bool = True,
) -> Progress:
    """Explain what is left of a job.

    Args:
        model: as `explain` takes it.
        job: from `begin_job`.
        workers: processes that decode and separate ahead; 0 does both in this one.
        place: which of how many processes this is; None reads it from torchrun's or Slurm's environment.
        progress: show a bar on standard error, if that is a terminal: songs, and the passes of the one that is explained.
        say: a sentence of the forecast of all songs, made while the first is explained; "" for none.
        closing_job: false where these are some of a job's shards, and the others are still to come.

    Raises:
        InputError: the folder can't be written to, or what is done there was done with other weights. A song that fails is a
            row in the job's failures.
    """
    place = place or find_place()
    left, before = job.divide(place.rank, place.world)
    weights = hash_weights(module_behind(model))
    check_weights(job, weights)
    clear_leftovers(job, left + before, alone=place.world == 1)
    tally = Tally()
    done = [Begun(job, shard, weights).done for shard in left]
    rest = [[entry for entry in shard.entries if entry.id not in ids] for shard, ids in zip(left, done, strict=True)]
    with (
        closing(load_ahead([entry for entries in rest for entry in entries], job.loading, workers)) as songs,
        SongBar(count_songs(left), progress, say) as bar,
    ):
        for shard, entries in zip(left, rest, strict=True):
            # Read again in its turn: kept all together, the rows would grow with the catalogue.
            kept = Begun(job, shard, weights)
            bar.finish(len(shard.entries) - len(entries))
            rows = explain_shard(model, job, islice(songs, len(entries)), bar.finish, kept, bar.follow)
            write_shard(job, shard, rows)
            kept.remove()
            tally.add(rows)
    if closing_job:
        close_job(job)
    return tally.close(job, before)
