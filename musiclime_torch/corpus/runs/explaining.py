"""One shard explained: what every launcher calls."""

import functools
import hashlib
import inspect
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from musiclime_torch.basics.arguments import find_class
from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.runs.controls import is_chosen, make_control
from musiclime_torch.corpus.runs.job import Job
from musiclime_torch.corpus.runs.sharing import SharedModel
from musiclime_torch.corpus.runs.tables import Rows
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.models.care import evaluating, keeping_random_states, module_behind
from musiclime_torch.song.manifest import Entry
from musiclime_torch.song.track import Track

#: Songs that share batches at most: the stems of each lie in memory meanwhile.
TOGETHER = 8

#: A manifest's song, read; or in one sentence why it couldn't be.
Loaded = tuple[Entry, Track | str]

#: `explain`'s own defaults, which live there alone.
_DEFAULTS = {name: one.default for name, one in inspect.signature(explain).parameters.items()}


def explain_shard(
    model: Callable[..., Any], job: Job, songs: Iterable[Loaded], advance: Callable[[int], object] = lambda songs: None
) -> Rows:
    """Rows of a shard's songs, in their order. Songs whose variants don't fill a batch share batches with others."""
    rows, rest = Rows(), iter(songs)
    together = _count_together(job)
    shared = SharedModel(model, _find(job, "batch_size"))
    with evaluating(module_behind(model)), keeping_random_states():
        while some := list(islice(rest, together)):
            if len(some) == 1:
                found = [_explain_song(model, job, *some[0])]
            else:
                found = shared.run_together([functools.partial(_explain_song, shared, job, *one) for one in some])
            for one in found:
                rows.extend(one)
            advance(len(found))
    return rows


def _count_together(job: Job) -> int:
    """How many songs' masks fill a batch."""
    asked = _find(job, "n_samples")
    masks = asked if isinstance(asked, int) else min(asked)
    return min(max(_find(job, "batch_size") // max(masks, 1), 1), TOGETHER)


def _find(job: Job, name: str) -> Any:
    return job.options.get(name, _DEFAULTS[name])


def _explain_song(model: Callable[..., Any], job: Job, entry: Entry, found: Track | str) -> Rows:
    rows, started = Rows(), time.perf_counter()
    if isinstance(found, str):
        rows.fail(entry, found)
        return rows
    try:
        explanation = explain(model, found, **{**job.options, "seed": draw_seed(_find(job, "seed"), entry.id)})
        predicted = int(explanation.output_song.argmax())
        asked = {predicted, *(find_class(target, explanation.classes) for target in job.targets)}
        if is_chosen(entry.id, job.controls):
            explanation = _control(model, job, entry, found, explanation, rows)
    # The model is anybody's, and so are its errors: the song's row among the failures keeps class and words, and the run
    # goes on. A broken device is no song's fault, and does end it.
    except Exception as error:
        if _device_failed(error):
            raise
        rows = Rows()
        rows.fail(entry, str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
        return rows
    chosen = range(len(explanation.classes)) if job.all_classes else sorted(asked)
    rows.add(entry, found, explanation, chosen, time.perf_counter() - started)
    return rows


def draw_seed(seed: int, song: str) -> int:
    """A song's own seed, from the run's: under the same masks all songs would share their sampling noise, and a spread over
    songs wouldn't show it.
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {song}".encode()).digest()[:7], "big")


def _device_failed(error: BaseException | None) -> bool:
    """Whether it was the device, which then fails for every song after: they would all be failures, and done."""
    while error is not None and not isinstance(error, torch.AcceleratorError):
        error = error.__cause__
    return error is not None


def _control(
    model: Callable[..., Any], job: Job, entry: Entry, track: Track, explanation: Explanation, rows: Rows
) -> Explanation:
    """Add the song as its own control. Where that can't be explained the song still is, and its explanation says so."""
    cuts = [edge + track.offset for edge in explanation.components.edges[1:-1]]
    try:
        control = make_control(track, cuts or 1, entry.id)
        again = {
            **job.options,
            "seed": draw_seed(_find(job, "seed"), f"control of {entry.id}"),
            "segments": control.edges[1:-1] or 1,
            "target": int(explanation.output_song.argmax()),
        }
        rows.add_control(entry, explain(model, control.track, **again), control)
    except InputError as error:
        told = f"there is no control of this song: {error}"
        return replace(explanation, warnings=(*explanation.warnings, told))
    return explanation
