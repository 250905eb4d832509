"""Two runs over the same songs, of two versions of a model, say: what they decide otherwise, and what they listen to now.

Songs are matched by their ids, components by what they are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musiclime_torch.corpus.aggregation import MIN_SONGS, open_tables
from musiclime_torch.failures import InputError

# A stem at a position or a word, once a song and class; what either run couldn't see is left out. Lines are
# matched within a song only, for no two songs share one. No word holds a space.
_MATCHED = """
    select id, class, kind, feature, a.w as a, b.w as b from
        (select id, class, kind, {feature} as feature, sum(attribution) as w from first.attributions
         where predicted and not unseen group by all) a join
        (select id, class, kind, {feature} as feature, sum(attribution) as w from second.attributions
         where predicted and not unseen group by all) b using (id, class, kind, feature)
"""
_FEATURE = "case when kind = 'audio' then stem || ' ' || position else coalesce(lower(word), 'line ' || line) end"


@dataclass(frozen=True)
class Shift:
    """A feature of a class whose mean attribution differs, over the songs that have it in both runs."""

    of: str
    kind: str
    name: str
    songs: int
    first: float
    second: float
    standard_error: float

    @property
    def change(self) -> float:
        """Second − first."""
        return self.second - self.first


@dataclass(frozen=True)
class Comparison:
    """`agreement` is the mean over songs of the correlation of all attributions, of songs that both runs decide alike."""

    songs: int
    decided_otherwise: int
    examples: tuple[tuple[str, str, str], ...]
    agreement: float | None
    shifts: tuple[Shift, ...]


def compare(first: str | Path, second: str | Path, *, min_songs: int = MIN_SONGS, z: float = 3.0) -> Comparison:
    """Match two runs and say where they part; `z` standard errors make a shift.

    InputError where either folder holds no run, no song is in both, they are on different scales or cut songs otherwise.
    """
    database = _open_both(Path(first), Path(second))
    songs, changed = database.execute(
        """select count(*), count(*) filter (a.predicted <> b.predicted) from first.songs a join second.songs b using (id)"""
    ).fetchall()[0]
    if not songs:
        raise InputError(f"no song of {str(first)!r} is in {str(second)!r}: compare runs over the same manifest.")
    examples = database.execute(
        """select id, a.predicted, b.predicted from first.songs a join second.songs b using (id)
            where a.predicted <> b.predicted order by id limit 10"""
    ).fetchall()
    _check_scales(database)
    _check_positions(database)
    matched = _MATCHED.format(feature=_FEATURE)
    agreement = database.execute(
        f"select avg(r) from (select corr(a, b) as r from ({matched}) group by id) where not isnan(r)"
    ).fetchall()[0][0]
    rows = database.execute(
        f"""select class, kind, feature, count(*) as songs, avg(a), avg(b), stddev_samp(b - a) / sqrt(count(*))
            from ({matched}) where kind = 'audio' or feature not like 'line %'
            group by class, kind, feature having count(*) >= $least""",
        {"least": max(min_songs, 2)},
    ).fetchall()
    shifts = [Shift(*row) for row in rows]
    clear = [one for one in shifts if abs(one.change) > z * one.standard_error and one.change]
    clear.sort(key=lambda one: (-abs(one.change), one.of, one.name))
    # Sums in another order leave their mark in the last digits.
    alike = None if agreement is None else round(float(agreement), 12)
    return Comparison(songs, changed, tuple(examples), alike, tuple(clear))


def _check_scales(database: Any) -> None:
    """InputError for attributions that can't be compared."""
    query = "select distinct coalesce(value, ''), coalesce(space, '') from {}.songs order by all"
    first, second = (database.execute(query.format(name)).fetchall() for name in ("first", "second"))
    if first != second:
        shown = (", ".join(" ".join(filter(None, one)) for one in found) for found in (first, second))
        raise InputError("the runs are on different scales, {} and {}: run both with the same --space.".format(*shown))


def _check_positions(database: Any) -> None:
    """InputError where a song is cut otherwise in one run: the third of ten positions is not the third of four."""
    cut = database.execute(
        """select id, a.segments, b.segments from
            (select id, max(position) + 1 as segments from first.attributions where kind = 'audio' group by id) a join
            (select id, max(position) + 1 as segments from second.attributions where kind = 'audio' group by id) b using (id)
            where a.segments <> b.segments order by id limit 1"""
    ).fetchone()
    if cut is not None:
        raise InputError(
            "the runs cut songs otherwise ({!r} into {} and into {} segments): run both with the same --segments.".format(
                *cut
            )
        )


def _open_both(first: Path, second: Path) -> Any:
    database = open_tables(first, "first")
    return open_tables(second, "second", database)
