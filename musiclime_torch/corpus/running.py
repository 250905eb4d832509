"""A catalogue explained, shard by shard: what is done stays done, and what fails is written down."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from musiclime_torch.classes import find_class
from musiclime_torch.corpus.ahead import load_ahead
from musiclime_torch.corpus.shards import (
    TABLES,
    Place,
    Shard,
    claim_folder,
    cut_shards,
    find_place,
    hash_entries,
    is_done,
)
from musiclime_torch.corpus.tables import Rows, write_table
from musiclime_torch.explainer import explain
from musiclime_torch.failures import InputError
from musiclime_torch.reading.manifest import Entry
from musiclime_torch.track import Track

#: Songs a shard: what is lost at most when a process dies.
SHARD = 16
#: Processes that read ahead.
WORKERS = 1


@dataclass(frozen=True)
class Progress:
    """What this process did: songs explained and failed now, songs of shards that were done before."""

    explained: int
    failed: int
    before: int
    first_failure: str


def explain_corpus(
    model: Callable[..., Any],
    entries: Sequence[Entry],
    out: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    loading: Mapping[str, Any] | None = None,
    targets: Sequence[int | str] = (),
    all_classes: bool = False,
    shard_size: int = SHARD,
    workers: int = WORKERS,
    place: Place | None = None,
    about: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Progress:
    """Explain every song of a manifest and write what is found to `out` as Parquet, in shards.

    Args:
        model: as `explain` takes it.
        entries: songs, from `read_manifest`.
        out: folder of the run; a run that was begun there under the same settings goes on.
        options: of `explain`, all but the target.
        loading: of `load_track`, such as `separator` and `max_seconds`.
        targets: classes to write besides the predicted one; `all_classes` writes all.
        all_classes: see above.
        shard_size: songs a shard.
        workers: processes that decode and separate ahead; 0 does both in this one.
        place: which of how many processes this is; None reads it from torchrun's or Slurm's environment.
        about: what else makes this run another one, such as the model's name.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        InputError: the folder holds another run, or can't be written to. A song that fails is a row in its failures.
    """
    out, options, loading = Path(out), dict(options or {}), dict(loading or {})
    place = place or find_place()
    settings = {
        "explain": {key: str(value) for key, value in options.items() if key not in _ELSEWHERE},
        "loading": {key: str(value) for key, value in loading.items() if key != "device"},
        "targets": [str(target) for target in targets],
        "all_classes": all_classes,
        "shard_size": shard_size,
        **(about or {}),
    }
    settings_hash = claim_folder(out, settings, hash_entries(entries))
    shards = cut_shards(entries, shard_size)
    own = [shard for shard in shards if shard.number % place.world == place.rank]
    left = [shard for shard in own if not is_done(out, shard, settings_hash)]
    songs = load_ahead([entry for shard in left for entry in shard.entries], loading, workers)
    explained, failures = 0, []
    total = sum(len(shard.entries) for shard in left)
    with tqdm(total=total, unit="song", disable=None if progress else True, file=sys.stderr) as bar:
        for shard in left:
            rows = _explain_shard(model, shard, songs, options, targets, all_classes, bar.update)
            for name in TABLES:
                write_table(rows.tables[name], name, out / name / shard.file, settings_hash)
            explained += len(rows.tables["songs"])
            failures += rows.tables["failures"]
    if all(is_done(out, shard, settings_hash) for shard in shards):
        _gather_failures(out, shards, settings_hash)
    before = sum(len(shard.entries) for shard in own) - total
    return Progress(explained, len(failures), before, failures[0]["reason"] if failures else "")


#: What changes no result, or only within rounding.
_ELSEWHERE = ("device", "batch_size", "progress")


def _explain_shard(
    model: Callable[..., Any],
    shard: Shard,
    songs: Iterator[tuple[Entry, Track | str]],
    options: Mapping[str, Any],
    targets: Sequence[int | str],
    all_classes: bool,
    advance: Callable[[int], object],
) -> Rows:
    rows = Rows()
    for expected in shard.entries:
        entry, found = next(songs)
        assert entry is expected, "songs come in the manifest's order"
        if isinstance(found, str):
            rows.fail(entry, found)
        else:
            _explain_song(model, entry, found, options, targets, all_classes, rows)
        advance(1)
    return rows


def _explain_song(
    model: Callable[..., Any],
    entry: Entry,
    track: Track,
    options: Mapping[str, Any],
    targets: Sequence[int | str],
    all_classes: bool,
    rows: Rows,
) -> None:
    started = time.perf_counter()
    try:
        explanation = explain(model, track, **options)
        asked = {int(explanation.output_song.argmax()), *(find_class(target, explanation.classes) for target in targets)}
    except InputError as error:
        rows.fail(entry, str(error))
        return
    chosen = range(len(explanation.classes)) if all_classes else sorted(asked)
    rows.add(entry, explanation, chosen, track.seconds, time.perf_counter() - started)


def _gather_failures(out: Path, shards: Sequence[Shard], settings_hash: str) -> None:
    """All failures in one file, once every shard is done; whoever finds that out first or last writes the same."""
    from pyarrow import parquet

    rows = [row for shard in shards for row in parquet.read_table(out / "failures" / shard.file).to_pylist()]
    write_table(rows, "failures", out / "failures.parquet", settings_hash)
