"""One song's explanation drawn: stems over time, its words, the way from the empty song to the decision, and pairs.

Every function draws the asked class, else the explanation's own, on `ax`, or on new axes, and returns them. Bars carry
their intervals; what is not significant is grey or crossed, never ranked. What all figures share
is in drawing.py.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm

from musiclime_torch.basics.choices import Timeline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explanation import SUMMING, Explanation
from musiclime_torch.variants.components import Component
from musiclime_torch.views.drawing import (
    DIVERGING,
    NOT_SIGNIFICANT,
    escape,
    finishing,
    leave_column,
    make_axes,
    mark_cells,
    mark_time,
    pick_colour,
    say_nothing,
)

#: The most words named on the axis; more would overlap.
NAMED_WORDS = 40

#: Characters of a name that is written upwards.
LONGEST = 20


@finishing
def plot_heatmap(explanation: Explanation, target: int | str | None = None, ax: Axes | None = None) -> Axes:
    """Stems × time; × marks cells that are not significant, a dot those the model can't notice.

    InputError for an explanation without sound.
    """
    row, components = explanation.class_index(target), explanation.components
    cells = components.items[: components.n_audio]
    if not cells:
        raise InputError("this explanation has no sound to draw: use plot_lyrics.")
    segments = components.n_segments
    stems = [str(cells[place].stem) for place in range(0, len(cells), segments)]
    edges = [float(cell.start or 0) for cell in cells[:segments]] + [float(cells[segments - 1].end or 0)]
    table = explanation.attributions[row, : len(cells)].reshape(len(stems), segments).numpy()
    ax = make_axes(ax, (2.5 + 0.6 * segments, 1.4 + 0.45 * len(stems)))
    # White is zero; a table of zeros is white too.
    norm = CenteredNorm(halfrange=float(np.abs(table).max()) or 1.0)
    image = ax.pcolormesh(
        edges, np.arange(len(stems) + 1), table, cmap=DIVERGING, norm=norm, edgecolors="white", linewidth=0.5
    )
    ax.set_yticks(np.arange(len(stems)) + 0.5, [escape(stem) for stem in stems])
    ax.invert_yaxis()
    mark_time(ax, edges[0], edges[-1], components.timeline)
    _name(ax, explanation, row, "×: not significant")
    if components.timeline is not None:
        _mark_music(ax, components.timeline)
    ax.figure.colorbar(image, ax=ax, label=_say_value(explanation))
    ax.set_xlim(edges[0], edges[-1])
    middles = [(first + last) / 2 for first, last in pairwise(edges)]
    marked: dict[str, list[tuple[float, float]]] = {"x": [], ".": []}
    for column in range(len(cells)):
        if not explanation.significant[row, column]:
            centre = (middles[column % segments], column // segments + 0.5)
            marked["." if column in explanation.unseen else "x"].append(centre)
    for mark, centres in marked.items():
        mark_cells(ax, centres, mark, (segments, len(stems)))
    return ax


def _mark_music(ax: Axes, timeline: Timeline) -> None:
    """Names of segments above the picture, and bars as short lines at its foot."""
    for name, (first, last) in zip(timeline.names, pairwise(timeline.edges), strict=True):
        ax.annotate(
            escape(_cut(name)),
            ((first + last) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize="x-small",
        )
    if timeline.bars:
        ax.vlines(timeline.bars, 0, 0.04, transform=ax.get_xaxis_transform(), color="black", linewidth=0.6)


@finishing
def plot_lyrics(explanation: Explanation, target: int | str | None = None, ax: Axes | None = None) -> Axes:
    """Every word, line or section in its order with its interval; lines are separated. InputError without lyrics."""
    row, components = explanation.class_index(target), explanation.components
    first = components.n_audio
    items = components.items[first:]
    if not items:
        raise InputError("this explanation has no lyrics to draw: use plot_heatmap.")
    values, halves = explanation.attributions[row, first:].tolist(), explanation.half_width[row, first:].tolist()
    significant = explanation.significant[row, first:].tolist()
    ax = make_axes(ax, (min(4 + 0.16 * len(items), 16), 3.4))
    colours = [pick_colour(value, is_significant) for value, is_significant in zip(values, significant, strict=True)]
    # An outline of its own colour keeps a bar visible that is flatter or thinner than a pixel, and a whisker no wider than a
    # quarter of a bar doesn't cover it.
    ax.bar(range(len(items)), values, color=colours, width=0.8, edgecolor=colours, linewidth=0.8)
    wide = 72 * ax.get_window_extent().width / ax.figure.dpi / len(items)
    ax.errorbar(range(len(items)), values, yerr=halves, fmt="none", ecolor="black", elinewidth=min(0.8, wide / 4))
    for place in range(1, len(items)):
        if items[place].line != items[place - 1].line and items[place].word is not None:
            ax.axvline(place - 0.5, color=NOT_SIGNIFICANT, linewidth=0.4, zorder=0)
    ranked = sorted((place for place in range(len(items)) if significant[place]), key=lambda place: -abs(values[place]))
    named = range(len(items)) if len(items) <= NAMED_WORDS else sorted(ranked[:NAMED_WORDS])
    ax.set_xticks(
        list(named), [escape(_cut(items[place].word or items[place].name)) for place in named], rotation=90, fontsize="small"
    )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xlabel("lyrics in their order")
    ax.set_ylabel(_say_value(explanation))
    _name(ax, explanation, row, "grey: not significant")
    return ax


@finishing
def plot_waterfall(explanation: Explanation, target: int | str | None = None, top: int = 8, ax: Axes | None = None) -> Axes:
    """From the empty song to the decision: the largest components, all others together, and the remainder due to
    interactions.

    Shapley values have no remainder.
    """
    row = explanation.class_index(target)
    shown = explanation.top(top, row)
    significant = [column for column in explanation.order(row) if explanation.significant[row, column]]
    others = sorted(set(explanation.order(row)) - set(significant[:top]))
    steps: list[tuple[str, float, float]] = [(component.name, value, half) for component, value, half in shown]
    steps.append((f"{len(others)} others", *explanation.sum_over(others, row)))
    if explanation.value != SUMMING:
        _, half = explanation.sum_over(range(len(explanation.components)), row)
        steps.append(("interactions (remainder)", float(explanation.remainder[row]), half))
    ax = make_axes(ax, (7, 1.4 + 0.34 * (len(steps) + 2)))
    # Every bar starts where the last one ended. With the remainder the last one ends at the song's output, exactly: the
    # remainder is defined as what the attributions leave of song − empty song.
    level = float(explanation.output_empty[row])
    for place, (_, value, half) in enumerate(steps, 1):
        colour = pick_colour(value, significant=place <= len(shown))
        ax.barh(place, value, left=level, color=colour, height=0.7, edgecolor=colour, linewidth=0.8)
        if half:
            ax.errorbar(level + value, place, xerr=half, fmt="none", ecolor="black", elinewidth=1, capsize=2)
        ax.plot([level + value] * 2, [place - 0.35, place + 1.35], color=NOT_SIGNIFICANT, linewidth=0.8)
        level += value
    ends = (("song without everything", float(explanation.output_empty[row])), ("song", float(explanation.output_song[row])))
    for place, (_, value) in zip((0, len(steps) + 1), ends, strict=True):
        ax.plot([value], [place], marker="D", color="black", markersize=5)
    ax.set_yticks(range(len(steps) + 2), [ends[0][0], *(escape(name) for name, _, _ in steps), ends[1][0]])
    ax.invert_yaxis()
    # A bar's foot may lie within a margin, too: the first one starts where the empty song is marked.
    ax.use_sticky_edges = False
    ax.margins(x=0.04)
    ax.set_xlabel(f"{explanation.space} of {escape(explanation.classes[row])}, {_say_interval(explanation)}")
    _name(ax, explanation, row, "from nothing to the song")
    said = [f"{ends[0][1]:.3g}", *(f"{value:+.3g}" for _, value, _ in steps), f"{ends[1][1]:.3g}"]
    right = ax.get_yaxis_transform()
    numbers = [
        ax.text(0.99, place, number, ha="right", va="center", fontsize="small", transform=right)
        for place, number in enumerate(said)
    ]
    leave_column(ax, numbers)
    return ax


@finishing
def plot_interactions(
    explanation: Explanation,
    target: int | str | None = None,
    top: int = 12,
    space: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Bars of the largest pairs that are significant. InputError where no interactions were solved."""
    pairs = explanation.interactions
    if pairs is None:
        raise InputError("this explanation has no interactions: explain with crossed masks, or with more joint ones.")
    row, scale = explanation.class_index(target), pairs.spaces[pairs.find_space(space)]
    shown: Sequence[tuple[Component, Component, float, float]] = explanation.top_pairs(top, row, scale)
    ax = make_axes(ax, (7, 1.2 + 0.34 * max(len(shown), 2)))
    if not shown:
        say_nothing(ax)
    for place, (_, _, value, half) in enumerate(shown):
        ax.barh(place, value, color=pick_colour(value), height=0.7, edgecolor=pick_colour(value), linewidth=0.8)
        ax.errorbar(value, place, xerr=half, fmt="none", ecolor="black", elinewidth=1, capsize=2)
    ax.set_yticks(range(len(shown)), [escape(f"{first.name} × {second.name}") for first, second, _, _ in shown])
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel(f"interaction ({scale}), {_say_interval(explanation)}")
    _name(ax, explanation, row, f"of {len(pairs.columns):,} pairs")
    return ax


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _say_value(explanation: Explanation) -> str:
    return f"{explanation.value} ({explanation.space})"


def _say_interval(explanation: Explanation) -> str:
    return f"{100 * explanation.confidence:g}% intervals"


def _name(ax: Axes, explanation: Explanation, row: int, remark: str) -> None:
    title = str(explanation.provenance.get("title", ""))
    name = f"{explanation.classes[row]}: {title}" if title else explanation.classes[row]
    ax.set_title(f"{escape(name)} ({remark})", loc="left", fontsize="medium")
