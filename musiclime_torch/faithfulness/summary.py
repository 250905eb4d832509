"""Checks of several songs: means with intervals over songs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.faithfulness.checking import Check
from musiclime_torch.faithfulness.rows import Row, list_rows
from musiclime_torch.surrogate.intervals import bound_share, halve_interval

#: Of the intervals.
CONFIDENCE = 0.95


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
        raise InputError(f"a mean over {len(checks)} songs has no interval: give 2 or more.")
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence} is not between 0 and 1.")
    found: dict[str, list[Row]] = {}
    for check in checks:
        for row in list_rows(check):
            found.setdefault(row.key, []).append(row)
    return Summary(len(checks), confidence, tuple(_average(rows, confidence) for rows in found.values()))


def _average(rows: Sequence[Row], confidence: float) -> Mean:
    first = rows[0]
    values = torch.tensor([[row.figure.value, row.figure.random] for row in rows], dtype=torch.float64)
    means, spreads = values.mean(0), values.std(0) if len(rows) > 1 else torch.full((2,), float("inf"))
    halves = [halve_interval(float(spread) / len(rows) ** 0.5, len(rows), confidence) for spread in spreads]
    low, high = float(means[0]) - halves[0], float(means[0]) + halves[0]
    if first.share:
        low, high = bound_share(round(float(values[:, 0].sum())), len(rows), confidence)
    figure = type(first.figure)(float(means[0]), float(means[1]), float(spreads[1]))
    row = Row(first.key, first.name, figure, first.better, first.meaning, first.share)
    return Mean(row, len(rows), low, high, float(means[1]) - halves[1], float(means[1]) + halves[1])
