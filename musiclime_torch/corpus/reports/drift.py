"""Where two runs part: told on the terminal, and as CSV and Parquet."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.table import Table

from musiclime_torch.corpus.findings.aggregation import CONFIDENCE
from musiclime_torch.corpus.findings.comparing import Alone, Comparison, Move, Shift
from musiclime_torch.corpus.reports.columns import NUMBER, TEXT, list_columns, make_table, write_tables
from musiclime_torch.corpus.reports.naming import label, make_cell, make_label, show


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
