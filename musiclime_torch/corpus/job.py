"""What is done to every song of a catalogue, and which shards of it are left. Any launcher works a job off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musiclime_torch.corpus.shards import TABLES, Shard, claim_folder, cut_shards, hash_entries, is_done
from musiclime_torch.corpus.tables import Rows, write_table
from musiclime_torch.failures import InputError
from musiclime_torch.reading.manifest import Entry

#: Songs a shard: what is lost at most when a process dies.
SHARD = 16

#: What changes no result, or only within rounding.
_ELSEWHERE = ("device", "batch_size", "progress")


@dataclass(frozen=True)
class Job:
    """A run that has been begun, or gone on with, in the folder `out`.

    `options` are those of `explain`, `loading` those of `load_track`; `controls` is the share of songs that are explained a
    second time as their own control; `retry` says that shards in which songs failed are done again.
    """

    out: Path
    settings_hash: str
    shards: tuple[Shard, ...]
    options: Mapping[str, Any]
    loading: Mapping[str, Any]
    targets: tuple[int | str, ...]
    all_classes: bool
    controls: float
    retry: bool = False

    def list_left(self, rank: int = 0, world: int = 1) -> list[Shard]:
        """Shards of one of so many processes that aren't done yet, or are to be done again."""
        own = (shard for shard in self.shards if shard.number % world == rank)
        return [shard for shard in own if not self.has_done(shard) or (self.retry and self._has_failed(shard))]

    def has_done(self, shard: Shard) -> bool:
        """Whether all of a shard's tables are written, failures among them."""
        return is_done(self.out, shard, self.settings_hash)

    def _has_failed(self, shard: Shard) -> bool:
        from pyarrow import parquet

        return bool(parquet.read_metadata(self.out / "failures" / shard.file).num_rows)


@dataclass(frozen=True)
class Progress:
    """What a launcher did: songs explained and failed now, songs of shards that were done before."""

    explained: int
    failed: int
    before: int
    first_failure: str


@dataclass
class Tally:
    """Counts on the way to a `Progress`."""

    explained: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        """A shard that has been written."""
        self.explained += len(rows.tables["songs"])
        self.failures += [row["reason"] for row in rows.tables["failures"]]

    def close(self, before: int) -> Progress:
        """All of it."""
        return Progress(self.explained, len(self.failures), before, self.failures[0] if self.failures else "")


def begin_job(
    entries: Sequence[Entry],
    out: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    loading: Mapping[str, Any] | None = None,
    targets: Sequence[int | str] = (),
    all_classes: bool = False,
    controls: float = 0.0,
    shard_size: int = SHARD,
    retry: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Job:
    """Lay a job out, and claim its folder; a run that was begun there under the same settings goes on.

    Args:
        entries: songs, from `read_manifest`.
        out: folder of the run.
        options: of `explain`, all but the target.
        loading: of `load_track`, such as `separator` and `max_seconds`.
        targets: classes to write besides the predicted one; `all_classes` writes all.
        all_classes: see above.
        controls: share of the songs, from 0 to 1, that are also explained as their own control (`corpus.controls`).
        shard_size: songs a shard.
        retry: explain shards in which songs failed once more.
        about: what else makes this run another one, such as the model's name.

    Raises:
        InputError: the folder holds another run, or can't be written to.
    """
    if not 0 <= controls <= 1:
        raise InputError(f"controls of {controls:g} are no share of the songs: give a number from 0 to 1.")
    out, options, loading = Path(out), dict(options or {}), dict(loading or {})
    settings = {
        "explain": {key: str(value) for key, value in options.items() if key not in _ELSEWHERE},
        "loading": {key: str(value) for key, value in loading.items() if key != "device"},
        "targets": [str(target) for target in targets],
        "all_classes": all_classes,
        "controls": controls,
        "shard_size": shard_size,
        **(about or {}),
    }
    digest = claim_folder(out, settings, hash_entries(entries))
    shards = cut_shards(entries, shard_size)
    return Job(out, digest, shards, options, loading, tuple(targets), all_classes, controls, retry)


def write_shard(job: Job, shard: Shard, rows: Rows) -> None:
    """All tables of a shard; the last one says that it is done, and one from before it was done again no longer does."""
    (job.out / "songs" / shard.file).unlink(missing_ok=True)
    for name in TABLES:
        write_table(rows.tables[name], name, job.out / name / shard.file, job.settings_hash)


def check_weights(job: Job, weights: str) -> None:
    """InputError where songs of the run were explained by a model of other weights; empty hashes tell nothing.

    A model's name says little of what is in it, and settings hold nothing that only a process with the model knows.
    """
    from pyarrow import parquet

    done = (job.out / "songs" / shard.file for shard in job.shards if job.has_done(shard))
    path = next(done, None)
    hashes = set() if path is None else set(parquet.read_table(path, columns=["model_hash"])["model_hash"].to_pylist())
    if weights and any(one not in ("", weights) for one in hashes):
        raise InputError(
            f"{str(job.out)!r} holds songs that a model of this name with other weights explained: give another "
            f"--out folder, or the old weights."
        )


def close_job(job: Job) -> None:
    """All failures in one file, once every shard is done; whoever finds that out first or last writes the same."""
    from pyarrow import parquet

    if all(job.has_done(shard) for shard in job.shards):
        files = (job.out / "failures" / shard.file for shard in job.shards)
        rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
        write_table(rows, "failures", job.out / "failures.parquet", job.settings_hash)


def count_songs(shards: Sequence[Shard]) -> int:
    """Songs in all of them."""
    return sum(len(shard.entries) for shard in shards)
