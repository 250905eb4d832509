"""Checks as rows, one a measure, and means over songs with intervals; on the terminal and as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from musiclime_torch.basics.errors import InputError
from musiclime_torch.faithfulness.checking import Check
from musiclime_torch.faithfulness.deletion import SHARES
from musiclime_torch.faithfulness.stability import Figure
from musiclime_torch.surrogate.intervals import bound_share, halve_interval

#: Confidence of the intervals.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """One measure by a short `key` and a name for people; `better` is "higher" or "lower", `share` marks yes-or-no
    measures.
    """

    key: str
    name: str
    figure: Figure
    better: str
    meaning: str
    share: bool = False


def list_rows(check: Check) -> list[Row]:
    """All measures that were taken."""
    return [*_list_removals(check), *_list_fits(check), *_list_repeats(check)]


def _list_removals(check: Check) -> Iterator[Row]:
    space, shares = check.space, ", ".join(f"{100 * share:g}" for share in SHARES)
    curves, erasure = check.curves, check.erasure
    yield Row("deletion", "deletion area", curves.deletion_area, "lower", f"{space} as the largest are removed first")
    yield Row("insertion", "insertion area", curves.insertion_area, "higher", f"{space} as the largest are added first")
    meaning = f"{space} lost without the top {shares}%"
    yield Row("comprehensiveness", "comprehensiveness", erasure.comprehensiveness, "higher", meaning)
    yield Row("sufficiency", "sufficiency", erasure.sufficiency, "lower", f"{space} missing with these alone")
    if check.flips is not None:
        for count, figure in zip(check.flips.counts, check.flips.figures, strict=True):
            yield Row(f"flip_{count}", f"flips without top {count}", figure, "higher", "the decision changes", share=True)


def _list_fits(check: Check) -> Iterator[Row]:
    yield Row("fidelity", "fidelity, new masks", check.fidelity, "higher", "R² of the attributions' sum")
    meaning = f"squared error of {check.fitted_space} drops"
    yield Row("infidelity", "infidelity, new masks", check.infidelity, "lower", meaning)


def _list_repeats(check: Check) -> Iterator[Row]:
    stability = check.stability
    if stability is not None:
        yield Row(
            "overlap",
            f"same top {stability.top}",
            stability.overlap,
            "higher",
            f"shared by any two of {stability.seeds} seeds",
        )
        yield Row("correlation", "same order", stability.correlation, "higher", "rank correlation of any two seeds")
        yield Row("sensitivity", "largest change", stability.sensitivity, "lower", "between seeds, relative to their length")
    if check.randomisation is not None:
        meaning = "rank correlation once weights are shuffled"
        yield Row("randomisation", "untrained model", check.randomisation.correlation, "lower", meaning)


@dataclass(frozen=True)
class Mean:
    """One measure over the songs that have it: mean with interval, and the same for random attributions."""

    row: Row
    songs: int
    low: float
    high: float
    random_low: float
    random_high: float


@dataclass(frozen=True)
class Summary:
    """Means over `songs`, each the figure of its `row`; the spread there is that of the random figure over songs."""

    songs: int
    confidence: float
    means: tuple[Mean, ...]


def summarise(checks: Sequence[Check], *, confidence: float = CONFIDENCE) -> Summary:
    """Means over songs; Student's intervals, Wilson's for shares of songs. InputError for fewer than two songs."""
    if len(checks) < 2:
        raise InputError(f"an interval needs at least 2 songs, got {len(checks)}.", argument="checks")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, got {confidence}.", argument="confidence")
    rows_by_key: dict[str, list[Row]] = {}
    for check in checks:
        for row in list_rows(check):
            rows_by_key.setdefault(row.key, []).append(row)
    return Summary(len(checks), confidence, tuple(_average(rows, confidence) for rows in rows_by_key.values()))


def _average(rows: Sequence[Row], confidence: float) -> Mean:
    first = rows[0]
    values = torch.tensor([[row.figure.value, row.figure.random] for row in rows], dtype=torch.float64)
    means, spreads = values.mean(0), values.std(0) if len(rows) > 1 else torch.full((2,), float("inf"))
    # Songs are the sampling unit: the spread over songs holds the noise of the masks too. Shares of songs get Wilson's
    # interval, because Student's has no width where all songs agree.
    halves = [halve_interval(float(spread) / len(rows) ** 0.5, len(rows), confidence) for spread in spreads]
    low, high = float(means[0]) - halves[0], float(means[0]) + halves[0]
    if first.share:
        low, high = bound_share(round(float(values[:, 0].sum())), len(rows), confidence)
    figure = type(first.figure)(float(means[0]), float(means[1]), float(spreads[1]))
    row = Row(first.key, first.name, figure, first.better, first.meaning, first.share)
    return Mean(row, len(rows), low, high, float(means[1]) - halves[1], float(means[1]) + halves[1])


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
