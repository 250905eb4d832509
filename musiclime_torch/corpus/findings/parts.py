"""A run's tables, all at once or some shards at a time: sums over parts need the memory of one part, however many there are.

Every song is in one shard, so a part has all rows of its songs.
"""

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
from pyarrow import parquet

from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.runs.shards import TABLES, describe_run

#: The most rows of attributions in a part, and songs; a single shard may have more.
PART, PART_SONGS = 1_000_000, 10_000

_DAMAGE = (duckdb.Error, duckdb.InvalidInputException, duckdb.IOException)


def list_shards(out: Path) -> list[str]:
    """Files of the shards that are done, which are those in `songs`: it is written last."""
    done = sorted(path.name for path in (out / "songs").glob("[0-9]*.parquet"))
    if not done:
        raise InputError(f"no song in {str(out)!r} has been explained yet.")
    return done


def open_tables(out: Path, schema: str = "main", database: Any = None) -> Any:
    """A run's tables as a DuckDB connection with views `attributions`, `interactions`, `controls`, `failures` and `songs`,
    or as a schema of a given connection.

    InputError where the folder holds no run, or nothing has been explained yet.
    """
    describe_run(out)
    database = database or duckdb.connect()
    make_views(database, schema, out, list_shards(out))
    if not database.execute(f"select exists (from {schema}.songs)").fetchall()[0][0]:
        raise InputError(f"no song in {str(out)!r} has been explained yet.")
    return database


@contextmanager
def reading(*runs: Path) -> Iterator[None]:
    """Inside, tables that were damaged since they were written raise an InputError."""
    try:
        yield
    except (duckdb.Error, pyarrow.ArrowInvalid, OSError) as error:
        # DuckDB reports a damaged file by its base class, or as an input or IO error; any other class is a fault in a query.
        if isinstance(error, duckdb.Error) and type(error) not in _DAMAGE:
            raise
        named = " or ".join(repr(str(run)) for run in runs)
        raise InputError(
            f"a table in {named} can't be read ({str(error).splitlines()[0]}): remove its file and resume the run, which "
            f"explains its shard again."
        ) from error


def cut_parts(out: Path) -> list[list[str]]:
    """The shards that are done, some in each part."""
    parts: list[list[str]] = [[]]
    rows = songs = 0
    for shard in list_shards(out):
        if rows >= PART or songs >= PART_SONGS:
            parts.append([])
            rows = songs = 0
        parts[-1].append(shard)
        rows += parquet.read_metadata(out / "attributions" / shard).num_rows
        songs += parquet.read_metadata(out / "songs" / shard).num_rows
    return parts


def read_parts(database: Any, out: Path, parts: Sequence[Sequence[str]]) -> Iterator[None]:
    """The views of `open_tables` as schema `part`, for each part's shards in turn."""
    for files in parts:
        make_views(database, "part", out, files)
        yield


def add_up(database: Any, sums: Mapping[str, str], joined: Mapping[str, str]) -> None:
    """Append a part's sums to tables of the same names, and merge rows with the same key as `joined` says, for otherwise the
    tables would grow with the songs.
    """
    for name, query in sums.items():
        database.execute(f"create temp table if not exists {name} as from ({query}) limit 0")
        database.execute(f"insert into {name} {query}")
        if name in joined:
            database.execute(f"create or replace temp table {name} as {joined[name]}")


def make_views(database: Any, schema: str, out: Path, files: Sequence[str]) -> None:
    """A run's tables as a schema of a connection, for these shards only."""
    database.execute(f"create schema if not exists {schema}")
    for name in TABLES:
        database.execute(f"create or replace view {schema}.{name} as from {scan(out / name, files)}")


def scan(folder: Path, files: Sequence[str], more: str = "") -> str:
    """A DuckDB expression that reads some files. Names are taken literally: `[1]` is no pattern, `class=pop` no column."""
    paths = ", ".join("'" + glob.escape(str(folder / file)).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{paths}], hive_partitioning = false{more})"
