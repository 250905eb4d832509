"""Many explanations as one: what carries each class over a catalogue, by van der Linden et al. (2019, arXiv 1907.03039) and
better.

Their three numbers are computed as defined: LIME importance I_cj = sqrt(Σ|w|), average importance Σ|w| / count, and
homogeneity-weighted importance H_cj = (1 - (H_j - H_min) / (H_max - H_min)) I_cj, H_j being the entropy in bits of I_cj over
classes; where all features are as homogeneous, the weight is 1. Beside them stand the signed mean over songs with its
bootstrap interval. A feature is a word, whatever its case, or a stem at a position; its occurrences in one song are summed
first, so that a song counts once. Shards are read some at a time: memory hangs on the number of features, not of songs.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from scipy import sparse

from musiclime_torch.corpus.findings.control_results import ROTATED, Floor, Rotation, compare_rotated, find_floors
from musiclime_torch.corpus.findings.parts import add_up, cut_parts, open_tables, read_parts, reading
from musiclime_torch.surrogate.intervals import discover, halve_interval

#: Songs that a class or a feature must be in to be ranked: fewer say something of the songs, not of the class.
MIN_SONGS = 10
#: Of intervals over songs.
CONFIDENCE = 0.95
#: Resamplings of the songs behind an interval.
RESAMPLINGS = 500

# One row a song, class and feature; lines and sections, which no two songs share, are none: they have a null together. Names
# of features can't meet: words hold no tab.
_PER_SONG = """
    create or replace temp table per_song as
    select id, class, kind, case when kind = 'audio' then stem || chr(9) || position
        else replace(lower(word), '’', '''') end as feature,
        any_value(stem) as stem, any_value(position) as position, sum(attribution) as w, sum(abs(attribution)) as size,
        sum(attribution * attribution - standard_error * standard_error) as energy, count(*) as n
    from part.attributions where not unseen and predicted
    group by id, class, kind, feature
"""

_PAIRS = """
    select class, stem, word, songs, w / songs, sqrt(greatest(w2 - w * w / songs, 0) / (songs - 1) / songs)
    from pairs where songs >= $least order by class, songs desc, abs(w / songs) desc, stem, word
"""

# A song's stems with their shares; none where all is noise.
_STEMS = """stems as (
        select class, id, stem, greatest(sum(energy), 0) as e from per_song where kind = 'audio' group by class, id, stem),
    shares as (select class, id, stem, e / nullif(sum(e) over (partition by class, id), 0) as share from stems)"""

# Sums over the part's songs. Negative energies are sampling noise; where nothing is left a song has no shares, and isn't
# counted among those that have.
_SUMS = {
    "features": """select class, kind, feature, any_value(stem) as stem, any_value(position) as position, count(*) as songs,
        sum(n) as components, sum(size) as size, sum(w) as w from per_song where feature is not null
        group by class, kind, feature""",
    "classes": """with songs as (
            select class, id, greatest(sum(energy) filter (kind = 'lyrics'), 0) as words,
                greatest(sum(energy) filter (kind = 'audio'), 0) as sound,
                coalesce(sum(n) filter (kind = 'lyrics'), 1) as n_words,
                coalesce(sum(n) filter (kind = 'audio'), 1) as n_sound
            from per_song group by class, id),
        shares as (select class, words / nullif(words + sound, 0) as lyrics,
            words * n_sound / nullif(words * n_sound + sound * n_words, 0) as by_each from songs)
        select class, count(*) as songs, count(lyrics) as shared, sum(lyrics) as lyrics, sum(lyrics * lyrics) as lyrics2,
            sum(by_each) as by_each, sum(by_each * by_each) as by_each2 from shares group by class""",
    "stems": f"""with {_STEMS} select class, stem, sum(share) as share, sum(share * share) as share2 from shares
        group by class, stem""",
    "heard": f"with {_STEMS} select class, count(distinct id) as songs from shares where share is not null group by class",
    "pairs": """with each as (
            select i.id, i.class, i.stem, replace(lower(i.word), '’', '''') as word, sum(interaction) as w
            from part.interactions i join part.songs s on i.id = s.id and i.class = s.predicted where i.word is not null
            group by all)
        select class, stem, word, count(*) as songs, sum(w) as w, sum(w * w) as w2 from each group by class, stem, word""",
    # A row a song, of the few that are their own control.
    "rotated": ROTATED,
}

_JOINED = {
    "features": """select class, kind, feature, any_value(stem) as stem, any_value(position) as position,
        sum(songs)::bigint as songs, sum(components)::bigint as components, sum(size) as size, sum(w) as w
        from features group by class, kind, feature""",
    "classes": """select class, sum(songs)::bigint as songs, sum(shared)::bigint as shared, sum(lyrics) as lyrics,
        sum(lyrics2) as lyrics2, sum(by_each) as by_each, sum(by_each2) as by_each2 from classes group by class""",
    "stems": "select class, stem, sum(share) as share, sum(share2) as share2 from stems group by class, stem",
    "heard": "select class, sum(songs)::bigint as songs from heard group by class",
    "pairs": """select class, stem, word, sum(songs)::bigint as songs, sum(w) as w, sum(w2) as w2 from pairs
        group by class, stem, word""",
}


@dataclass(frozen=True)
class Feature:
    """What a feature does for a class. `mean` is signed, over the songs that have it, `low` to `high` its interval (None
    where it isn't ranked); `told` allows for how many features were asked, `components` counts occurrences.
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
    told: bool = False


@dataclass(frozen=True)
class ClassSummary:
    """A class over its songs: the lyrics' and each stem's share of all squared attributions, freed of sampling noise, the
    mean over songs where any is left (NaN where in none); and the same a component, which long lyrics can't inflate. Errors
    are standard errors over songs, infinite for a single one.
    """

    name: str
    songs: int
    ranked: bool
    lyrics_share: float
    lyrics_share_by_component: float
    stem_shares: dict[str, float]
    lyrics_error: float
    lyrics_error_by_component: float
    stem_errors: dict[str, float]


@dataclass(frozen=True)
class Pair:
    """A stem and a word that act together in a class: `songs` are those in which that is significant, `mean` is the
    interaction's over these songs alone, its occurrences in one song summed; `standard_error` is over these songs too.
    """

    of: str
    stem: str
    word: str
    songs: int
    mean: float
    standard_error: float

    def half_width(self, confidence: float) -> float:
        """Half the interval of the mean."""
        return halve_interval(self.standard_error, self.songs, confidence)


@dataclass(frozen=True)
class Global:
    """All classes of a catalogue; `floors` and `rotation` where songs were explained as their own control."""

    songs: int
    failures: int
    classes: tuple[ClassSummary, ...]
    features: tuple[Feature, ...]
    pairs: tuple[Pair, ...]
    floors: tuple[Floor, ...]
    rotation: Rotation | None

    def top(self, of: str, k: int, kind: str | None = None) -> list[Feature]:
        """The k features of a class with the largest means that are significant, largest first."""
        chosen = [one for one in self.features if one.of == of and one.told and kind in (None, one.kind)]
        return sorted(chosen, key=lambda one: -abs(one.mean))[:k]


def aggregate(out: str | Path, *, min_songs: int = MIN_SONGS, confidence: float = CONFIDENCE, seed: int = 0) -> Global:
    """Stream over a run's tables. Only explanations of the predicted class count.

    Intervals come from resampling songs (Poisson bootstrap, each song's counts drawn from its id); each is for itself. What
    is `told` from zero allows for the number of a class's features: at most 1 - `confidence` of it is there by chance.

    Raises:
        InputError: the folder holds no run, no song has been explained, or a table is damaged.
    """
    out = Path(out)
    with reading(out):
        return _aggregate(out, min_songs, confidence, seed)


def _aggregate(out: Path, min_songs: int, confidence: float, seed: int) -> Global:
    database, parts = open_tables(out), cut_parts(out)
    songs = int(database.execute("select count(*) from songs").fetchall()[0][0])
    for _ in read_parts(database, out, parts):
        database.execute(_PER_SONG)
        add_up(database, _SUMS, _JOINED)
    rows = database.execute(
        """select class, kind, feature, stem, position, songs, components, size, w / songs from features
            order by class, kind, feature"""
    ).fetchall()
    features, classes = _weigh(rows), _summarise(database, min_songs)
    ranked = {one.name for one in classes if one.ranked}
    chosen = [number for number, one in enumerate(features) if one.songs >= min_songs and one.of in ranked]
    limits = _resample(database, out, parts, [rows[number][:3] for number in chosen], confidence, seed)
    for number, (low, high, _) in zip(chosen, limits, strict=True):
        features[number] = replace(features[number], low=low, high=high)
    for number in _tell(features, chosen, [spread for _, _, spread in limits], 1 - confidence):
        features[number] = replace(features[number], told=True)
    failed = int(database.execute("select count(*) from failures").fetchall()[0][0])
    pairs = tuple(Pair(*row) for row in database.execute(_PAIRS, {"least": max(min_songs, 2)}).fetchall())
    return Global(songs, failed, classes, tuple(features), pairs, find_floors(database), compare_rotated(database))


def _weigh(rows: Sequence[tuple[Any, ...]]) -> list[Feature]:
    """Importances as van der Linden et al. define them."""
    importance: dict[tuple[str, str], dict[str, float]] = {}
    for of, kind, name, _, _, _, _, size, _ in rows:
        importance.setdefault((kind, name), {})[of] = float(np.sqrt(size))
    entropies = {key: _entropy(list(found.values())) for key, found in importance.items()}
    low, high = min(entropies.values(), default=0.0), max(entropies.values(), default=0.0)
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


def _summarise(database: Any, min_songs: int) -> tuple[ClassSummary, ...]:
    stems: dict[str, dict[str, tuple[float, float]]] = {}
    heard = dict(database.execute("select class, songs from heard").fetchall())
    for of, stem, *sums in database.execute("select class, stem, share, share2 from stems order by class, stem").fetchall():
        stems.setdefault(of, {})[stem] = _average(heard.get(of, 0), *sums)
    summaries = []
    for of, songs, shared, *sums in database.execute(
        "select class, songs, shared, lyrics, lyrics2, by_each, by_each2 from classes order by class"
    ).fetchall():
        (lyrics, error), (each, each_error) = _average(shared, *sums[:2]), _average(shared, *sums[2:])
        shares = {stem: share for stem, (share, _) in stems.get(of, {}).items()}
        errors = {stem: error for stem, (_, error) in stems.get(of, {}).items()}
        summaries.append(ClassSummary(of, songs, songs >= min_songs, lyrics, each, shares, error, each_error, errors))
    return tuple(summaries)


def _average(count: int, total: float | None, squares: float | None) -> tuple[float, float]:
    """A mean and its standard error, from sums; no number where there is nothing to sum."""
    if not count or total is None or squares is None:
        return float("nan"), float("inf")
    mean = total / count
    error = (max(squares / count - mean * mean, 0.0) / (count - 1)) ** 0.5 if count > 1 else float("inf")
    return mean, error


def _resample(
    database: Any,
    out: Path,
    parts: Sequence[Sequence[str]],
    chosen: Sequence[tuple[str, str, str]],
    confidence: float,
    seed: int,
) -> list[tuple[float, float, float]]:
    """Percentiles of each chosen feature's mean over resampled songs."""
    if not chosen:
        return []
    of, kind, name = (list(column) for column in zip(*chosen, strict=True))
    database.register("chosen", pyarrow.table({"class": of, "kind": kind, "feature": name, "number": range(len(chosen))}))
    # Single precision: they are most of the memory that this takes, and an interval's ends need no more.
    sums, counts = (np.zeros((len(chosen), RESAMPLINGS), dtype=np.float32) for _ in range(2))
    for _ in read_parts(database, out, parts):
        database.execute(_PER_SONG)
        database.execute(
            "create or replace temp table picked as select * from per_song join chosen using (class, kind, feature)"
        )
        songs = database.execute("select distinct id from picked order by id").fetchall()
        rows = database.execute("select number, dense_rank() over (order by id) - 1 as song, w from picked").fetchnumpy()
        drawn = np.array([_draw_counts(song, seed) for (song,) in songs]).reshape(-1, RESAMPLINGS)
        present, place = np.unique(rows["number"], return_inverse=True)
        where, shape = (place, rows["song"]), (len(present), len(songs))
        sums[present] += sparse.csr_array((rows["w"], where), shape) @ drawn
        counts[present] += sparse.csr_array((np.ones(len(place)), where), shape) @ drawn
    # A resampling may hold none of a feature's songs; with ten of them one in 20,000 does.
    means = np.divide(sums, counts, out=sums, where=counts > 0)
    whole = counts.all(axis=1)
    limits = np.empty((3, len(chosen)))
    for number in np.flatnonzero(~whole):
        limits[:, [number]] = _describe_spread(means[[number]][:, counts[number] > 0], confidence)
    for some in np.array_split(np.flatnonzero(whole), len(chosen) // 10_000 + 1):
        limits[:, some] = _describe_spread(means[some], confidence)
    return list(zip(*limits.tolist(), strict=True))


def _describe_spread(means: np.ndarray, confidence: float) -> tuple[np.ndarray, ...]:
    """Of each row's resamplings: both ends of the interval, and the standard deviation."""
    low, high = np.percentile(means, [50 * (1 - confidence), 50 * (1 + confidence)], axis=1)
    return low, high, means.std(axis=1)


def _tell(features: Sequence[Feature], chosen: Sequence[int], spreads: Sequence[float], rate: float) -> Iterator[int]:
    """Which of the chosen features aren't zero, class by class."""
    for of in dict.fromkeys(features[number].of for number in chosen):
        own = [place for place, number in enumerate(chosen) if features[number].of == of]
        songs = torch.tensor([features[chosen[place]].songs for place in own], dtype=torch.float64)
        values = torch.tensor([features[chosen[place]].mean for place in own], dtype=torch.float64)
        # A bootstrap of n songs divides by n, not by n - 1.
        errors = torch.tensor([spreads[place] for place in own], dtype=torch.float64) * (songs / (songs - 1)).sqrt()
        told = discover(values, errors, songs - 1, rate).tolist()
        yield from (chosen[place] for place, found in zip(own, told, strict=True) if found)


def _draw_counts(song: str, seed: int) -> np.ndarray:
    """How often a song is in each resampling; the same whatever shard it is in."""
    key = int.from_bytes(hashlib.sha256(f"{seed} {song}".encode()).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key)).poisson(1.0, RESAMPLINGS).astype(float)
