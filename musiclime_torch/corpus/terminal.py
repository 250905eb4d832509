"""A catalogue on the terminal: what stands out, then classes side by side, and each with its map of stems and moments."""

import math
from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from musiclime_torch.corpus.aggregation import CONFIDENCE, ClassSummary, Feature, Global, Pair
from musiclime_torch.corpus.auditing import Finding
from musiclime_torch.statistics.intervals import halve_interval

#: Positions in a row of a map, and classes side by side: more don't fit into 80 columns.
WIDE, BESIDE = 8, 5
#: Songs named for what stands out.
NAMED = 5
#: What stands for a number that can't be told from zero.
UNTOLD = "·"


def say_finding(one: Finding) -> Iterator[str]:
    """What stands out, then songs to look at."""
    yield f"{one.kind}: {one.said}"
    if one.examples:
        yield f"    for example {', '.join(one.examples[:NAMED])}"


def make_tables(found: Global, of: Sequence[str], top: int) -> Iterator[Table]:
    """All classes by their shares, then some or all of them side by side and one by one, where they have songs enough."""
    yield _make_shares(found)
    ranked = [one for one in found.classes if one.ranked and (not of or one.name in of)]
    if len(ranked) > 1:
        yield _make_side_by_side(found, sorted(ranked, key=lambda one: -one.songs)[:BESIDE], top)
    for one in ranked:
        features = [*found.top(one.name, top, "lyrics"), *found.top(one.name, top, "audio")]
        yield _make_ranking(one.name, one.songs, features)
        yield from _make_map(found, one.name)
        pairs = [pair for pair in found.pairs if pair.of == one.name][:top]
        if pairs:
            yield _make_pairs(one.name, pairs)


def _make_shares(found: Global) -> Table:
    table = Table(title="Classes: shares of the squared attributions, freed of sampling noise")
    stems = list(dict.fromkeys(stem for one in found.classes for stem in one.stem_shares))
    for heading in ("class", "songs", "lyrics", "lyrics, a component", *stems):
        table.add_column(escape(heading), justify="left" if heading == "class" else "right")
    for one in found.classes:
        shares = [(one.lyrics_share, one.lyrics_error), (one.lyrics_share_by_component, one.lyrics_error_by_component)]
        shares += [(one.stem_shares.get(stem, math.nan), one.stem_errors.get(stem, math.inf)) for stem in stems]
        table.add_row(escape(one.name), str(one.songs), *(_say_share(*share, one.songs) for share in shares))
    return table


def _say_share(share: float, error: float, songs: int) -> str:
    if math.isnan(share):
        return "–"
    half = halve_interval(error, songs, CONFIDENCE)
    return f"{share:.0%}" if half > 1 else f"{100 * share:.0f} ± {100 * half:.0f}%"


def _make_side_by_side(found: Global, classes: Sequence[ClassSummary], top: int) -> Table:
    """What any of the classes ranks high, by its mean in each, the furthest apart first."""
    names = [one.name for one in classes]
    known = {(one.kind, one.name, one.of): one for one in found.features if one.low is not None and one.of in names}
    chosen = dict.fromkeys(
        (one.kind, one.name) for of in names for kind in ("lyrics", "audio") for one in found.top(of, top, kind)
    )
    rows = [[known.get((*key, of)) for of in names] for key in chosen]
    order = sorted(zip(chosen, rows, strict=True), key=lambda pair: -_spread(pair[1]))[: 2 * top]
    table = Table(title=f"Side by side: means ({UNTOLD}: can't be told from zero; empty: in too few songs)")
    table.add_column("feature", no_wrap=True)
    for name in names:
        table.add_column(escape(name), justify="right")
    for (_, name), row in order:
        table.add_row(escape(name), *(_say_mean(one) for one in row))
    return table


def _spread(row: Sequence[Feature | None]) -> float:
    means = [one.mean if one is not None and one.told else 0.0 for one in row]
    return max(means) - min(means)


def _say_mean(one: Feature | None) -> str:
    if one is None or one.low is None:
        return ""
    return f"{one.mean:+.3f}" if one.told else UNTOLD


def _make_map(found: Global, name: str) -> Iterator[Table]:
    """Stems by the segments of the song, counted from one; long songs in several tables."""
    cells = {(one.stem, one.position): one for one in found.features if one.of == name and one.position is not None}
    stems = list(dict.fromkeys(stem for stem, _ in cells))
    count = 1 + max((place for _, place in cells if place is not None), default=-1)
    for first in range(0, count, WIDE):
        places = range(first, min(first + WIDE, count))
        title = f"{escape(name)}: stems and moments" + (f", from segment {first + 1}" if first else "")
        table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
        table.add_column("segment", no_wrap=True)
        for place in places:
            table.add_column(str(place + 1), justify="right", no_wrap=True)
        for stem in stems:
            table.add_row(escape(str(stem)), *(_say_mean(cells.get((stem, place))) for place in places))
        yield table


def _make_ranking(name: str, songs: int, features: Sequence[Feature]) -> Table:
    table = Table(title=f"{escape(name)}: means over {songs} songs that can be told from zero")
    table.add_column("feature", no_wrap=True)
    # Importances: the average, LIME's, and that weighted by homogeneity.
    for heading in ("songs", "mean", "95%", "average", "LIME", "weighted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in features:
        interval = "" if one.low is None or one.high is None else f"{one.low:+.3f} to {one.high:+.3f}"
        numbers = (one.average, one.importance, one.homogeneity)
        table.add_row(
            escape(one.name), str(one.songs), f"{one.mean:+.3f}", interval, *(f"{number:.3f}" for number in numbers)
        )
    if not features:
        table.add_row("nothing")
    return table


def _make_pairs(name: str, pairs: Sequence[Pair]) -> Table:
    table = Table(title=f"{escape(name)}: stems and words that act together")
    table.add_column("pair", no_wrap=True)
    table.add_column("songs where it shows", justify="right")
    table.add_column("mean there", justify="right")
    table.add_column("95%", justify="right")
    for pair in pairs:
        half = pair.half_width(CONFIDENCE)
        table.add_row(escape(f"{pair.stem} × {pair.word}"), str(pair.songs), f"{pair.mean:+.3f}", f"± {half:.3f}")
    return table
