"""A job run in this process, or in the ranks of torchrun and Slurm, shard by shard."""

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from typing import Any

from musiclime_torch.corpus.runs.ahead import load_ahead
from musiclime_torch.corpus.runs.explaining import explain_shard
from musiclime_torch.corpus.runs.job import (
    Job,
    Progress,
    Tally,
    check_weights,
    clear_leftovers,
    close_job,
    watch,
    write_shard,
)
from musiclime_torch.corpus.runs.shards import Place, find_place
from musiclime_torch.models.care import module_behind
from musiclime_torch.models.hashing import hash_weights

#: Processes that read ahead.
WORKERS = 1


def run_here(
    model: Callable[..., Any], job: Job, *, workers: int = WORKERS, place: Place | None = None, progress: bool = False
) -> Progress:
    """Explain what is left of a job.

    Args:
        model: as `explain` takes it.
        job: from `begin_job`.
        workers: processes that decode and separate ahead; 0 does both in this one.
        place: which of how many processes this is; None reads it from torchrun's or Slurm's environment.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        InputError: the folder can't be written to, or what is done there was done with other weights. A song that fails is a
            row in the job's failures.
    """
    place = place or find_place()
    left, before = job.divide(place.rank, place.world)
    check_weights(job, hash_weights(module_behind(model)))
    clear_leftovers(job, left + before, alone=place.world == 1)
    tally = Tally()
    with (
        closing(load_ahead([entry for shard in left for entry in shard.entries], job.loading, workers)) as songs,
        watch(left, progress) as bar,
    ):
        for shard in left:
            rows = explain_shard(model, job, islice(songs, len(shard.entries)), bar.update)
            write_shard(job, shard, rows)
            tally.add(rows)
    close_job(job)
    return tally.close(job, before)
