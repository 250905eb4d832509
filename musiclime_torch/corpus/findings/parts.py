"""A run's tables, all at once or some shards at a time: sums over parts need the memory of one part, however many there are.

Every song is in one shard, so a part has all rows of its songs. What an audit asks is added up part by part: its tables
grow with classes and positions, or name a few songs, but don't grow with the catalogue.
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
from musiclime_torch.corpus.findings.summaries import EXAMPLES, Run
from musiclime_torch.corpus.runs.shards import TABLES, describe_run
from musiclime_torch.explanation.settings import Settings

#: Share of a class's songs that boilerplate is in.
SPREAD = 0.5
#: Share of a song's words past which too much of it is unseen.
UNSEEN = 0.1
#: Sizes of songs' edges are counted by their logarithms in steps of this size, so that a median needs no list of songs.
STEP = 0.01

_WORD = "replace(lower(coalesce(word, text)), '’', '''')"

# One row per song and position, word or line; what is unseen carries nothing. energy and noise are Σ(w² − se²) and Σ se²:
# the squared attributions freed of sampling noise, and that noise.
_PER_SONG = f"""
    create or replace temp table per_song as
    select id, class, kind, position, case when kind = 'lyrics' then {_WORD} end as word, count(*) as n,
        count(*) filter (unseen) as unseen, sum(abs(attribution)) as size,
        sum(attribution ** 2 - standard_error ** 2) filter (not unseen) as energy,
        sum(standard_error ** 2) filter (not unseen) as noise
    from part.attributions where predicted group by all
"""

# A song's first and last position, and the mean of those between, as sums of its stems' sizes. Silent stems are left out,
# and so are songs whose noise is larger than their energy: their shares would be ratios of noise.
_EDGES = """places as (
        select id, class, position, max(position) over (partition by id) as final, size, energy, noise, n > unseen as seen
        from per_song where kind = 'audio'),
    songs as (
        select id, class, max(size) filter (position = 0) as first, max(size) filter (position = final) as last,
            avg(size) filter (0 < position and position < final) as inner_mean, sum(size) as total
        from places where final >= 3 and seen group by id, class having sum(energy) > sum(noise)),
    edges as (
        select id, class, unnest(['first', 'last']) as place, unnest([first, last]) as size, inner_mean, total from songs)"""

# Songs of whose words too many are unseen.
_LATE = (
    f"""select id, sum(unseen) / sum(n) as share from per_song where kind = 'lyrics' group by id having share > {UNSEEN}"""
)

_SUMS = {
    "lyrics": "select class, sum(size) as size from per_song where word is not null group by class",
    # A word that is in half of all songs is in half of the songs of at least one part. So words that are rarer in every part
    # needn't be kept, nor lines, of which every song has its own.
    "spread": f"""with songs as (select class, count(distinct id) as songs from per_song where n > unseen group by class),
        words as (select class, word, count(*) as songs from per_song where word is not null group by class, word)
        select class, word from words join songs using (class) where words.songs >= {SPREAD} * songs.songs""",
    "edges": f"""with {_EDGES}
        select class, place, round(ln(greatest(size / inner_mean, 1e-9)) / {STEP})::int as bin, count(*) as songs,
            sum(size / total) as share from edges where size is not null and inner_mean > 0 group by class, place, bin""",
    "edge_songs": f"with {_EDGES} select class, place, id, size from edges where size is not null",
    "late": f"select count(*) as songs, max(share) as share from ({_LATE})",
    "late_songs": _LATE,
    # Energies at a song's positions, counted from its end, as shares of all of them; songs whose noise is larger than their
    # energy are left out.
    "ends": """with places as (
            select id, max(position) over (partition by id) - position as back, energy, noise
            from per_song where kind = 'audio' and n > unseen),
        songs as (
            select back, energy / sum(energy) over w as share, sum(energy) over w as total, sum(noise) over w as noise,
                count(*) over w as places
            from places window w as (partition by id))
        select back, count(*) as songs, sum(share) as share, sum(share * share) as share2
        from songs where total > noise and places > 3 group by back""",
    "sound_songs": "select id, sum(size) as size from per_song where kind = 'audio' group by id",
}

_JOINED = {
    "lyrics": "select class, sum(size) as size from lyrics group by class",
    "spread": "select distinct class, word from spread",
    "edges": """select class, place, bin, sum(songs)::bigint as songs, sum(share) as share from edges
        group by class, place, bin""",
    "edge_songs": f"""from edge_songs qualify row_number() over (partition by class, place order by size desc, id)
        <= {EXAMPLES}""",
    "late": "select sum(songs)::bigint as songs, max(share) as share from late",
    "late_songs": f"from late_songs order by share desc, id limit {EXAMPLES}",
    "ends": """select back, sum(songs)::bigint as songs, sum(share) as share, sum(share2) as share2 from ends
        group by back""",
    "sound_songs": f"from sound_songs order by size desc, id limit {EXAMPLES}",
}

# Words and lines that may be boilerplate: how many songs they are in, and in how many they are significant.
_CARRIED = {
    "carried": """select class, word, count(*) as songs, count(*) filter (significant) as significant,
        sum(w) as w, sum(size) as size
        from carrying group by class, word""",
    "carried_songs": "select class, word, id, size from carrying",
}

_CARRIED_JOINED = {
    "carried": """select class, word, sum(songs)::bigint as songs, sum(significant)::bigint as significant,
        sum(w) as w, sum(size) as size
        from carried group by class, word""",
    "carried_songs": f"""from carried_songs qualify row_number() over (partition by class, word order by size desc, id)
        <= {EXAMPLES}""",
}

_CARRYING = f"""
    create or replace temp table carrying as
    with words as (
        select id, class, {_WORD} as word, significant, attribution as w
        from part.attributions where predicted and kind = 'lyrics')
    select id, class, word, bool_or(significant) as significant, sum(w) as w, sum(abs(w)) as size
    from words join spread using (class, word) group by id, class, word
