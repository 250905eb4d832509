"""A catalogue, or two runs compared, on the terminal; and the comparison as CSV and Parquet.

A catalogue shows what stands out, then classes side by side, and each with its map of stems and moments. A comparison
shows where two runs differ.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from musiclime_torch.corpus.findings.aggregation import CONFIDENCE
from musiclime_torch.corpus.findings.auditing import Finding
from musiclime_torch.corpus.findings.comparing import Alone, Comparison, Move, Shift
from musiclime_torch.corpus.findings.summaries import ClassSummary, Feature, Global, Pair, has_words
from musiclime_torch.corpus.reports.columns import (
    NUMBER,
    TEXT,
    clean,
    label,
    list_columns,
    make_cell,
    make_label,
    make_table,
    show,
    write_tables,
)
from musiclime_torch.surrogate.intervals import halve_interval

#: Positions in a row of a map, stems in a row of shares, and classes side by side: more don't fit into 80 columns.
WIDE, STEMS, BESIDE = 8, 4, 5

#: Songs named for what stands out.
NAMED = 5

#: Shown in place of a number that is not significant.
NOT_SIGNIFICANT = "·"


def say_finding(finding: Finding) -> Iterator[str]:
    """The finding, then songs to look at."""
    yield clean(f"{finding.kind}: {finding.message}")
    if finding.examples:
        yield f"    for example {', '.join(map(show, finding.examples[:NAMED]))}"


def say_left_out(catalogue: Global, names: Sequence[str]) -> Iterator[str]:
    """Which of the chosen classes aren't ranked, and how many more there are than are shown side by side."""
    for summary in catalogue.classes:
        if summary.name in names and not summary.ranked:
            yield f"{show(summary.name)}: {summary.songs} {'song' if summary.songs == 1 else 'songs'}, too few to rank."
    more = len(_list_ranked(catalogue, names)) - BESIDE
    if more > 0:
        yield f"Only the {BESIDE} classes with the most songs are shown side by side; choose among the other {more} by name."


def make_tables(catalogue: Global, names: Sequence[str], top: int) -> Iterator[Table]:
    """All classes by their shares; then the chosen ones, or all, side by side and one by one, where they have enough
    songs.
    """
    yield from _make_shares(catalogue)
    ranked = _list_ranked(catalogue, names)
    if len(ranked) > 1:
        yield _make_side_by_side(catalogue, sorted(ranked, key=lambda summary: -summary.songs)[:BESIDE], top)
    for summary in ranked:
        features = [*catalogue.top(summary.name, top, "lyrics"), *catalogue.top(summary.name, top, "audio")]
        yield _make_ranking(summary.name, summary.songs, features)
        yield from _make_map(catalogue, summary.name)
        pairs = [pair for pair in catalogue.pairs if pair.class_name == summary.name][:top]
        if pairs:
            yield _make_pairs(summary.name, pairs)


def _list_ranked(catalogue: Global, names: Sequence[str]) -> list[ClassSummary]:
    return [summary for summary in catalogue.classes if summary.ranked and (not names or summary.name in names)]


def _make_shares(catalogue: Global) -> Iterator[Table]:
    worded = has_words(catalogue.classes)
    table = _begin_table("Shares of squared attributions, freed of noise" if worded else "Songs", "class")
    _add_numbers(table, "songs", *(("lyrics", "lyrics, a component") if worded else ()))
    for summary in catalogue.classes:
        shares = [
            (summary.lyrics_share, summary.lyrics_error),
            (summary.lyrics_share_by_component, summary.lyrics_error_by_component),
        ][: 2 * worded]
        table.add_row(make_cell(summary.name), str(summary.songs), *(_say_share(*share, summary.songs) for share in shares))
    yield table
    stems = list(dict.fromkeys(stem for summary in catalogue.classes for stem in summary.stem_shares))
    for first in range(0, len(stems) if len(stems) > 1 else 0, STEMS):
        some = stems[first : first + STEMS]
        table = _begin_table("The sound's shares" if not first else "", "class")
        _add_numbers(table, *some, most=12)
        for summary in catalogue.classes:
            shares = [(summary.stem_shares.get(stem, math.nan), summary.stem_errors.get(stem, math.inf)) for stem in some]
            table.add_row(make_cell(summary.name), *(_say_share(*share, summary.songs) for share in shares))
        yield table


