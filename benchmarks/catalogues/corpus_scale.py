"""A large catalogue aggregated and audited: seconds and peak memory of both, on synthetic tables.

Every song has 40 cells of sound and 100 words for its predicted class, as explanations do; words are drawn from
`--vocabulary`, most of them rare; 50 pairs of a stem and a word act together; one song in a hundred is its own control. 10
million rows of attributions are about 70,000 songs, 100 million about 700,000, in files of as many songs as `musiclime
corpus` writes. Memory grows with the number of words that occur. With a vocabulary so small that all of it occurs in either
run (`--vocabulary 1000`), runs differ only in the number of songs.

    python -m benchmarks.catalogues.corpus_scale [--smoke] [--rows 10000000,100000000] [--vocabulary 20000] [--shard-size 16]
"""

import argparse
import contextlib
import inspect
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import duckdb
import pyarrow
from pyarrow import parquet
from rich.console import Console
from rich.table import Table

from musiclime_torch.corpus import SCHEMAS, aggregate, audit, begin_job, claim_folder

CELLS, WORDS, PAIRS, CLASSES = 40, 100, 50, 20
#: Songs a file, as the runner writes them.
SHARD = inspect.signature(begin_job).parameters["shard_size"].default
#: Songs drawn at once.
DRAWN = 512
#: One song in so many is its own control.
CONTROLLED = 100
_CLASS = f"'class' || (hash(s) % {CLASSES})"
#: Of a song's rows: between -1 and 1.
_VALUE = "((hash(s, c) % 2001)::double - 1000) / 1000"
_WORD = "'w' || floor({vocabulary} * pow((hash(c, s) % 100000) / 100000.0, 4))::int"
_CELL = "'stem' || (c // 10) as stem, (c % 10)::int as position"

#: The rows of one song in each table: how many, and the columns that are read.
_DRAWN = {
    "attributions": (
        CELLS + WORDS,
        f"""{_CLASS} as class, true as predicted, {_VALUE} as attribution, 0.1 as standard_error,
        abs({_VALUE}) > 0.2 as significant, false as unseen, case when c < {CELLS} then 'audio' else 'lyrics' end as kind,
        case when c < {CELLS} then 'stem' || (c // 10) end as stem, case when c < {CELLS} then (c % 10)::int end as position,
        case when c >= {CELLS} then {_WORD} end as word""",
    ),
    "interactions": (
        PAIRS,
        f"""{_CLASS} as class, 'stem' || (hash(c, s, 1) % 4) as stem, {_WORD} as word, {_VALUE} as interaction,
        0.1 as standard_error""",
    ),
    # The last four of its cells are decoys.
    "controls": (
        CELLS + 4,
        f"""{_CLASS} as class, c >= {CELLS} as decoy, 'audio' as kind, {_CELL}, ((c + 3) % 10)::int as origin,
        {_VALUE} as attribution, 0.1 as standard_error""",
    ),
    "failures": (0, ""),
    "songs": (1, f"{_CLASS} as predicted"),
}


