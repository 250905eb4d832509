"""What a launcher did of a job: songs explained and failed, and those that were done before, some of them changed since."""

import os
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from musiclime_torch.corpus.runs.job import Job
from musiclime_torch.corpus.runs.shards import Shard
from musiclime_torch.corpus.runs.tables import Rows


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
