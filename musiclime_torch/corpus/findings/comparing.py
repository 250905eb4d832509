"""Two runs over the same songs, of two versions of a model, say: what they decide otherwise, and what they listen to now.

Songs are matched by their ids, components by what they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from musiclime_torch.corpus.findings.aggregation import CONFIDENCE, MIN_SONGS
from musiclime_torch.corpus.findings.comparison_sums import MOST_EXAMPLES, find_examples, open_both, sum_for_comparison
from musiclime_torch.corpus.findings.parts import reading
from musiclime_torch.surrogate.intervals import discover, halve_interval

_FEATURES = """
    select class, kind, feature, songs, a / songs, b / songs,
        sqrt(greatest(change2 - change * change / songs, 0) / (songs - 1) / songs),
        features.size / nullif(sizes.size, 0), change / songs
    from features join sizes using (class) where songs >= $least order by class, kind, feature
"""


@dataclass(frozen=True)
class Shift:
    """A feature of a class whose mean attribution differs, over the songs that have it in both runs and are given that class
    by both; its occurrences in one song are summed.

    `standard_error` is that of the change. `share`: absolute attributions of all its occurrences in these songs, added up
    over both runs, by those of all that both runs see in the songs that both give the class. `examples` are ids of the songs
    in which it changed most, in either direction.
    """

    of: str
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
        """Half the interval of the change, for itself."""
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
    """Songs that one run has explained and the other hasn't; `failed` of them failed there, the rest it was never given or
    hasn't come to. `examples` are ids of some.
    """

    songs: int
    failed: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """`songs` are in both runs, `altered` of them with other sound or lyrics, whose changes aren't the model's alone.

    `moves` are all changes of the decision, `shifts` those of the `compared` features whose change is significant,
    largest first each. `agreement` is the mean over songs of the correlation of all attributions, of songs that both runs
    decide alike.
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
        return sum(one.songs for one in self.moves)


def compare(
    first: str | Path, second: str | Path, *, min_songs: int = MIN_SONGS, confidence: float = CONFIDENCE
) -> Comparison:
    """Match two runs and say where they part.

    A shift is a change that Student's t over songs tells from zero, allowing for how many features of its class were
    compared: of those found in a class, at most 1 - `confidence` are there by chance.

    Raises:
        InputError: either folder holds no run or a damaged one, no song is in both, they are on different scales or cut
            songs otherwise.
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
    clear = sorted(_find_clear(rows, 1 - confidence), key=lambda row: (-abs(row[5] - row[4]), row[:3]))
    examples = find_examples(database, first, second, [row[:3] for row in clear])
    return Comparison(
        songs=songs,
        altered=altered,
        only_first=_find_alone(database, "first", "second"),
        only_second=_find_alone(database, "second", "first"),
        moves=_find_moves(database),
        agreement=_find_agreement(database),
        compared=len(rows),
        shifts=tuple(_make_shift(row, named) for row, named in zip(clear, examples, strict=True)),
    )


def _find_clear(rows: Sequence[tuple[Any, ...]], rate: float) -> Iterator[tuple[Any, ...]]:
    """The rows whose change, which comes last, is significant, class by class."""
    for _, family in groupby(rows, key=lambda row: row[0]):
        own = list(family)
        changes, errors, songs = (torch.tensor([row[at] for row in own], dtype=torch.float64) for at in (8, 6, 3))
        told = discover(changes, errors, songs - 1, rate).tolist()
        yield from (row for row, found in zip(own, told, strict=True) if found)


def _make_shift(row: tuple[Any, ...], examples: tuple[str, ...]) -> Shift:
    of, kind, name, songs, first, second, error, share, _ = row
    return Shift(of, kind, name, songs, first, second, error, share, examples)


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
    # Sums in another order leave their mark in the last digits.
    return round(total / songs, 12) if songs else None
