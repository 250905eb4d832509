"""Checks on the terminal and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from musiclime_torch.faithfulness.checking import Check
from musiclime_torch.faithfulness.summary import Mean, Row, Summary, list_rows

_ARROWS = {"higher": "↑", "lower": "↓"}


def tabulate(check: Check) -> Table:
    """One song: each measure, that of random attributions, and what it means."""
    title = f"{check.title or 'untitled song'}, {check.target}: {check.components} components, ↑ or ↓ is better"
    table = _begin(title, "random (± spread)")
    for row in list_rows(check):
        figure = row.figure
        ours = ("yes" if figure.value else "no") if row.share else _show(figure.value)
        random = f"{figure.random:.0%} of orders" if row.share else f"{_show(figure.random)} ± {_show(figure.spread)}"
        table.add_row(_name(row), ours, random, row.meaning)
    return table


def tabulate_means(summary: Summary) -> Table:
    """Several songs: means with their intervals."""
    percent = f"{100 * summary.confidence:g}%"
    table = _begin(f"means over {summary.songs} songs ({percent} intervals over songs), ↑ or ↓ is better", "random")
    for mean in summary.means:
        figure, share = mean.row.figure, mean.row.share
        ours = _bound(figure.value, mean.low, mean.high, share)
        half = figure.random - mean.random_low
        random = f"{figure.random:.0%}" if share else f"{_show(figure.random)} ± {_show(half)}"
        table.add_row(_name(mean.row), ours, random, mean.row.meaning)
    return table


def to_text(table: Table) -> str:
    """The table without colours, as it is written to files."""
    buffer = StringIO()
    Console(file=buffer, width=120, color_system=None).print(table)
    return buffer.getvalue()


def to_record(check: Check) -> dict[str, Any]:
    """All of a check as plain JSON values: measures by key, and the curves of the attributions and of random ones."""
    curves = check.curves
    return {
        "title": check.title,
        "target": check.target,
        "space": check.space,
        "fitted_space": check.fitted_space,
        "components": check.components,
        "measures": {row.key: asdict(row.figure) | {"better": row.better, "name": row.name} for row in list_rows(check)},
        "fidelity_fitted": check.fidelity_fitted,
        "curves": {
            "shares": curves.shares.tolist(),
            "deletion": curves.deletion[0].tolist(),
            "insertion": curves.insertion[0].tolist(),
            "random_deletion": curves.deletion[1:].mean(0).tolist(),
            "random_insertion": curves.insertion[1:].mean(0).tolist(),
        },
    }


def to_records(summary: Summary, checks: Sequence[Check], failures: Mapping[str, str]) -> dict[str, Any]:
    """Means, every song's check, and why songs failed."""
    return {
        "songs": summary.songs,
        "confidence": summary.confidence,
        "measures": {mean.row.key: _record(mean) for mean in summary.means},
        "checks": [to_record(check) for check in checks],
        "failures": dict(failures),
    }


def to_json(record: Mapping[str, Any]) -> str:
    """Strict JSON; NaN and infinity, such as the interval of one song, become null."""
    return json.dumps(_mend(record), ensure_ascii=False, indent=2, allow_nan=False)


def _record(mean: Mean) -> dict[str, Any]:
    figure = mean.row.figure
    return {
        "mean": figure.value,
        "low": mean.low,
        "high": mean.high,
        "random": figure.random,
        "random_low": mean.random_low,
        "random_high": mean.random_high,
        "songs": mean.songs,
        "better": mean.row.better,
        "name": mean.row.name,
    }


def _mend(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _mend(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_mend(part) for part in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def _begin(title: str, random: str) -> Table:
    table = Table(title=Text(title), box=None, pad_edge=False, title_justify="left")
    table.add_column("measure", no_wrap=True)
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column(random, justify="right", no_wrap=True)
    table.add_column("what it means")
    return table


def _name(row: Row) -> str:
    return f"{_ARROWS[row.better]} {row.name}"


def _show(value: float) -> str:
    """Three decimals below 1, three significant figures above."""
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.3g}"


def _bound(value: float, low: float, high: float, share: bool) -> str:
    if share:
        return f"{value:.0%} ({low:.0%} to {high:.0%})"
    return f"{_show(value)} ± {_show(high - value)}"
