"""Many explanations as one: what carries each class over a catalogue, by van der Linden et al. (2019, arXiv 1907.03039) and
better.

Their three numbers are computed as defined: LIME importance I_cj = sqrt(Σ|w|), average importance Σ|w| / count, and
homogeneity-weighted importance H_cj = (1 - (H_j - H_min) / (H_max - H_min)) I_cj, where H_j is the entropy in bits of I_cj
over classes. To these we add the signed mean over songs with its bootstrap interval. A feature is a word, whatever its case,
or a stem at a position. Its occurrences in one song are summed first, so that a song counts once. Shards are read some at a
time: memory depends on the number of features, not of songs.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from scipy import sparse

from musiclime_torch.corpus.findings.parts import add_up, cut_parts, open_tables, read_parts, reading
from musiclime_torch.corpus.findings.summaries import (
    ROTATED,
    ClassSummary,
    Feature,
    Global,
    Pair,
    compare_rotated,
    find_floors,
)
from musiclime_torch.surrogate.intervals import discover

#: Songs that a class or a feature must be in to be ranked: with fewer, a mean describes the songs and not the class.
MIN_SONGS = 10
#: Confidence of intervals over songs.
CONFIDENCE = 0.95
#: Resamplings of the songs behind an interval.
RESAMPLINGS = 500

# One row per song, class and feature: w is the sum of the feature's attributions in the song, size that of their absolute
# values, n their number. energy is Σ(w² − se²): E[ŵ²] = w² + se², so subtracting the squared errors leaves an unbiased
# estimate of the squared attributions themselves. Lines and sections are no features, for no two songs share one: their
# feature is null, and they count towards shares only. A tab separates stem and position; words never hold one, so names
# can't collide.
_PER_SONG = """
    create or replace temp table per_song as
    select id, class, kind, case when kind = 'audio' then stem || chr(9) || position
        else replace(lower(word), '’', '''') end as feature,
        any_value(stem) as stem, any_value(position) as position, sum(attribution) as w, sum(abs(attribution)) as size,
        sum(attribution * attribution - standard_error * standard_error) as energy, count(*) as n
    from part.attributions where not unseen and (predicted or {every})
    group by id, class, kind, feature
"""

_PAIRS = """
    select class, stem, word, songs, w / songs, sqrt(greatest(w2 - w * w / songs, 0) / (songs - 1) / songs)
    from pairs where songs >= $least order by class, songs desc, abs(w / songs) desc, stem, word
"""

# A song's stems with their shares of its energy; null where all of it is noise.
_STEMS = """stems as (
        select class, id, stem, greatest(sum(energy), 0) as e, sum(w) as w from per_song where kind = 'audio'
        group by class, id, stem),
    shares as (select class, id, stem, e / nullif(sum(e) over (partition by class, id), 0) as share, w from stems)"""

# Sums over the part's songs. A negative energy is sampling noise and counts as zero. Where nothing is left a song has no
# shares and isn't counted among those that have. Sums and sums of squares over songs are kept, from which means and their
# standard errors follow however the catalogue was cut into parts.
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
    "stems": f"""with {_STEMS} select class, stem, sum(share) as share, sum(share * share) as share2, count(*) as songs,
        sum(w) as w, sum(w * w) as w2 from shares group by class, stem""",
    "audible_songs": f"""with {_STEMS} select class, count(distinct id) as songs from shares where share is not null
        group by class""",
    "pairs": """with each as (
            select i.id, i.class, i.stem, replace(lower(i.word), '’', '''') as word, sum(interaction) as w
            from part.interactions i join part.songs s on i.id = s.id and (i.class = s.predicted or {every})
            where i.word is not null group by all)
        select class, stem, word, count(*) as songs, sum(w) as w, sum(w * w) as w2 from each group by class, stem, word""",
    # One row per song, of the few that are their own control.
    "rotated": ROTATED,
}

_JOINED = {
    "features": """select class, kind, feature, any_value(stem) as stem, any_value(position) as position,
        sum(songs)::bigint as songs, sum(components)::bigint as components, sum(size) as size, sum(w) as w
        from features group by class, kind, feature""",
    "classes": """select class, sum(songs)::bigint as songs, sum(shared)::bigint as shared, sum(lyrics) as lyrics,
        sum(lyrics2) as lyrics2, sum(by_each) as by_each, sum(by_each2) as by_each2 from classes group by class""",
    "stems": """select class, stem, sum(share) as share, sum(share2) as share2, sum(songs)::bigint as songs, sum(w) as w,
        sum(w2) as w2 from stems group by class, stem""",
    "audible_songs": "select class, sum(songs)::bigint as songs from audible_songs group by class",
    "pairs": """select class, stem, word, sum(songs)::bigint as songs, sum(w) as w, sum(w2) as w2 from pairs
        group by class, stem, word""",
}


def aggregate(
    out: str | Path,
    *,
    min_songs: int = MIN_SONGS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    all_classes: bool = False,
) -> Global:
    """Stream over a run's tables. Only explanations of the predicted class count, or with `all_classes` those of every class
    that the run wrote: a class then counts all songs, whatever was predicted.

    Intervals come from resampling songs (Poisson bootstrap, each song's counts drawn from its id), each feature by itself.
    `significant` allows for the number of a class's features: on average at most 1 - `confidence` of those marked are false
    discoveries.

    Raises:
        InputError: the folder holds no run, no song has been explained, or a table is damaged.
    """
    out = Path(out)
    with reading(out):
        return _aggregate(out, min_songs, confidence, seed, all_classes)


def _aggregate(out: Path, min_songs: int, confidence: float, seed: int, all_classes: bool) -> Global:
    database, parts = open_tables(out), cut_parts(out)
    per_song, sums = _count(_PER_SONG, all_classes), {name: _count(query, all_classes) for name, query in _SUMS.items()}
    songs = int(database.execute("select count(*) from songs").fetchall()[0][0])
    for _ in _read_songs(database, out, parts, per_song):
        add_up(database, sums, _JOINED)
    rows = database.execute(
        """select class, kind, feature, stem, position, songs, components, size, w / songs from features
            order by class, kind, feature"""
    ).fetchall()
    features, classes = _weigh(rows), _summarise(database, min_songs)
    ranked = {summary.name for summary in classes if summary.ranked}
    chosen = [
        number for number, feature in enumerate(features) if feature.songs >= min_songs and feature.class_name in ranked
    ]
    read = _read_songs(database, out, parts, per_song)
    limits = _resample(database, read, [rows[number][:3] for number in chosen], confidence, seed)
    for number, (low, high, _) in zip(chosen, limits, strict=True):
        features[number] = replace(features[number], low=low, high=high)
    for number in _find_significant(features, chosen, [spread for _, _, spread in limits], 1 - confidence):
        features[number] = replace(features[number], significant=True)
    failed = int(database.execute("select count(*) from failures").fetchall()[0][0])
    pairs = tuple(Pair(*row) for row in database.execute(_PAIRS, {"least": max(min_songs, 2)}).fetchall())
    floors, rotation = find_floors(database), compare_rotated(database)
    return Global(songs, failed, classes, tuple(features), pairs, floors, rotation, all_classes)


def _read_songs(database: Any, out: Path, parts: Sequence[Sequence[str]], per_song: str) -> Iterator[None]:
    """The table `per_song` of each part in turn."""
    for _ in read_parts(database, out, parts):
        database.execute(per_song)
        yield


def _count(query: str, all_classes: bool) -> str:
    """The query with the classes that it counts."""
    return query.replace("{every}", str(all_classes).lower())


def _weigh(rows: Sequence[tuple[Any, ...]]) -> list[Feature]:
    """Importances as van der Linden et al. define them."""
    importance: dict[tuple[str, str], dict[str, float]] = {}
    for class_name, kind, name, _, _, _, _, size, _ in rows:
        importance.setdefault((kind, name), {})[class_name] = float(np.sqrt(size))
    # A feature that matters to all classes alike has the largest entropy over classes and gets weight 0; one that matters
    # to a single class has entropy 0. Scaled by the range over all features; where all are alike, the weight is 1.
    entropies = {key: _entropy(list(by_class.values())) for key, by_class in importance.items()}
    low, high = min(entropies.values(), default=0.0), max(entropies.values(), default=0.0)
    features = []
    for class_name, kind, name, stem, position, songs, components, size, mean in rows:
        spread = (entropies[kind, name] - low) / (high - low) if high > low else 0.0
        lime = importance[kind, name][class_name]
        shown = name.replace("\t", " ") if kind == "audio" else name
        features.append(
            Feature(
                class_name,
                kind,
                shown,
                stem,
                position,
                songs,
                components,
                lime,
                size / components,
                (1 - spread) * lime,
                mean,
            )
        )
    return features


def _entropy(importances: Sequence[float]) -> float:
    total = sum(importances)
    shares = [importance / total for importance in importances if importance > 0] if total else []
    return float(-sum(share * np.log2(share) for share in shares))


def _summarise(database: Any, min_songs: int) -> tuple[ClassSummary, ...]:
    stems: dict[str, dict[str, tuple[float, float]]] = {}
    effects: dict[str, dict[str, tuple[float, float]]] = {}
    audible_songs = dict(database.execute("select class, songs from audible_songs").fetchall())
    for class_name, stem, share, share2, songs, *sums in database.execute(
        "select class, stem, share, share2, songs, w, w2 from stems order by class, stem"
    ).fetchall():
        stems.setdefault(class_name, {})[stem] = _average(audible_songs.get(class_name, 0), share, share2)
        effects.setdefault(class_name, {})[stem] = _average(songs, *sums)
    summaries = []
    for class_name, songs, shared, *sums in database.execute(
        "select class, songs, shared, lyrics, lyrics2, by_each, by_each2 from classes order by class"
    ).fetchall():
        (lyrics, error), (each, each_error) = _average(shared, *sums[:2]), _average(shared, *sums[2:])
        shares = {stem: share for stem, (share, _) in stems.get(class_name, {}).items()}
        errors = {stem: error for stem, (_, error) in stems.get(class_name, {}).items()}
        summaries.append(
            ClassSummary(
                class_name,
                songs,
                songs >= min_songs,
                lyrics,
                each,
                shares,
                error,
                each_error,
                errors,
                effects.get(class_name, {}),
            )
        )
    return tuple(summaries)


def _average(count: int, total: float | None, squares: float | None) -> tuple[float, float]:
    """A mean and its standard error, from sums; NaN and infinity where nothing was summed."""
    if not count or total is None or squares is None:
        return float("nan"), float("inf")
    # The variance of a mean from sums: (Σx² / n − x̄²) / (n − 1). Rounding may take the difference below zero.
    mean = total / count
    error = (max(squares / count - mean * mean, 0.0) / (count - 1)) ** 0.5 if count > 1 else float("inf")
    return mean, error


def _resample(
    database: Any,
    parts: Iterator[None],
    chosen: Sequence[tuple[str, str, str]],
    confidence: float,
    seed: int,
) -> list[tuple[float, float, float]]:
    """Percentiles and standard deviation of each chosen feature's mean over resampled songs; `parts` make the rows per song
    of each part in turn.
    """
    if not chosen:
        return []
    class_name, kind, name = (list(column) for column in zip(*chosen, strict=True))
    database.register(
        "chosen", pyarrow.table({"class": class_name, "kind": kind, "feature": name, "number": range(len(chosen))})
    )
    # Resampling n songs with replacement draws multinomial counts; independent Poisson(1) counts have the same limit and
    # need no n, so that each song draws its own from its id and shards can be read one after the other. Mean b of a
    # feature is then Σ count_b(song) w(song) / Σ count_b(song): two sparse products per part. Single precision: these are
    # most of the memory that this takes, and the ends of an interval need no more.
    sums, counts = (np.zeros((len(chosen), RESAMPLINGS), dtype=np.float32) for _ in range(2))
    for _ in parts:
        database.execute(
            "create or replace temp table picked as select * from per_song join chosen using (class, kind, feature)"
        )
        songs = database.execute("select distinct id from picked order by id").fetchall()
        rows = database.execute("select number, dense_rank() over (order by id) - 1 as song, w from picked").fetchnumpy()
        # Philox keyed by seed and id: a song's counts are the same in whichever part and order it is read, and pairs of
        # features of the same song share them, as in a resampling of whole songs.
        drawn = np.array([_draw_counts(song, seed) for (song,) in songs]).reshape(-1, RESAMPLINGS)
        present, place = np.unique(rows["number"], return_inverse=True)
        where, shape = (place, rows["song"]), (len(present), len(songs))
        sums[present] += sparse.csr_array((rows["w"], where), shape) @ drawn
        counts[present] += sparse.csr_array((np.ones(len(place)), where), shape) @ drawn
    # A resampling may hold none of a feature's songs: with ten songs one in 20,000 does (e⁻¹⁰).
    means = np.divide(sums, counts, out=sums, where=counts > 0)
    complete = counts.all(axis=1)
    limits = np.empty((3, len(chosen)))
    for number in np.flatnonzero(~complete):
        limits[:, [number]] = _describe_spread(means[[number]][:, counts[number] > 0], confidence)
    for some in np.array_split(np.flatnonzero(complete), len(chosen) // 10_000 + 1):
        limits[:, some] = _describe_spread(means[some], confidence)
    return list(zip(*limits.tolist(), strict=True))


def _describe_spread(means: np.ndarray, confidence: float) -> tuple[np.ndarray, ...]:
    """Both ends of the interval of each row's resampled means, and their standard deviation."""
    low, high = np.percentile(means, [50 * (1 - confidence), 50 * (1 + confidence)], axis=1)
    return low, high, means.std(axis=1)


def _find_significant(
    features: Sequence[Feature], chosen: Sequence[int], spreads: Sequence[float], rate: float
) -> Iterator[int]:
    """Numbers of the chosen features that are significant; false discoveries are controlled within each class."""
    for class_name in dict.fromkeys(features[number].class_name for number in chosen):
        members = [place for place, number in enumerate(chosen) if features[number].class_name == class_name]
        songs = torch.tensor([features[chosen[place]].songs for place in members], dtype=torch.float64)
        values = torch.tensor([features[chosen[place]].mean for place in members], dtype=torch.float64)
        # The variance of a bootstrap mean is Σ(w − w̄)² / n², where the usual estimate divides by n (n - 1).
        errors = torch.tensor([spreads[place] for place in members], dtype=torch.float64) * (songs / (songs - 1)).sqrt()
        discovered = discover(values, errors, songs - 1, rate).tolist()
        yield from (chosen[place] for place, is_significant in zip(members, discovered, strict=True) if is_significant)


def _draw_counts(song: str, seed: int) -> np.ndarray:
    """How often a song is in each resampling; the same whatever shard it is in."""
    key = int.from_bytes(hashlib.sha256(f"{seed} {song}".encode()).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key)).poisson(1.0, RESAMPLINGS).astype(float)
