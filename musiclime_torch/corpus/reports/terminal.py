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

from musiclime_torch.corpus.findings.aggregation import CONFIDENCE, ClassSummary, Feature, Global, Pair
from musiclime_torch.corpus.findings.auditing import Finding
from musiclime_torch.corpus.findings.comparing import Alone, Comparison, Move, Shift
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

#: What stands for a number that is not significant.
UNTOLD = "·"


def say_finding(one: Finding) -> Iterator[str]:
    """What stands out, then songs to look at."""
    yield clean(f"{one.kind}: {one.said}")
    if one.examples:
        yield f"    for example {', '.join(map(show, one.examples[:NAMED]))}"


def say_left_out(found: Global, of: Sequence[str]) -> Iterator[str]:
    """Of the classes asked for those that aren't ranked; and that there are more than stand side by side."""
    for one in found.classes:
        if one.name in of and not one.ranked:
            yield f"{show(one.name)}: {one.songs} {'song' if one.songs == 1 else 'songs'}, too few to rank."
    more = len(_list_ranked(found, of)) - BESIDE
    if more > 0:
        yield f"Side by side stand the {BESIDE} classes with the most songs; {more} more can be chosen (--class A,B)."


def make_tables(found: Global, of: Sequence[str], top: int) -> Iterator[Table]:
    """All classes by their shares, then some or all of them side by side and one by one, where they have songs enough."""
    yield from _make_shares(found)
    ranked = _list_ranked(found, of)
    if len(ranked) > 1:
        yield _make_side_by_side(found, sorted(ranked, key=lambda one: -one.songs)[:BESIDE], top)
    for one in ranked:
        features = [*found.top(one.name, top, "lyrics"), *found.top(one.name, top, "audio")]
        yield _make_ranking(one.name, one.songs, features)
        yield from _make_map(found, one.name)
        pairs = [pair for pair in found.pairs if pair.of == one.name][:top]
        if pairs:
            yield _make_pairs(one.name, pairs)


def _list_ranked(found: Global, of: Sequence[str]) -> list[ClassSummary]:
    return [one for one in found.classes if one.ranked and (not of or one.name in of)]


def _make_shares(found: Global) -> Iterator[Table]:
    table = _begin_table("Shares of squared attributions, freed of noise", "class")
    _add_numbers(table, "songs", "lyrics", "lyrics, a component")
    for one in found.classes:
        shares = [(one.lyrics_share, one.lyrics_error), (one.lyrics_share_by_component, one.lyrics_error_by_component)]
        table.add_row(make_cell(one.name), str(one.songs), *(_say_share(*share, one.songs) for share in shares))
    yield table
    stems = list(dict.fromkeys(stem for one in found.classes for stem in one.stem_shares))
    for first in range(0, len(stems) if len(stems) > 1 else 0, STEMS):
        some = stems[first : first + STEMS]
        table = _begin_table("The sound's shares" if not first else "", "class")
        _add_numbers(table, *some, most=12)
        for one in found.classes:
            shares = [(one.stem_shares.get(stem, math.nan), one.stem_errors.get(stem, math.inf)) for stem in some]
            table.add_row(make_cell(one.name), *(_say_share(*share, one.songs) for share in shares))
        yield table