def _begin_table(title: str, names: str) -> Table:
    """A table whose first column is shortened where there is no room."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column(names)
    return table


def _add_numbers(table: Table, *headings: str, most: int | None = None) -> None:
    """Columns that are never cut, except headings of more than `most` characters."""
    for heading in headings:
        table.add_column(make_cell(heading), justify="right", no_wrap=True, max_width=most)


def _say_share(share: float, error: float, songs: int) -> str:
    if math.isnan(share):
        return "–"
    half = halve_interval(error, songs, CONFIDENCE)
    return f"{share:.0%}" if half > 1 else f"{100 * share:.0f} ± {100 * half:.0f}%"


def _make_side_by_side(catalogue: Global, classes: Sequence[ClassSummary], top: int) -> Table:
    """The top features of any of the classes, by their mean in each, those that differ most first."""
    names = [feature.name for feature in classes]
    known = {
        (feature.kind, feature.name, feature.class_name): feature
        for feature in catalogue.features
        if feature.low is not None and feature.class_name in names
    }
    chosen = dict.fromkeys(
        (feature.kind, feature.name)
        for class_name in names
        for kind in ("lyrics", "audio")
        for feature in catalogue.top(class_name, top, kind)
    )
    rows = [[known.get((*key, class_name)) for class_name in names] for key in chosen]
    order = sorted(zip(chosen, rows, strict=True), key=lambda pair: -_spread(pair[1]))[: 2 * top]
    table = _begin_table(f"Side by side: means ({NOT_SIGNIFICANT}: not significant)", "feature")
    _add_numbers(table, *names, most=max(56 // len(names) - 3, 9))
    for (kind, name), row in order:
        table.add_row(make_label(kind, name), *(_say_mean(feature) for feature in row))
    return table


def _spread(row: Sequence[Feature | None]) -> float:
    means = [feature.mean if feature is not None and feature.significant else 0.0 for feature in row]
    return max(means) - min(means)


def _say_mean(feature: Feature | None) -> str:
    if feature is None or feature.low is None:
        return ""
    return f"{feature.mean:+.3f}" if feature.significant else NOT_SIGNIFICANT


def _make_map(catalogue: Global, name: str) -> Iterator[Table]:
    """Stems by the segments of the song, counted from one; long songs in several tables."""
    cells = {
        (feature.stem, feature.position): feature
        for feature in catalogue.features
        if feature.class_name == name and feature.position is not None
    }
    stems = list(dict.fromkeys(stem for stem, _ in cells))
    count = 1 + max((place for _, place in cells if place is not None), default=-1)
    for first in range(0, count, WIDE):
        places = range(first, min(first + WIDE, count))
        table = _begin_table(
            f"{show(name)}: stems and moments" + (f", from segment {first + 1}" if first else ""), "segment"
        )
        _add_numbers(table, *(str(place + 1) for place in places))
        for stem in stems:
            table.add_row(make_cell(str(stem)), *(_say_mean(cells.get((stem, place))) for place in places))
        yield table


def _make_ranking(name: str, songs: int, features: Sequence[Feature]) -> Table:
    table = _begin_table(f"{show(name)}: means over {songs} songs, where significant", "feature")
    # Importances of van der Linden et al.: the average, LIME's, and that weighted by homogeneity.
    _add_numbers(table, "songs", "mean", "95%", "avg", "LIME", "hom.")
    for feature in features:
        interval = "" if feature.low is None or feature.high is None else f"{feature.low:+.3f} to {feature.high:+.3f}"
        numbers = (feature.average, feature.importance, feature.homogeneity)
        table.add_row(
            make_label(feature.kind, feature.name),
            str(feature.songs),
            f"{feature.mean:+.3f}",
            interval,
            *(f"{number:.3f}" for number in numbers),
        )
    if not features:
        table.add_row("nothing")
    return table


def _make_pairs(name: str, pairs: Sequence[Pair]) -> Table:
    table = _begin_table(f"{show(name)}: stems and words that act together", "pair")
    _add_numbers(table, "songs where it shows", "mean there", "95%")
    for pair in pairs:
        half = pair.half_width(CONFIDENCE)
        table.add_row(make_cell(f"{pair.stem} × {pair.word}"), str(pair.songs), f"{pair.mean:+.3f}", f"± {half:.3f}")
    return table


def describe_comparison(comparison: Comparison, top: int) -> Iterator[str]:
    """What two runs have in common, which songs only one of them has, and how many decisions and means changed."""
    summary = f"{comparison.songs} songs in both; the decision changed in {comparison.decided_otherwise}."
    if comparison.agreement is not None:
        summary += f" Where it did not, attributions correlate at {comparison.agreement:.2f}."
    yield summary
    if comparison.altered:
        yield f"{comparison.altered} of them have other sound or lyrics in the second run, which changes attributions too."
    for run, other, alone in (("first", "second", comparison.only_first), ("second", "first", comparison.only_second)):
        if alone.songs:
            failed = f" ({alone.failed} failed in the {other})" if alone.failed else ""
            yield f"{alone.songs} only in the {run} run{failed}: {_name_some(alone.examples, alone.songs)}"
    for move in comparison.moves[:top]:
        names = f"{show(move.before)} became {show(move.after)}"
        yield f"  {names} in {move.songs}: {_name_some(move.examples, move.songs)}"
    if len(comparison.moves) > top:
        yield f"  and {len(comparison.moves) - top} more, in {sum(move.songs for move in comparison.moves[top:])}"
    yield f"{len(comparison.shifts)} of {comparison.compared} means that were compared changed."


def describe_shift(shift: Shift) -> str:
    """The songs in which the shift is largest."""
    examples = _name_some(shift.examples, shift.songs)
    return f"{show(shift.class_name)}, {show(label(shift.kind, shift.name))}: changed most in {examples}"


def _name_some(examples: Sequence[str], songs: int) -> str:
    return ", ".join(map(show, examples)) + (", …" if songs > len(examples) else "")


def make_comparison(comparison: Comparison, top: int) -> Table:
    """The largest shifts between two runs."""
    table = Table(
        title="Mean attributions that changed, with 95% intervals of the change", box=box.SIMPLE, padding=(0, 1, 0, 0)
    )
    table.add_column("class")
    table.add_column("feature")
    for heading in ("songs", "first", "second", "change", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for shift in comparison.shifts[:top]:
        numbers = (
            f"{shift.first:+.3f}",
            f"{shift.second:+.3f}",
            f"{shift.change:+.3f} ± {shift.half_width(CONFIDENCE):.3f}",
        )
        names = (make_cell(shift.class_name), make_label(shift.kind, shift.name))
        table.add_row(*names, str(shift.songs), *numbers, f"{shift.share:.1%}")
    return table


def write_comparison(comparison: Comparison, out: Path) -> None:
    """shifts, moves, songs that only one run has, and a row for each example of a shift, each as .csv and .parquet.

    InputError where the folder can't be written to.
    """
    shifts = [
        asdict(shift) | {"change": shift.change, "half_width": shift.half_width(CONFIDENCE)} for shift in comparison.shifts
    ]
    examples = [
        {"class_name": shift.class_name, "kind": shift.kind, "name": shift.name, "id": song}
        for shift in comparison.shifts
        for song in shift.examples
    ]
    songs_alone = [
        asdict(alone) | {"run": run} for run, alone in (("first", comparison.only_first), ("second", comparison.only_second))
    ]
    tables = {
        "shifts": make_table(list_columns(Shift) | {"change": NUMBER, "half_width": NUMBER}, shifts),
        "moves": make_table(list_columns(Move), map(asdict, comparison.moves)),
        "alone": make_table({"run": TEXT} | list_columns(Alone), songs_alone),
        "examples": make_table(dict.fromkeys(("class_name", "kind", "name", "id"), TEXT), examples),
    }
    write_tables(tables, out)
