"""A catalogue's classes as tables: on the terminal, and as CSV and Parquet."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow
from pyarrow import csv, parquet
from rich.markup import escape
from rich.table import Table

from musiclime_torch.corpus.aggregation import CONFIDENCE, Feature, Global, Pair
from musiclime_torch.corpus.auditing import Finding
from musiclime_torch.corpus.comparing import Comparison
from musiclime_torch.failures import InputError
from musiclime_torch.statistics.intervals import halve_interval
from musiclime_torch.writing import whole


def make_tables(found: Global, of: str | None, top: int) -> Iterator[Table]:
    """All classes side by side, then what carries each of them that has songs enough."""
    table = Table(title="Classes: shares of the squared attributions, freed of sampling noise")
    stems = list(dict.fromkeys(stem for one in found.classes for stem in one.stem_shares))
    for heading in ("class", "songs", "lyrics", "lyrics, a component", *stems):
        table.add_column(escape(heading), justify="left" if heading == "class" else "right")
    for one in found.classes:
        shares = [(one.lyrics_share, one.lyrics_error), (one.lyrics_share_by_component, one.lyrics_error_by_component)]
        shares += [(one.stem_shares.get(stem, math.nan), one.stem_errors.get(stem, math.inf)) for stem in stems]
        table.add_row(escape(one.name), str(one.songs), *(_say_share(*share, one.songs) for share in shares))
    yield table
    for one in found.classes:
        if one.ranked and of in (None, one.name):
            yield _make_ranking(
                one.name, one.songs, [*found.top(one.name, top, "lyrics"), *found.top(one.name, top, "audio")]
            )
            pairs = [pair for pair in found.pairs if pair.of == one.name][:top]
            if pairs:
                yield _make_pairs(one.name, pairs)


def _say_share(share: float, error: float, songs: int) -> str:
    if math.isnan(share):
        return "–"
    half = halve_interval(error, songs, CONFIDENCE)
    return f"{share:.0%}" if half > 1 else f"{100 * share:.0f} ± {100 * half:.0f}%"


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


def make_comparison(found: Comparison, top: int) -> Table:
    """The largest shifts between two runs."""
    table = Table(title="Features whose mean attribution differs by more than three standard errors")
    table.add_column("class", no_wrap=True)
    table.add_column("feature", no_wrap=True)
    for heading in ("songs", "first", "second", "change"):
        table.add_column(heading, justify="right")
    for one in found.shifts[:top]:
        numbers = (f"{number:+.3f}" for number in (one.first, one.second, one.change))
        table.add_row(escape(one.of), escape(one.name), str(one.songs), *numbers)
    return table


def write_summary(found: Global, findings: Sequence[Finding], out: Path) -> None:
    """features, classes, pairs and findings, each as .csv and .parquet. InputError where the folder can't be written to."""
    classes = []
    for one in found.classes:
        row = asdict(one)
        shares, errors = row.pop("stem_shares"), row.pop("stem_errors")
        row |= {f"share of {stem}": share for stem, share in shares.items()}
        classes.append(row | {f"standard error of {stem}": error for stem, error in errors.items()})
    tables = {
        "features": [asdict(one) for one in found.features],
        "classes": classes,
        "pairs": [asdict(one) for one in found.pairs],
        "findings": [{**asdict(one), "examples": ", ".join(one.examples)} for one in findings],
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            # A column that only some rows have would be lost where the first one lacks it.
            names = dict.fromkeys(name for row in rows for name in row)
            columns = {name: [row.get(name) for row in rows] for name in names}
            table = pyarrow.table(columns or {"said": pyarrow.array([], pyarrow.string())})
            with whole(out / f"{name}.parquet") as partial:
                parquet.write_table(table, partial)
            with whole(out / f"{name}.csv") as partial:
                csv.write_csv(table, partial)
    except OSError as error:
        raise InputError(f"{str(out)!r} can't be written to ({error.strerror}): give another --out folder.") from error
