"""What is done to every song of a catalogue, and which shards of it are left. Any launcher can run a job."""

import inspect
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from time import monotonic
from typing import Any

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import remove_partials, writing_atomically
from musiclime_torch.corpus.runs.shards import TABLES, Shard, claim_folder, cut_shards, hash_entries, is_done
from musiclime_torch.corpus.runs.tables import Rows, changing, write_table
from musiclime_torch.explanation.lessons import place_lesson
from musiclime_torch.explanation.settings import SETTINGS, Settings, read_settings
from musiclime_torch.models.care import hash_weights
from musiclime_torch.models.students import load_student
from musiclime_torch.song.manifest import Entry, check_ids
from musiclime_torch.song.track import load_track

#: Why a run has no student, beside where it would be.
NO_STUDENT = "none.txt"

#: Songs a shard.
SHARD = 16

#: Arguments that change no result, or only within rounding, and those that each song has for itself.
_ELSEWHERE = ("device", "batch_size", "cache_dir", "lyrics", "stems", "progress")


@dataclass(frozen=True)
class Job:
    """A run that was begun, or resumed, in the folder `out`.

    `settings` are those of `explain`, `loading` the arguments of `load_track`, `command` what was typed to run it;
    `controls` is the share of songs that are explained a second time as their own control; with `retry`, shards in which
    songs failed are run again; with `pages`, every song that is explained gets a page, pages/ID/index.html.
    """

    out: Path
    settings_hash: str
    shards: tuple[Shard, ...]
    settings: Settings
    loading: Mapping[str, Any]
    targets: tuple[int | str, ...]
    all_classes: bool
    controls: float
    retry: bool = False
    command: str = ""
    pages: bool = False
    proxy: str = ""
    proxy_samples: int | None = None
    taught: int = 0

    @property
    def teaching(self) -> "Job":
        """The part of the job whose songs teach its student: they have shards of their own, which come first."""
        starts = accumulate((len(shard.entries) for shard in self.shards), initial=0)
        return replace(
            self, shards=tuple(own for own, start in zip(self.shards, starts, strict=False) if start < self.taught)
        )

    @cached_property
    def _teachers(self) -> frozenset[str]:
        """The ids of the songs that teach: looked at once a run, and not once a song."""
        return frozenset(entry.id for shard in self.teaching.shards for entry in shard.entries)

    @property
    def student(self) -> Path:
        """The folder of the job's own student."""
        return self.out / "student"

    def find_proxy(self, song: str) -> str:
        """The folder of the student that guides a song's explanation, "" for none: songs that teach one have none."""
        if not self.taught or song in self._teachers:
            return self.proxy
        return str(self.student) if (self.student / "student.json").exists() else ""

    def place_lesson(self, song: str) -> Path | None:
        """Where a song's lesson is written; None where it teaches nothing, or there is nothing left to learn."""
        if song not in self._teachers or any((self.student / name).exists() for name in ("student.json", NO_STUDENT)):
            return None
        return place_lesson(self.student / "lessons", song)

    def divide(self, rank: int = 0, world: int = 1) -> tuple[list[Shard], list[Shard]]:
        """Shards of one of so many processes: those to do, and those that were done before."""
        left: list[Shard] = []
        before: list[Shard] = []
        for shard in self.shards[rank::world]:
            done = self.has_done(shard) and not (self.retry and self.read_failures(shard))
            (before if done else left).append(shard)
        return left, before

    def has_done(self, shard: Shard) -> bool:
        """Whether all of a shard's tables are written, failures among them."""
        return is_done(self.out, shard, self.settings_hash)

    def read_failures(self, shard: Shard) -> list[dict[str, Any]]:
        """Rows of a done shard's songs that couldn't be explained."""
        from pyarrow import parquet

        path = self.out / "failures" / shard.file
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist() if parquet.read_metadata(path).num_rows else []
        return rows


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
    command: str = "",
    pages: bool = False,
    proxy: str = "",
    proxy_samples: int | None = None,
    taught: int = 0,
) -> Job:
    """Lay a job out and claim its folder; a run that was begun there under the same settings is resumed.

    Args:
        entries: songs, from `read_manifest`.
        out: folder of the run.
        options: arguments of `explain`, all but the target.
        loading: of `load_track`, such as `separator` and `max_seconds`.
        targets: classes to write besides the predicted one; `all_classes` writes all.
        all_classes: see above.
        controls: share of the songs, from 0 to 1, that are also explained as their own control (`corpus.controls`).
        shard_size: songs a shard.
        retry: explain shards in which songs failed once more.
        about: what else distinguishes this run from others, such as the model's name.
        command: the command line, for the table of songs.
        pages: write a page for every song, to which the catalogue's page links. A song that was done before gets none.
        proxy: folder of a student, which guides the model's explanations; "" for none.
        proxy_samples: masks that the student answers; None takes its default.
        taught: how many of the first songs teach a student of the run's own.

    Raises:
        InputError: an option of `explain` that no song could be explained with, an id that occurs twice, a folder that holds
            another run or can't be written to.
    """
    check_ids(entries, "the manifest")
    if not 0 <= controls <= 1:
        raise InputError(f"controls must be a share from 0 to 1, got {controls:g}.", argument="controls")
    out, settings, loading = Path(out), read_settings(options or {}), dict(loading or {})
    described = {
        "explain": _describe({name: getattr(settings, name) for name in SETTINGS}),
        "loading": _describe(_list_defaults(load_track) | loading),
        "targets": [str(target) for target in targets],
        "all_classes": all_classes,
        "controls": float(controls),
        "shard_size": shard_size,
        **({"proxy": hash_weights(load_student(proxy)), "proxy_samples": str(proxy_samples)} if proxy else {}),
        **({"distill": str(taught)} if taught else {}),
        **(about or {}),
    }
    digest = claim_folder(out, described, hash_entries(entries))
    shards = cut_shards(entries, shard_size, taught)
    asked = tuple(targets), all_classes, controls, retry, command, pages, proxy, proxy_samples, taught
    return Job(out, digest, shards, settings, loading, *asked)


