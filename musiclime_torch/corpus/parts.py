"""A run's tables, whole or some shards at a time: what is summed part by part takes memory for a part, however many follow.

Every song is in one shard, so a part has all rows of its songs.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
from pyarrow import parquet

from musiclime_torch.corpus.shards import TABLES, describe_run
from musiclime_torch.failures import InputError

#: Rows of attributions in a part, or one shard's where that has more.
PART = 1_000_000


def list_shards(out: Path) -> list[str]:
    """Files of the shards that are done. Songs tell: what was begun and not finished doesn't count."""
    done = sorted(path.name for path in (out / "songs").glob("[0-9]*.parquet"))
    if not done:
        raise InputError(f"no song in {str(out)!r} has been explained yet.")
    return done


def open_tables(out: Path, schema: str = "main", database: Any = None) -> Any:
    """A run's tables as a DuckDB connection with views `attributions`, `interactions`, `controls`, `failures` and `songs`,
    or as a schema of a connection that there is.

    InputError where the folder holds no run, or nothing has been explained yet.
    """
    describe_run(out)
    database = database or duckdb.connect()
    make_views(database, schema, out, list_shards(out))
    return database


def cut_parts(out: Path) -> list[list[str]]:
    """The shards that are done, some in each part."""
    parts: list[list[str]] = [[]]
    room = PART
    for shard in list_shards(out):
        if room <= 0:
            parts.append([])
            room = PART
        parts[-1].append(shard)
        room -= parquet.read_metadata(out / "attributions" / shard).num_rows
    return parts


def read_parts(database: Any, out: Path, parts: Sequence[Sequence[str]]) -> Iterator[None]:
    """The views of `open_tables` as schema `part`, of some shards' rows, then of the next ones'."""
    for files in parts:
        make_views(database, "part", out, files)
        yield


def add_up(database: Any, sums: Mapping[str, str], joined: Mapping[str, str]) -> None:
    """Put a part's sums into tables of the same names, and make one row of what several parts have in common: or else tables
    would grow with the songs.
    """
    for name, query in sums.items():
        database.execute(f"create temp table if not exists {name} as from ({query}) limit 0")
        database.execute(f"insert into {name} {query}")
        database.execute(f"create or replace temp table {name} as {joined[name]}")


def make_views(database: Any, schema: str, out: Path, files: Sequence[str]) -> None:
    """A run's tables as a schema of a connection, of these shards only."""
    database.execute(f"create schema if not exists {schema}")
    for name in TABLES:
        paths = ", ".join("'" + str(out / name / file).replace("'", "''") + "'" for file in files)
        database.execute(f"create or replace view {schema}.{name} as select * from read_parquet([{paths}])")
