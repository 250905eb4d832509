"""The value of a catalogue: features, classes and pairs with their figures, as `aggregation.py` computes them.

Songs that were explained as their own control add a noise floor, and show whether attribution follows the music or the
position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from musiclime_torch.surrogate.intervals import halve_interval

#: Share of the decoys that lie below the floor.
BELOW = 0.95
#: Songs named as examples.
EXAMPLES = 10

# The floor is the 95% quantile of the decoys' absolute attributions: a real component below it is no larger than what
# nothing gets. noise and real are mean squares with the squared standard errors subtracted, so what is left of a decoy's
# is due to the model and the masking, not to the draw of masks.
_FLOORS = """
    select kind, count(distinct id) filter (decoy) as songs, quantile_cont(abs(attribution), $below) filter (decoy) as floor,
        avg(attribution * attribution - standard_error * standard_error) filter (decoy) as noise,
        avg(attribution * attribution - standard_error * standard_error) filter (not decoy) as real
    from controls group by kind having count(*) filter (decoy) > 0 order by kind
"""

# What is significant in the songs themselves, and how much of that is no larger than the floor.
_BELOW = """
    select avg((abs(attribution) <= $floor)::int) from attributions where predicted and significant and kind = $kind
"""

#: For each rotated segment of a part's songs: its attribution now, what the unrotated song had at this position (there),
#: and what it had for this music (same). With attributions centred within a song's stem, position and music are the slopes
#: of now = position · there + music · same + error, by least squares; the query sums the products that its normal
#: equations need.
ROTATED = """
    with matched as (
        select c.id, c.stem, c.attribution as now, there.attribution as there, same.attribution as same
        from part.controls c
        join part.attributions there on there.id = c.id and there.class = c.class and there.stem = c.stem
            and there.position = c.position
        join part.attributions same on same.id = c.id and same.class = c.class and same.stem = c.stem
            and same.position = c.origin
        where c.kind = 'audio' and not c.decoy and c.position <> c.origin and not there.unseen and not same.unseen),
    centred as (
        select id, now - avg(now) over w as now, there - avg(there) over w as there, same - avg(same) over w as same
        from matched window w as (partition by id, stem))
    select id, sum(there * there) as there2, sum(same * same) as same2, sum(there * same) as both,
        sum(there * now) as there_now, sum(same * now) as same_now
    from centred group by id
"""


@dataclass(frozen=True)
class Floor:
    """How large the attributions are that irrelevant components get: 95% of them are smaller than `size`.

    `ratio` compares decoys with real components (root mean squares, freed of sampling noise); `hidden` is the share of what
    is significant in the catalogue that is no larger than the floor.
    """

    kind: str
    songs: int
    size: float
    ratio: float
    hidden: float


@dataclass(frozen=True)
class Rotation:
    """Regression of rotated songs' attributions on what the position had and on what the music had, centred within each
    song's stems. `error` is the standard error of `position`, by the jackknife over songs. `examples` are ids of the songs
    in which most stays at its position.
    """

    songs: int
    position: float
    music: float
    error: float
    examples: tuple[str, ...]


def find_floors(tables: Any) -> tuple[Floor, ...]:
    """A floor for the sound and one for the lyrics, where songs were explained as their own control."""
    floors = []
    for kind, songs, size, noise, real in tables.execute(_FLOORS, {"below": BELOW}).fetchall():
        ratio = (max(noise, 0.0) / real) ** 0.5 if real and real > 0 else 0.0
        hidden = tables.execute(_BELOW, {"floor": size, "kind": kind}).fetchall()[0][0]
        floors.append(Floor(kind, songs, size, ratio, hidden or 0.0))
    return tuple(floors)


def compare_rotated(tables: Any) -> Rotation | None:
    """Does attribution follow the music? From the table `rotated`, all parts' `ROTATED`.

    None with fewer than two rotated songs, or with two segments, where position and music can't be separated.
    """
    columns = tables.execute("select * exclude (id) from rotated order by id").fetchnumpy()
    sums = np.stack([np.asarray(column, dtype=float) for column in columns.values()])
    total = sums.sum(1, keepdims=True)
    position, music = _regress(total)
    if sums.shape[1] < 2 or np.isnan(position[0]):
        return None
    # The jackknife: slopes without each song in turn, and (n − 1) / n times their squared deviations. Songs, not segments,
    # are independent of each other.
    spread = _regress(total - sums)[0]
    spread = spread[~np.isnan(spread)]
    count = len(spread)
    error = float(np.sqrt((count - 1) / count * ((spread - spread.mean()) ** 2).sum())) if count > 1 else float("inf")
    staying = tables.execute(f"select id from rotated order by there_now desc, id limit {EXAMPLES}").fetchall()
    return Rotation(sums.shape[1], float(position[0]), float(music[0]), error, tuple(song for (song,) in staying))


def _regress(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both slopes, from columns of sums of products; NaN where position and music are collinear."""
    there, same, both, there_now, same_now = sums
    # Cramer's rule on the two normal equations.
    determinant = there * same - both * both
    determinant = np.where(determinant > 1e-6 * there * same, determinant, np.nan)
    return (same * there_now - both * same_now) / determinant, (there * same_now - both * there_now) / determinant


