"""A job run by Ray Data: songs are read by tasks on the CPUs, shards explained by actors that hold the model.

Results come back through the object store and are written here, or are written where the actors run, to a folder that all
nodes share. Shards are the same as under any other launcher, so that a run begun under one can be resumed under another.
"""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import ray
import ray.data

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import SongBar
from musiclime_torch.corpus.runs.ahead import AHEAD, DEATHS, load_light, unpack
from musiclime_torch.corpus.runs.job import (
    Job,
    check_weights,
    clear_leftovers,
    close_job,
    write_shard,
)
from musiclime_torch.corpus.runs.running import Loaded, Progress, Tally, count_songs, explain_shard
from musiclime_torch.corpus.runs.shards import Shard
from musiclime_torch.corpus.runs.tables import Rows
from musiclime_torch.models.care import hash_weights, module_behind
from musiclime_torch.song.manifest import Entry

Output = Literal["object-store", "filesystem"]


def run_on_ray(
    make_model: Callable[[], Callable[..., Any]],
    job: Job,
    *,
    actors: int = 1,
    gpus: float = 0.0,
    output: Output = "object-store",
    progress: bool = False,
) -> Progress:
    """Explain what is left of a job on a Ray cluster: the one that is connected to, or else this machine.

    Args:
        make_model: loads the model, once in every actor; it must be importable, or pickle.
        job: from `begin_job`.
        actors: processes that explain, each with its own model.
        gpus: GPUs of each actor.
        output: who writes: this process, or ("filesystem") the actors, into the job's folder, which they must share.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        InputError: fewer than one actor, the folder can't be written to, or what is done there was done with other weights.
    """
    if actors < 1:
        raise InputError(f"actors must be at least 1, got {actors}.", argument="actors")
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    job = _settle_paths(job)
    ray.data.DataContext.get_current().enable_progress_bars = False
    undone, before = job.divide()
    clear_leftovers(job, job.shards, alone=True)
    left, tally = {shard.number: shard for shard in undone}, Tally()
    with SongBar(count_songs(undone), progress) as bar:
        for number, tables in _stream(make_model, job, list(left), min(actors, max(len(left), 1)), gpus, output):
            rows = Rows(tables)
            if output == "object-store":
                write_shard(job, left[number], rows)
            tally.add(rows)
            bar.finish(len(left[number].entries))
    close_job(job)
    return tally.close(job, before)


def _settle_paths(job: Job) -> Job:
    """The job with absolute paths, which mean the same wherever a process runs."""
    shards = tuple(replace(shard, entries=tuple(_settle(entry) for entry in shard.entries)) for shard in job.shards)
    return replace(job, out=job.out.resolve(), shards=shards)


def _settle(entry: Entry) -> Entry:
    lyrics = entry.lyrics.resolve() if isinstance(entry.lyrics, Path) else entry.lyrics
    return replace(
        entry, audio=entry.audio and entry.audio.resolve(), lyrics=lyrics, stems=entry.stems and entry.stems.resolve()
    )


def _stream(
    make_model: Callable[[], Callable[..., Any]], job: Job, left: list[int], actors: int, gpus: float, output: Output
) -> Iterator[tuple[int, dict[str, list[dict[str, Any]]]]]:
    """Shards as they are done."""
    if not left:
        return
    # Ray Data replaces an actor that dies and begins its shard again. Reading tasks need CPUs that the actors leave free, or
    # both would wait for each other for ever.
    cpus = ray.cluster_resources().get("CPU", 1.0)
    each = min(1.0, max((cpus - 1) / actors, cpus / (2 * actors)))
    reading = min(1.0, cpus - actors * each)
    done = ray.data.from_items([{"shard": number} for number in left], override_num_blocks=len(left)).map_batches(
        _Explainer,
        fn_constructor_args=(make_model, job, output, reading),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=each,
        num_gpus=gpus,
    )
    for row in done.iter_rows():
        if row["refusal"]:
            raise InputError(row["refusal"], argument="out")
        yield int(row["shard"]), json.loads(row["tables"])


def _find_refusal(model: Callable[..., Any], job: Job) -> str:
    """Why this model can't resume the job, or "": an actor that fails to start would be started again and again."""
    try:
        check_weights(job, hash_weights(module_behind(model)))
    except InputError as error:
        return str(error)
    return ""


class _Explainer:
    """An actor: the model, loaded once, and what it has to know to explain any shard."""

    def __init__(self, make_model: Callable[[], Callable[..., Any]], job: Job, output: Output, reading: float) -> None:
        self.model, self.job, self.output = make_model(), job, output
        self.refusal = _find_refusal(self.model, job)
        self.shards = {shard.number: shard for shard in self.job.shards}
        self.read = ray.remote(load_light).options(num_cpus=reading, max_retries=DEATHS - 1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shard = self.shards[int(batch["shard"][0])]
        if self.refusal:
            return {"shard": [shard.number], "tables": [""], "refusal": [self.refusal]}
        rows = explain_shard(self.model, self.job, self._read_ahead(shard))
        if self.output == "filesystem":
            write_shard(self.job, shard, rows)
        return {"shard": [shard.number], "tables": [json.dumps(rows.tables)], "refusal": [""]}

    def _read_ahead(self, shard: Shard) -> Iterator[Loaded]:
        waiting = deque[tuple[Entry, Any]]()
        for entry in shard.entries:
            waiting.append((entry, self.read.remote(entry, self.job.loading)))
            if len(waiting) > AHEAD:
                yield self._collect(*waiting.popleft())
        while waiting:
            yield self._collect(*waiting.popleft())

    def _collect(self, entry: Entry, song: Any) -> Loaded:
        try:
            loaded = ray.get(song)
        except ray.exceptions.RayError as error:
            return entry, f"its process died {DEATHS} times ({type(error).__name__}): is there enough memory for its stems?"
        return entry, loaded if isinstance(loaded, str) else unpack(*loaded)