def _list_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """A function's own defaults: it is the same run whether these are given or left out."""
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: parameter.default for parameter in parameters if parameter.default is not inspect.Parameter.empty
    }


def _describe(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Arguments as text, without those that change no result."""
    return {name: str(value) for name, value in arguments.items() if name not in _ELSEWHERE}


def clear_leftovers(job: Job, shards: Sequence[Shard], alone: bool) -> None:
    """Remove half-written files of killed processes: those of the shards that are this process's now, and, where it is the
    only process, those of the run.
    """
    files = {shard.file for shard in shards}
    for name in TABLES:
        with changing(job.out / name):
            remove_partials(job.out / name, files)
    if alone:
        with changing(job.out):
            remove_partials(job.out, ("failures.parquet",))


def write_shard(job: Job, shard: Shard, rows: Rows) -> None:
    """Write all tables of a shard. The last one marks it as done, so an old one is removed before a shard is written
    again.
    """
    last = job.out / "songs" / shard.file
    with changing(last):
        last.unlink(missing_ok=True)
    for name in TABLES:
        write_table(rows.tables[name], name, job.out / name / shard.file, job.settings_hash)


#: Seconds between writings of a shard that is under way: what a stop loses at most, beside the song it was at.
KEPT_EVERY = 60.0


class Begun:
    """A shard's songs that are done, in a file of their own while the shard isn't: all that a stop leaves of it."""

    def __init__(self, job: Job, shard: Shard, weights: str, clock: Callable[[], float] = monotonic) -> None:
        self.path = job.out / "begun" / f"{shard.number:06d}.json"
        self.about, self.clock = {"settings": job.settings_hash, "weights": weights}, clock
        self.rows, self._written = self._read(job.retry), clock()
        #: Ids of the songs that needn't be explained again.
        self.done = {row["id"] for name in ("songs", "failures") for row in self.rows.tables[name]}

    def keep(self, rows: Rows) -> None:
        """Write the rows so far, those of an earlier run among them, where the last writing was long ago."""
        if self.clock() - self._written < KEPT_EVERY:
            return
        with changing(self.path):
            self.path.parent.mkdir(exist_ok=True)
            with writing_atomically(self.path) as partial:
                partial.write_text(json.dumps(self.about | {"tables": rows.tables}), encoding="utf-8")
        self._written = self.clock()

    def remove(self) -> None:
        """Once the shard itself is written."""
        with changing(self.path):
            self.path.unlink(missing_ok=True)

    def _read(self, retry: bool) -> Rows:
        """What is there of this run under this model, without failures that are to be tried again."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            rows = Rows(kept.pop("tables"))
        except (OSError, ValueError, KeyError, AttributeError):
            return Rows()
        if kept != self.about or set(rows.tables) != set(Rows().tables):
            return Rows()
        return Rows(rows.tables | {"failures": []}) if retry else rows


def check_weights(job: Job, weights: str) -> None:
    """InputError where songs of the run were explained by a model with other weights; empty hashes are not compared.

    A model's name doesn't identify its weights, and the settings hold nothing that only a process with the model knows.
    """
    from pyarrow import parquet

    done = (job.out / "songs" / shard.file for shard in job.shards if job.has_done(shard))
    path = next(done, None)
    hashes = set() if path is None else set(parquet.read_table(path, columns=["model_hash"])["model_hash"].to_pylist())
    if weights and any(digest not in ("", weights) for digest in hashes):
        raise InputError(
            f"{str(job.out)!r} holds songs that a model of this name with other weights explained: give another "
            f"out folder, or the old weights.",
            argument="out",
        )


def close_job(job: Job) -> None:
    """All failures in one file, once every shard is done; every process that finds this so writes the same file."""
    from pyarrow import parquet

    if all(job.has_done(shard) for shard in job.shards):
        files = (job.out / "failures" / shard.file for shard in job.shards)
        rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
        write_table(rows, "failures", job.out / "failures.parquet", job.settings_hash)
        # Of runs that were stopped and then resumed on Ray, which begins shards again.
        shutil.rmtree(job.out / "begun", ignore_errors=True)