def write_rows(out: Path, songs: int, vocabulary: int, shard: int) -> None:
    """Tables as `musiclime corpus` writes them, drawn by hashing: the same every time."""
    claim_folder(out, {"synthetic": songs, "vocabulary": vocabulary, "shard": shard}, "")
    for name in SCHEMAS:
        (out / name).mkdir(exist_ok=True)
    drawn = max(DRAWN // shard, 1) * shard
    parts = [range(first, min(first + drawn, songs)) for first in range(0, songs, drawn)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(partial(write_part, out, vocabulary, shard), parts)


def write_part(out: Path, vocabulary: int, shard: int, songs: range) -> None:
    """Some shards."""
    database = duckdb.connect(config={"threads": 1})
    for name, schema in SCHEMAS.items():
        count, columns = _DRAWN[name]
        where = f"where s % {CONTROLLED} = 0" if name == "controls" else ""
        drawn = database.sql(
            f"""select s, 'song' || s as id, {columns.format(vocabulary=vocabulary)}
                from range({songs.start}, {songs.stop}) a(s), range({count}) b(c) {where} order by s, c"""
        ).to_arrow_table()
        numbers = drawn.column("s").to_numpy()
        for field in schema:
            if field.name not in drawn.column_names:
                drawn = drawn.append_column(field, pyarrow.nulls(len(drawn), field.type))
        table = drawn.select(schema.names).cast(schema)
        for first in range(songs.start, songs.stop, shard):
            start, end = numbers.searchsorted([first, first + shard]).tolist()
            path = out / name / f"{first // shard:06d}.parquet"
            parquet.write_table(table.slice(start, end - start), path, compression="zstd")


def peak() -> float:
    """GiB: this process's peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run_again(*given: str) -> dict[str, float]:
    """Another run of this script: its table is printed, its figures come back."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.catalogues.corpus_scale", *given], check=True, stdout=subprocess.PIPE, text=True
    )
    *table, figures = done.stdout.rstrip().splitlines()
    print("\n".join(table), flush=True)
    return dict(json.loads(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a hundred thousand rows")
    parser.add_argument(
        "--rows", default="10000000", help="rows of attributions; several numbers are run one after the other"
    )
    parser.add_argument("--vocabulary", type=int, default=20_000)
    parser.add_argument("--shard-size", type=int, default=SHARD, help="songs a file")
    parser.add_argument("--folder", type=Path, help="folder to keep the tables in, and to reuse")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    counts = [100_000] if options.smoke else [int(count) for count in options.rows.split(",")]
    if len(counts) > 1:
        # Each in a process of its own, for its peak of memory.
        given = [f"--vocabulary={options.vocabulary}", f"--shard-size={options.shard_size}"]
        print(json.dumps([run_again(f"--rows={count}", *given) for count in counts]))
        return
    (rows,) = counts
    songs = rows // (CELLS + WORDS)
    if options.write is not None:
        write_rows(options.write, songs, options.vocabulary, options.shard_size)
        return
    with contextlib.nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as folder:
        if not Path(folder, "run.json").exists():
            # In a process of its own, whose memory doesn't count.
            given = {"rows": rows, "vocabulary": options.vocabulary, "shard-size": options.shard_size, "write": folder}
            again = [f"--{name}={value}" for name, value in given.items()]
            subprocess.run([sys.executable, "-m", "benchmarks.catalogues.corpus_scale", *again], check=True)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        files = sum(1 for _ in Path(folder).rglob("*.parquet"))
        before, started = peak(), time.perf_counter()
        summary = aggregate(folder)
        aggregated, between = peak(), time.perf_counter()
        findings = audit(folder, summary)
        audited, ended = peak(), time.perf_counter()
    assert summary.songs == songs
    ranked = sum(feature.low is not None for feature in summary.features)
    table = Table(title=f"{rows:,} rows, {songs:,} songs, {size / 1e6:,.0f} MB of Parquet in {files:,} files")
    for heading in ("", "seconds", "peak memory, GiB", "found"):
        table.add_column(heading, justify="right" if heading.endswith(("s", "B")) else "left")
    table.add_row("before", "", f"{before:.2f}", "")
    contents = f"{len(summary.features):,} features, {ranked:,} with intervals, {len(summary.pairs):,} pairs"
    table.add_row("aggregate", f"{between - started:.1f}", f"{aggregated:.2f}", contents)
    table.add_row("audit", f"{ended - between:.1f}", f"{audited:.2f}", f"{len(findings)} findings")
    Console(width=120).print(table)
    figures = {"rows": rows, "aggregate_seconds": round(between - started, 2), "audit_seconds": round(ended - between, 2)}
    print(json.dumps({**figures, "peak_gib": round(audited, 3), "with_intervals": ranked, "pairs": len(summary.pairs)}))


if __name__ == "__main__":
    main()