"""


def sum_for_audit(out: Path) -> Any:
    """A DuckDB connection with a run's tables, and the sums above as tables of their names.

    InputError where the folder holds no run, or nothing has been explained yet.
    """
    database, parts = open_tables(out), cut_parts(out)
    for _ in read_parts(database, out, parts):
        database.execute(_PER_SONG)
        add_up(database, _SUMS, _JOINED)
    for _ in read_parts(database, out, parts):
        database.execute(_CARRYING)
        add_up(database, _CARRIED, _CARRIED_JOINED)
    return database


def read_run(out: Path, most_songs: int) -> Run:
    """What ran, from its record and the table `songs`. InputError where the folder holds no run, or a damaged one."""
    with reading(out):
        database, record = open_tables(out), describe_run(out)["settings"]
        # Older runs lack some columns.
        known = {row[0] for row in database.execute("describe songs").fetchall()}
        names = [name if name in known else f"null as {name}" for name in ("id", "title", "predicted", "file")]
        songs = database.execute(f"select {', '.join(names)} from songs order by id limit {most_songs}").fetchall()
        found = {
            name: database.execute(
                f"select distinct {name} from songs where {name} is not null order by 1 limit 3"
            ).fetchall()
            for name in ("model", "version", "command")
            if name in known
        }
        seconds = database.execute("select min(sound_seconds), max(sound_seconds) from songs").fetchone()
    defaults = {name: str(value) for name, value in Settings().to_record().items()}
    given = {name: value for name, value in record.get("explain", {}).items() if defaults.get(name) != value}
    told = {name: ", ".join(row[0] for row in rows) for name, rows in found.items()}
    named = ("audio_model", "text_model", "model")
    told["model"] = told.get("model") or " and ".join(str(record[name]) for name in named if record.get(name))
    rows = [*given.items(), ("version", told.get("version", "")), ("command", told.get("command", ""))]
    return Run(
        told["model"],
        tuple((name.replace("_", " "), value) for name, value in rows if value),
        None if seconds is None or seconds[0] is None else (seconds[0], seconds[1]),
        bool(record.get("all_classes")),
        tuple((song, title or "", predicted or "", file or "") for song, title, predicted, file in songs),
    )


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
