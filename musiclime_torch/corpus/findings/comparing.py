"""Two runs over the same songs, for example of two versions of a model: which decisions changed, and which attributions.

Songs are matched by their ids, components by their stem and position or their word. A feature's change is tested by a
paired t test over songs: both runs explain the same songs, so the song-to-song spread cancels in the difference. Within a
class the false discovery rate over its features is controlled (Benjamini & Hochberg 1995). What this needs of two runs'
tables is added up part by part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.findings.aggregation import CONFIDENCE, MIN_SONGS
from musiclime_torch.corpus.findings.parts import (
    add_up,
    cut_parts,
    list_shards,
    make_views,
    open_tables,
    read_parts,
    reading,
    scan,
)
from musiclime_torch.surrogate.intervals import discover, halve_interval

_FEATURES = """
    select class, kind, feature, songs, a / songs, b / songs,
        sqrt(greatest(change2 - change * change / songs, 0) / (songs - 1) / songs),
        features.size / nullif(sizes.size, 0), change / songs
    from features join sizes using (class) where songs >= $least order by class, kind, feature
"""


@dataclass(frozen=True)
class Shift:
    """A feature of a class whose mean attribution differs, over the songs that have it in both runs and get that class from
    both; its occurrences in one song are summed.

    `standard_error` is that of the change. `share` is the feature's absolute attribution in these songs, over both runs,
    as a share of that of all components that both runs see in songs of the class. `examples` are ids of the songs in which
    it changed most, in either direction.
    """

    class_name: str
    kind: str
    name: str
    songs: int
    first: float
    second: float
    standard_error: float
    share: float
    examples: tuple[str, ...]

    @property
    def change(self) -> float:
        """Second − first."""
        return self.second - self.first

    def half_width(self, confidence: float) -> float:
        """Half the interval of the change, not corrected for the number of features."""
        return halve_interval(self.standard_error, self.songs, confidence)


@dataclass(frozen=True)
class Move:
    """Songs that the first run gives one class and the second another; `examples` are ids of some."""

    before: str
    after: str
    songs: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Alone:
    """Songs that one run has explained and the other hasn't: `failed` of them failed there, the rest it was never given or
    hasn't reached. `examples` are ids of some.
    """

    songs: int
    failed: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """`songs` are in both runs, `altered` of them with other sound or lyrics, whose changes aren't the model's alone.

    `moves` are all changes of the decision, `shifts` those of the `compared` features whose change is significant,
    largest first. `agreement` is the correlation of a song's attributions in both runs, averaged over the songs that both
    runs decide alike.
    """

    songs: int
    altered: int
    only_first: Alone
    only_second: Alone
    moves: tuple[Move, ...]
    agreement: float | None
    compared: int
    shifts: tuple[Shift, ...]

    @property
    def decided_otherwise(self) -> int:
        """Songs whose class changed."""
        return sum(move.songs for move in self.moves)


def compare(
    first: str | Path, second: str | Path, *, min_songs: int = MIN_SONGS, confidence: float = CONFIDENCE
) -> Comparison:
    """Match two runs and say where they differ.

    A shift is a change that is significant by Student's t over songs, allowing for how many features of its class were
    compared: on average at most 1 - `confidence` of a class's shifts are false discoveries.

    Raises:
        InputError: either folder holds no run or a damaged one, no song is in both, or they are on different scales or cut
            songs differently.
    """
    first, second = Path(first), Path(second)
    with reading(first, second):
        return _compare(first, second, min_songs, confidence)


def _compare(first: Path, second: Path, min_songs: int, confidence: float) -> Comparison:
    database = open_both(first, second)
    ((songs, altered),) = database.execute(
        """select count(*), count(*) filter (a.audio_hash <> b.audio_hash or a.lyrics_hash is distinct from b.lyrics_hash)
            from first.songs a join second.songs b using (id)"""
    ).fetchall()
    sum_for_comparison(database, first, second)
    rows = database.execute(_FEATURES, {"least": max(min_songs, 2)}).fetchall()
    significant = sorted(_find_significant(rows, 1 - confidence), key=lambda row: (-abs(row[5] - row[4]), row[:3]))
    examples = find_examples(database, first, second, [row[:3] for row in significant])
    return Comparison(
        songs=songs,
        altered=altered,
        only_first=_find_alone(database, "first", "second"),
        only_second=_find_alone(database, "second", "first"),
        moves=_find_moves(database),
        agreement=_find_agreement(database),
        compared=len(rows),
        shifts=tuple(_make_shift(row, named) for row, named in zip(significant, examples, strict=True)),
    )


def _find_significant(rows: Sequence[tuple[Any, ...]], rate: float) -> Iterator[tuple[Any, ...]]:
    """The rows whose change, which comes last, is significant, class by class."""
    for _, family in groupby(rows, key=lambda row: row[0]):
        members = list(family)
        changes, errors, songs = (torch.tensor([row[at] for row in members], dtype=torch.float64) for at in (8, 6, 3))
        discovered = discover(changes, errors, songs - 1, rate).tolist()
        yield from (row for row, is_significant in zip(members, discovered, strict=True) if is_significant)


def _make_shift(row: tuple[Any, ...], examples: tuple[str, ...]) -> Shift:
    class_name, kind, name, songs, first, second, error, share, _ = row
    return Shift(class_name, kind, name, songs, first, second, error, share, examples)


def _find_alone(database: Any, run: str, other: str) -> Alone:
    alone = f"(from {run}.songs anti join {other}.songs using (id))"
    query = f"select count(*), count(*) filter (id in (select id from {other}.failures)) from {alone}"
    examples = database.execute(f"select id from {alone} order by id limit {MOST_EXAMPLES}").fetchall()
    ((songs, failed),) = database.execute(query).fetchall()
    return Alone(songs, failed, tuple(song for (song,) in examples))


def _find_moves(database: Any) -> tuple[Move, ...]:
    rows = database.execute(
        f"""select a.predicted, b.predicted, count(*) as songs, list(id order by id)[1:{MOST_EXAMPLES}]
            from first.songs a join second.songs b using (id) where a.predicted <> b.predicted
            group by a.predicted, b.predicted order by songs desc, a.predicted, b.predicted"""
    ).fetchall()
    return tuple(Move(before, after, songs, tuple(examples)) for before, after, songs, examples in rows)


def _find_agreement(database: Any) -> float | None:
    ((songs, total),) = database.execute("select songs, r from agreement").fetchall()
    # The order of summation changes the last digits.
    return round(total / songs, 12) if songs else None


# A part is some shards of the first run, and those of the second that hold the same songs. Tables of sums grow with
# features, classes and the ids of songs, but not with the songs' rows.

#: Songs named for what was found.
MOST_EXAMPLES = 5

# No word holds a space. Sections have no number.
_FEATURE = """case when kind = 'audio' then stem || ' ' || position
    else coalesce(replace(lower(word), '’', ''''), 'line ' || coalesce(line::varchar, text)) end"""

_PER_SONG = f"""select id, class, kind, {_FEATURE} as feature, sum(attribution) as w, sum(abs(attribution)) as size
    from {{}}.attributions where predicted and not unseen group by all"""

# One row per song, class and feature, with its attribution in the first run (a) and the second (b); what either run
# couldn't see is left out. Lines are matched within a song only, for no two songs share one. A change within rounding,
# which comes from another order of summation, counts as none.
_MATCHED = f"""
    create or replace temp table matched as
    select id, class, kind, feature, a.w as a, b.w as b, a.size + b.size as size,
        case when abs(b.w - a.w) > 1e-12 * (a.size + b.size) then b.w - a.w else 0 end as change
    from ({_PER_SONG.format("part")}) a join ({_PER_SONG.format("beside")}) b using (id, class, kind, feature)
"""

# change and change2 are sums of d = b − a and of d²: the paired test's mean is Σd / n, its standard error
# √((Σd² − (Σd)² / n) / (n (n − 1))), and neither needs the songs one by one.
_SUMS = {
    "features": """select class, kind, feature, count(*) as songs, sum(a) as a, sum(b) as b, sum(change) as change,
        sum(change * change) as change2, sum(size) as size from matched
        where kind = 'audio' or feature not like 'line %' group by class, kind, feature""",
    "sizes": "select class, sum(size) as size from matched group by class",
    "agreement": """select count(*) as songs, sum(r) as r from (select corr(a, b) as r from matched group by id)
        where not isnan(r)""",
}

_JOINED = {
    "features": """select class, kind, feature, sum(songs)::bigint as songs, sum(a) as a, sum(b) as b, sum(change) as change,
        sum(change2) as change2, sum(size) as size from features group by class, kind, feature""",
    "sizes": "select class, sum(size) as size from sizes group by class",
    "agreement": "select sum(songs)::bigint as songs, sum(r) as r from agreement",
}

_EXAMPLES = {"examples": "select number, id, abs(change) as size from matched join chosen using (class, kind, feature)"}
_EXAMPLES_JOINED = {
    "examples": f"""from examples qualify row_number() over (partition by number order by size desc, id)
        <= {MOST_EXAMPLES}"""
}


def open_both(first: Path, second: Path) -> Any:
    """Both runs' tables as schemas `first` and `second` of a DuckDB connection, and in which file of the second a song is.

    InputError where either folder holds no run, nothing has been explained yet, or the two can't be compared.
    """
    database = open_tables(second, "second", open_tables(first, "first"))
    if not database.execute("select exists (from first.songs semi join second.songs using (id))").fetchall()[0][0]:
        raise InputError(f"no song of {str(first)!r} is in {str(second)!r}: compare runs over the same manifest.")
    _check_scales(database)
    _check_components(database)
    songs = scan(second / "songs", list_shards(second), ", filename = true")
    database.execute(f"create temp table places as select id, parse_filename(filename) as file from {songs}")
    return database


def sum_for_comparison(database: Any, first: Path, second: Path) -> None:
    """The sums above as tables of their names, over the songs that both runs decide alike."""
    for _ in _match_parts(database, first, second):
        add_up(database, _SUMS, _JOINED)


def find_examples(
    database: Any, first: Path, second: Path, features: Sequence[tuple[str, str, str]]
) -> list[tuple[str, ...]]:
    """For each (class, kind, feature) ids of the songs in which it changed most."""
    if not features:
        return []
    class_name, kind, name = (list(column) for column in zip(*features, strict=True))
    database.register(
        "chosen", pyarrow.table({"class": class_name, "kind": kind, "feature": name, "number": range(len(features))})
    )
    for _ in _match_parts(database, first, second):
        add_up(database, _EXAMPLES, _EXAMPLES_JOINED)
    songs: list[list[str]] = [[] for _ in features]
    for number, song in database.execute("select number, id from examples order by number, size desc, id").fetchall():
        songs[number].append(song)
    return [tuple(examples) for examples in songs]


def _match_parts(database: Any, first: Path, second: Path) -> Iterator[None]:
    """The table `matched` of a part's songs, then of the next one's."""
    for _ in read_parts(database, first, cut_parts(first)):
        query = "select distinct file from places semi join part.songs using (id) order by file"
        files = [file for (file,) in database.execute(query).fetchall()]
        if files:
            make_views(database, "beside", second, files)
            database.execute(_MATCHED)
            yield


def _check_scales(database: Any) -> None:
    """InputError for attributions that can't be compared."""
    query = "select distinct coalesce(value, ''), coalesce(space, '') from {}.songs order by all"
    first, second = (database.execute(query.format(name)).fetchall() for name in ("first", "second"))
    if first != second:
        shown = (", ".join(" ".join(filter(None, scale)) for scale in scales) for scales in (first, second))
        raise InputError(
            "the runs are on different scales, {} and {}: run both with the same space.".format(*shown), argument="space"
        )


# What a song was cut into; null for sound or lyrics that the model didn't take.
_CUT = """
    select id, max(position) + 1 as segments, string_agg(distinct stem, ', ' order by stem) as stems,
        any_value(case when word is not null then 'words' when line is not null then 'lines' else 'sections' end)
            filter (kind = 'lyrics') as units
    from {}.attributions group by id
"""


def _check_components(database: Any) -> None:
    """InputError where a song is cut differently in one run: the third of ten positions is not the third of four."""
    cut = database.execute(
        f"""select id, a.stems, b.stems, a.segments, b.segments, a.units, b.units
            from ({_CUT.format("first")}) a join ({_CUT.format("second")}) b using (id)
            where a.stems <> b.stems or a.segments <> b.segments or a.units <> b.units order by id limit 1"""
    ).fetchone()
    if cut is None:
        return
    song, *pairs = cut
    arguments = (("stems", "separator"), ("segments", "segments"), ("lyrics in", "units"))
    for (what, argument), before, now in zip(arguments, pairs[::2], pairs[1::2], strict=True):
        if None not in (before, now) and before != now:
            raise InputError(
                f"the runs cut songs differently ({song!r} has {what} {before} and {now}): "
                f"run both with the same {argument}.",
                argument=argument,
            )