@dataclass(frozen=True)
class Feature:
    """What a feature does for a class. `mean` is signed and taken over the songs that have the feature, `low` to `high` is
    its interval (None where it isn't ranked). `significant` allows for the number of features that were tested;
    `components` counts occurrences.
    """

    class_name: str
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
    significant: bool = False


@dataclass(frozen=True)
class ClassSummary:
    """A class over its songs: the lyrics' and each stem's share of all squared attributions, freed of sampling noise.

    A share is the mean over the songs where anything is left of it (NaN where that is none). Shares by component divide by
    the number of components first, so that long lyrics can't inflate them. `stem_effects` are what each stem adds over the
    whole song: the mean over songs of the sum of its attributions, with its standard error. Errors are over songs, infinite
    for a single song.
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
    stem_effects: dict[str, tuple[float, float]] = field(default_factory=dict)


def has_words(classes: Sequence[ClassSummary]) -> bool:
    """Whether words have a share in any class: a catalogue without lyrics has nothing to say about them."""
    # NaN, where nothing is left of a class, isn't nothing: it is shown as unknown.
    return any(summary.lyrics_share != 0 for summary in classes)


@dataclass(frozen=True)
class Pair:
    """A stem and a word that act together in a class. `songs` counts those in which their interaction is significant;
    `mean` and `standard_error` are taken over these songs alone, occurrences in one song summed.
    """

    class_name: str
    stem: str
    word: str
    songs: int
    mean: float
    standard_error: float

    def half_width(self, confidence: float) -> float:
        """Half the interval of the mean."""
        return halve_interval(self.standard_error, self.songs, confidence)


@dataclass(frozen=True)
class Run:
    """What ran over a catalogue. `settings` are those that differ from the defaults, as text; `seconds` are those of the
    shortest and the longest song; `wrote_all` says whether every class was written, not only the predicted one; `songs` are
    the first ones' (id, title, class, file).
    """

    model: str
    settings: tuple[tuple[str, str], ...]
    seconds: tuple[float, float] | None
    wrote_all: bool
    songs: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class Global:
    """All classes of a catalogue; `floors` and `rotation` where songs were explained as their own control. With
    `all_classes` each class counts every song, else those that the model gave it.
    """

    songs: int
    failures: int
    classes: tuple[ClassSummary, ...]
    features: tuple[Feature, ...]
    pairs: tuple[Pair, ...]
    floors: tuple[Floor, ...]
    rotation: Rotation | None
    all_classes: bool = False

    def top(self, class_name: str, k: int, kind: str | None = None) -> list[Feature]:
        """The k features of a class with the largest means that are significant, largest first."""
        chosen = [
            feature
            for feature in self.features
            if feature.class_name == class_name and feature.significant and kind in (None, feature.kind)
        ]
        return sorted(chosen, key=lambda feature: -abs(feature.mean))[:k]
