"""Small runs of `musiclime corpus`, begun, run and read back in this process."""

from pathlib import Path

import duckdb
from catalogues import OPTIONS

from musiclime_torch.corpus.runs.job import begin_job
from musiclime_torch.corpus.runs.running import run_here
from musiclime_torch.corpus.runs.shards import Place
from musiclime_torch.demo.bundle import load_demo_model


def begin(entries, out: Path, **more):
    given = {"options": OPTIONS, "loading": {"separator": "none"}, "shard_size": 3} | more
    return begin_job(entries, out, **given)


def run(entries, out: Path, place: Place | None = None, **more):
    return run_here(load_demo_model(), begin(entries, out, **more), workers=0, place=place)


def read(out: Path, name: str) -> list[tuple]:
    """A table's rows, in an order of their own."""
    return duckdb.sql(f"select * from read_parquet('{out}/{name}/*.parquet') order by all").fetchall()
