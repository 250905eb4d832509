"""Two runs over the same songs, for example of two versions of a model: which decisions changed, and which attributions.

Songs are matched by their ids, components by their stem and position or their word. A feature's change is tested by a
paired t test over songs: both runs explain the same songs, so the song-to-song spread cancels in the difference. Within a
class the false discovery rate over its features is controlled (Benjamini & Hochberg 1995).
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
