"""The value of a catalogue: features, classes and pairs with their figures, as `aggregation.py` computes them."""

from dataclasses import dataclass

from musiclime_torch.corpus.findings.control_results import Floor, Rotation
from musiclime_torch.surrogate.intervals import halve_interval


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
    the number of components first, so that long lyrics can't inflate them. Errors are standard errors over songs, infinite
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
class Global:
    """All classes of a catalogue; `floors` and `rotation` where songs were explained as their own control."""

    songs: int
    failures: int
    classes: tuple[ClassSummary, ...]
    features: tuple[Feature, ...]
    pairs: tuple[Pair, ...]
    floors: tuple[Floor, ...]
    rotation: Rotation | None

    def top(self, class_name: str, k: int, kind: str | None = None) -> list[Feature]:
        """The k features of a class with the largest means that are significant, largest first."""
        chosen = [
            feature
            for feature in self.features
            if feature.class_name == class_name and feature.significant and kind in (None, feature.kind)
        ]
        return sorted(chosen, key=lambda feature: -abs(feature.mean))[:k]
