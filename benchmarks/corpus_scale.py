"""A large catalogue aggregated: seconds and peak memory of `aggregate`, without the audit, on synthetic tables.

Every song has 40 cells of sound and 100 words for its predicted class, as explanations do; words are drawn from 20,000, most
of them rare. 10 million rows are about 70,000 songs, 100 million about 700,000. Memory hangs on the features that have an
interval: with a vocabulary small enough to be met whole in either run, it is the songs alone that differ.

    python benchmarks/corpus_scale.py [--smoke] [--rows 10000000] [--vocabulary 20000] [--folder DIR]
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from musiclime_torch.corpus.aggregation import aggregate
from musiclime_torch.corpus.shards import TABLES, claim_folder

CELLS, WORDS, CLASSES = 40, 100, 20
#: Songs a file.
SHARD = 500
#: Which class a song is of.
_CLASS = f"'class' || (hash(s) % {CLASSES})"
#: Columns of the tables that play no part here.
_EMPTY = {
    "failures": "'x' as id",
    "controls": "'x' as id, 'x' as class, true as decoy, 'x' as kind, 'x' as stem, 0 as position, 0 as origin, "
    "1.0 as attribution, 1.0 as standard_error",
    "interactions": "'x' as id, 'x' as class, 'x' as stem, 'x' as word, 1.0 as interaction",
}


def write_rows(out: Path, songs: int, vocabulary: int) -> None:
    """Tables as `musiclime corpus` writes them, drawn by hashing: the same every time."""
    claim_folder(out, {"synthetic": songs, "vocabulary": vocabulary}, "")
    for name in TABLES:
        (out / name).mkdir(exist_ok=True)
    database = duckdb.connect()
    for number, first in enumerate(range(0, songs, SHARD)):
        last = min(first + SHARD, songs)
        database.execute(
            f"""copy (select 'song' || s as id, {_CLASS} as class, true as predicted,
                ((hash(s, c) % 2001)::double - 1000) / 1000 as attribution, 0.1 as standard_error, true as told_from_zero,
                false as unseen, case when c < {CELLS} then 'audio' else 'lyrics' end as kind,
                case when c < {CELLS} then 'stem' || (c // 10) end as stem,
                case when c < {CELLS} then (c % 10)::int end as position,
                case when c >= {CELLS}
                    then 'w' || floor({vocabulary} * pow((hash(c, s) % 100000) / 100000.0, 4))::int end as word
                from range({first}, {last}) a(s), range({CELLS + WORDS}) b(c))
                to '{out}/attributions/{number:06d}.parquet' (compression zstd)"""
        )
        database.execute(
            f"copy (select 'song' || s as id, {_CLASS} as predicted from range({first}, {last}) a(s)) "
            f"to '{out}/songs/{number:06d}.parquet'"
        )
        for name, columns in _EMPTY.items():
            database.execute(f"copy (select {columns} limit 0) to '{out}/{name}/{number:06d}.parquet'")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a hundred thousand rows")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--vocabulary", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="where the tables are kept, and found again")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = 100_000 if options.smoke else options.rows
    songs = rows // (CELLS + WORDS)
    if options.write is not None:
        write_rows(options.write, songs, options.vocabulary)
        return
    with contextlib.nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as folder:
        if not Path(folder, "run.json").exists():
            # In a process of its own, whose memory doesn't count.
            again = [sys.executable, __file__, "--rows", str(rows), "--vocabulary", str(options.vocabulary)]
            subprocess.run([*again, "--write", folder], check=True)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        started = time.perf_counter()
        found = aggregate(folder)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    assert found.songs == songs
    ranked = sum(one.low is not None for one in found.features)
    table = Table(title=f"{rows:,} rows, {songs:,} songs, {size / 1e6:.0f} MB of Parquet")
    for heading in ("seconds", "peak memory, GiB", "before, GiB", "features", "with intervals"):
        table.add_column(heading)
    table.add_row(f"{seconds:.1f}", f"{peak:.2f}", f"{before:.2f}", f"{len(found.features):,}", f"{ranked:,}")
    Console(width=100).print(table)
    print(json.dumps({"rows": rows, "seconds": round(seconds, 2), "peak_gib": round(peak, 3), "with_intervals": ranked}))


if __name__ == "__main__":
    main()
