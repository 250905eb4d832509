"""Many explanations as one: what carries each class over a catalogue, by van der Linden et al. (2019, arXiv 1907.03039) and
better.

Their three numbers are computed as defined: LIME importance I_cj = sqrt(Σ|w|), average importance Σ|w| / count, and
homogeneity-weighted importance H_cj = (1 - (H_j - H_min) / (H_max - H_min)) I_cj, H_j being the entropy in bits of I_cj over
classes; where all features are as homogeneous, the weight is 1. Beside them stand the signed mean over songs with its
bootstrap interval. A feature is a word, whatever its case, or a stem at a position; its occurrences in one song are summed
first, so that a song counts once. The tables are streamed: memory hangs on the number of features, not of songs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from musiclime_torch.corpus.shards import TABLES, describe_run
from musiclime_torch.failures import InputError

#: Songs that a class or a feature must be in to be ranked: fewer say something of the songs, not of the class.
MIN_SONGS = 10
#: Resamplings of the songs behind an interval.
RESAMPLINGS = 1000

# One row a song, class and feature. Names of features can't meet: words hold no tab.
PER_SONG = """
    select id, class, kind, case when kind = 'audio' then stem || chr(9) || position
        else replace(lower(word), '’', '''') end as feature,
        any_value(stem) as stem, any_value(position) as position, sum(attribution) as w, sum(abs(attribution)) as size,
        sum(attribution * attribution - standard_error * standard_error) as energy, count(*) as n
    from attributions where not unseen and predicted and (kind = 'audio' or word is not null)
    group by id, class, kind, feature
"""


@dataclass(frozen=True)
class Feature:
    """What a feature does for a class. `mean` is signed, over the songs that have it, `low` to `high` its interval (None
    where it isn't ranked); `components` counts occurrences.
    """

    of: str
    kind: str
    name: str
    stem: str | None
    position: int | None
    songs: int
    components: int
    importance: float
    average: float
    homogeneity: float
    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ClassSummary:
    """A class over its songs: the lyrics' and each stem's share of all squared attributions, freed of sampling noise, the
    mean over songs; and the same a component, which long lyrics can't inflate.
    """

    name: str
    songs: int
    ranked: bool
    lyrics_share: float
    lyrics_share_by_component: float
    stem_shares: dict[str, float]


@dataclass(frozen=True)
class Global:
    """All classes of a catalogue."""

    songs: int
    failures: int
    classes: tuple[ClassSummary, ...]
    features: tuple[Feature, ...]

    def top(self, of: str, k: int, kind: str | None = None) -> list[Feature]:
        """The k features of a class with the largest means that are told from zero, largest first."""
        chosen = [one for one in self.features if one.of == of and kind in (None, one.kind)]
        clear = [one for one in chosen if one.low is not None and one.high is not None and not one.low <= 0 <= one.high]
        return sorted(clear, key=lambda one: -abs(one.mean))[:k]


def aggregate(out: str | Path, *, min_songs: int = MIN_SONGS, confidence: float = 0.95, seed: int = 0) -> Global:
    """Stream over a run's tables. Only explanations of the predicted class count.

    Intervals come from resampling songs; each is for itself.

    Raises:
        InputError: the folder holds no run, or no song has been explained.
    """
    out = Path(out)
    database, per_song = open_tables(out), PER_SONG
    rows = database.sql(
        f"""select class, kind, feature, any_value(stem) as stem, any_value(position) as position, count(*) as songs,
            sum(n)::bigint as components, sum(size) as size, avg(w) as mean from ({per_song}) group by class, kind, feature
            order by class, kind, feature"""
    ).fetchall()
    if not rows:
        raise InputError(f"no song in {str(out)!r} has been explained yet.")
    features = _weigh(rows)
    classes = _summarise(database, per_song, min_songs)
    ranked = {one.name for one in classes if one.ranked}
    chosen = [one for one in features if one.songs >= min_songs and one.of in ranked]
    limits = _resample(database, per_song, chosen, confidence, seed)
    finished = tuple(_bound(one, limits.get((one.of, one.kind, one.name))) for one in features)
    failed = int(database.sql("select count(*) from failures").fetchall()[0][0])
    return Global(sum(one.songs for one in classes), failed, classes, finished)


def open_tables(out: Path) -> Any:
    """A run's tables as a DuckDB connection with views `attributions`, `interactions`, `failures` and `songs`.

    InputError where the folder holds no run, or nothing has been explained yet.
    """
    try:
        import duckdb
    except ImportError as error:
        raise InputError("this needs duckdb, which isn't installed: run pip install 'musiclime_torch[corpus]'.") from error
    describe_run(out)
    # Songs tell that a shard is whole: what was begun and not finished doesn't count.
    done = sorted(path.name for path in (out / "songs").glob("[0-9]*.parquet"))
    if not done:
        raise InputError(f"no song in {str(out)!r} has been explained yet.")
    database = duckdb.connect()
    for name in TABLES:
        files = ", ".join("'" + str(out / name / file).replace("'", "''") + "'" for file in done)
        database.execute(f"create view {name} as select * from read_parquet([{files}])")
    return database


def _weigh(rows: Sequence[tuple[Any, ...]]) -> list[Feature]:
    """Importances as van der Linden et al. define them."""
    importance: dict[tuple[str, str], dict[str, float]] = {}
    for of, kind, name, _, _, _, _, size, _ in rows:
        importance.setdefault((kind, name), {})[of] = float(np.sqrt(size))
    entropies = {key: _entropy(list(found.values())) for key, found in importance.items()}
    low, high = min(entropies.values()), max(entropies.values())
    features = []
    for of, kind, name, stem, position, songs, components, size, mean in rows:
        spread = (entropies[kind, name] - low) / (high - low) if high > low else 0.0
        own = importance[kind, name][of]
        shown = name.replace("\t", " ") if kind == "audio" else name
        features.append(
            Feature(of, kind, shown, stem, position, songs, components, own, size / components, (1 - spread) * own, mean)
        )
    return features


def _entropy(importances: Sequence[float]) -> float:
    total = sum(importances)
    shares = [one / total for one in importances if one > 0] if total else []
    return float(-sum(share * np.log2(share) for share in shares))


def _summarise(database: Any, per_song: str, min_songs: int) -> tuple[ClassSummary, ...]:
    rows = database.sql(
        f"""with songs as (
                select class, id, greatest(sum(case when kind = 'lyrics' then energy else 0 end), 0) as words,
                    greatest(sum(case when kind = 'audio' then energy else 0 end), 0) as sound,
                    sum(case when kind = 'lyrics' then n else 0 end) as n_words,
                    sum(case when kind = 'audio' then n else 0 end) as n_sound
                from ({per_song}) group by class, id)
            select class, count(*), coalesce(avg(words / nullif(words + sound, 0)), 0),
                coalesce(avg(coalesce(words / nullif(n_words, 0), 0) / nullif(
                    coalesce(words / nullif(n_words, 0), 0) + coalesce(sound / nullif(n_sound, 0), 0), 0)), 0)
            from songs group by class order by class"""
    ).fetchall()
    stems: dict[str, dict[str, float]] = {}
    for of, stem, share in database.sql(
        f"""with stems as (select class, id, stem, greatest(sum(energy), 0) as e from ({per_song}) where kind = 'audio'
                group by class, id, stem),
            shares as (select class, id, stem, e / nullif(sum(e) over (partition by class, id), 0) as share from stems),
            counts as (select class, count(distinct id) as songs from stems group by class)
            select class, stem, sum(share) / any_value(songs) from shares join counts using (class)
            group by class, stem order by class, stem"""
    ).fetchall():
        stems.setdefault(of, {})[stem] = float(share or 0.0)
    return tuple(
        ClassSummary(of, songs, songs >= min_songs, float(share), float(each), stems.get(of, {}))
        for of, songs, share, each in rows
    )


def _resample(
    database: Any, per_song: str, chosen: Sequence[Feature], confidence: float, seed: int
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Percentiles of the mean over resampled songs, a feature at a time: each hangs on its own songs alone."""
    if not chosen:
        return {}
    wanted = {(one.of, one.kind, one.name) for one in chosen}
    cursor = database.execute(f"select class, kind, feature, w from ({per_song}) order by class, kind, feature, id")
    limits: dict[tuple[str, str, str], tuple[float, float]] = {}
    current: tuple[str, str, str] | None = None
    values: list[float] = []
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]

    def close() -> None:
        if current in wanted and current is not None:
            low, high = np.percentile(_draw_means(np.array(values), seed), tails)
            limits[current] = (float(low), float(high))

    while batch := cursor.fetchmany(100_000):
        for of, kind, name, value in batch:
            key = (of, kind, name.replace("\t", " ") if kind == "audio" else name)
            if key != current:
                close()
                current, values = key, []
            values.append(value)
    close()
    return limits


def _draw_means(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of as many songs drawn with replacement, by how often each is drawn; a batch of resamplings at a time."""
    rng, n = np.random.default_rng(seed), len(values)
    step = max(2_000_000 // n, 1)
    means = [
        rng.multinomial(n, np.full(n, 1 / n), size=min(step, RESAMPLINGS - start)) @ values / n
        for start in range(0, RESAMPLINGS, step)
    ]
    return np.concatenate(means)


def _bound(feature: Feature, limits: tuple[float, float] | None) -> Feature:
    return feature if limits is None else replace(feature, low=limits[0], high=limits[1])