def _begin_table(title: str, names: str) -> Table:
    """Its first column gives way where there is no room."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column(names)
    return table


def _add_numbers(table: Table, *headings: str, most: int | None = None) -> None:
    """Columns that are never cut, but for headings of more than `most` characters."""
    for heading in headings:
        table.add_column(make_cell(heading), justify="right", no_wrap=True, max_width=most)


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
    table = _begin_table(f"Side by side: means ({UNTOLD}: not significant)", "feature")
    _add_numbers(table, *names, most=max(56 // len(names) - 3, 9))
    for (kind, name), row in order:
        table.add_row(make_label(kind, name), *(_say_mean(one) for one in row))
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
        table = _begin_table(
            f"{show(name)}: stems and moments" + (f", from segment {first + 1}" if first else ""), "segment"
        )
        _add_numbers(table, *(str(place + 1) for place in places))
        for stem in stems:
            table.add_row(make_cell(str(stem)), *(_say_mean(cells.get((stem, place))) for place in places))
        yield table


def _make_ranking(name: str, songs: int, features: Sequence[Feature]) -> Table:
    table = _begin_table(f"{show(name)}: means over {songs} songs, where significant", "feature")
    # Importances: the average, LIME's, and that weighted by homogeneity.
    _add_numbers(table, "songs", "mean", "95%", "avg", "LIME", "hom.")
    for one in features:
        interval = "" if one.low is None or one.high is None else f"{one.low:+.3f} to {one.high:+.3f}"
        numbers = (one.average, one.importance, one.homogeneity)
        table.add_row(
            make_label(one.kind, one.name),
            str(one.songs),
            f"{one.mean:+.3f}",
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


def describe_comparison(found: Comparison, top: int) -> Iterator[str]:
    """What two runs have in common, which songs only one of them has, how decisions moved, and how many means did."""
    said = f"{found.songs} songs in both; {found.decided_otherwise} are decided otherwise."
    if found.agreement is not None:
        said += f" Where they are decided alike, attributions correlate at {found.agreement:.2f}."
    yield said
    if found.altered:
        yield f"{found.altered} of them have other sound or lyrics in the second run: that moves attributions too."
    for run, other, one in (("first", "second", found.only_first), ("second", "first", found.only_second)):
        if one.songs:
            failed = f" ({one.failed} failed in the {other})" if one.failed else ""
            yield f"{one.songs} only in the {run} run{failed}: {_name_some(one.examples, one.songs)}"
    for move in found.moves[:top]:
        names = f"{show(move.before)} became {show(move.after)}"
        yield f"  {names} in {move.songs}: {_name_some(move.examples, move.songs)}"
    if len(found.moves) > top:
        yield f"  and {len(found.moves) - top} more, in {sum(one.songs for one in found.moves[top:])}"
    yield f"{len(found.shifts)} of {found.compared} means that were compared have moved."


def describe_shift(one: Shift) -> str:
    """Where to look."""
    return f"{show(one.of)}, {show(label(one.kind, one.name))}: changed most in {_name_some(one.examples, one.songs)}"


def _name_some(examples: Sequence[str], songs: int) -> str:
    return ", ".join(map(show, examples)) + (", …" if songs > len(examples) else "")


def make_comparison(found: Comparison, top: int) -> Table:
    """The largest shifts between two runs."""
    table = Table(
        title="Mean attributions that moved, with 95% intervals of the change", box=box.SIMPLE, padding=(0, 1, 0, 0)
    )
    table.add_column("class")
    table.add_column("feature")
    for heading in ("songs", "first", "second", "change", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found.shifts[:top]:
        numbers = (f"{one.first:+.3f}", f"{one.second:+.3f}", f"{one.change:+.3f} ± {one.half_width(CONFIDENCE):.3f}")
        names = (make_cell(one.of), make_label(one.kind, one.name))
        table.add_row(*names, str(one.songs), *numbers, f"{one.share:.1%}")
    return table


def write_comparison(found: Comparison, out: Path) -> None:
    """shifts, moves, songs that only one run has, and a row for each example of a shift, each as .csv and .parquet.

    InputError where the folder can't be written to.
    """
    shifts = [asdict(one) | {"change": one.change, "half_width": one.half_width(CONFIDENCE)} for one in found.shifts]
    examples = [
        {"of": one.of, "kind": one.kind, "name": one.name, "id": song} for one in found.shifts for song in one.examples
    ]
    alone = [asdict(one) | {"run": run} for run, one in (("first", found.only_first), ("second", found.only_second))]
    tables = {
        "shifts": make_table(list_columns(Shift) | {"change": NUMBER, "half_width": NUMBER}, shifts),
        "moves": make_table(list_columns(Move), map(asdict, found.moves)),
        "alone": make_table({"run": TEXT} | list_columns(Alone), alone),
        "examples": make_table(dict.fromkeys(("of", "kind", "name", "id"), TEXT), examples),
    }
    write_tables(tables, out)
