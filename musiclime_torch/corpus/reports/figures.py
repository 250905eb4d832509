"""A catalogue drawn: what carries a class, where in the song, one class against another, and one run against another.

Every function draws on `ax`, or on new axes, and returns them. What is not significant is grey, never ranked.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.corpus.findings.aggregation import CONFIDENCE
from musiclime_torch.corpus.findings.comparing import Comparison
from musiclime_torch.corpus.findings.summaries import Feature, Global
from musiclime_torch.corpus.reports.columns import label
from musiclime_torch.variants.components import shorten
from musiclime_torch.views.drawing import (
    DIVERGING,
    HEARD,
    NOT_SIGNIFICANT,
    READ,
    escape,
    finishing,
    make_axes,
    mark_cells,
    pick_colour,
    place_names,
    say_nothing,
)

#: Classes that are drawn against each other: 15 figures.
MOST_AGAINST = 6


@finishing
def plot_features(
    catalogue: Global, class_name: str, top: int = 12, kind: str | None = None, ax: Axes | None = None
) -> Axes:
    """Bars of the largest means of a class with their intervals over songs, largest on top; `kind` "audio" or "lyrics"."""
    songs = _find_songs(catalogue, class_name)
    features = catalogue.top(class_name, top, kind)
    ax = make_axes(ax, (6, 0.8 + 0.32 * max(len(features), 2)))
    if not features:
        say_nothing(ax)
    for place, feature in enumerate(features):
        colour = pick_colour(feature.mean)
        ax.barh(place, feature.mean, color=colour, height=0.7, edgecolor=colour, linewidth=0.8)
        if feature.low is not None and feature.high is not None:
            ax.plot([feature.low, feature.high], [place, place], color="black", linewidth=1)
    ax.set_yticks(
        range(len(features)), [f"{escape(label(feature.kind, feature.name))} ({feature.songs})" for feature in features]
    )
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("mean attribution, 95% interval over songs")
    ax.set_title(f"{escape(class_name)}: what carries it ({songs} songs)", loc="left", fontsize="medium")
    return ax


@finishing
def plot_positions(catalogue: Global, class_name: str, ax: Axes | None = None) -> Axes:
    """Stems × positions of a class: signed means over songs; what is not significant has a cross."""
    songs = _find_songs(catalogue, class_name)
    cells = {
        (feature.stem, feature.position): feature
        for feature in catalogue.features
        if feature.class_name == class_name and feature.position is not None
    }
    stems = list(dict.fromkeys(stem for stem, _ in cells))
    count = 1 + max((position or 0 for _, position in cells), default=0)
    table = np.full((max(len(stems), 1), count), np.nan)
    for (stem, position), feature in cells.items():
        table[stems.index(stem), position] = feature.mean
    ax = make_axes(ax, (1.5 + 0.55 * count, 1.4 + 0.45 * max(len(stems), 1)))
    reach = float(np.nanmax(np.abs(table))) if cells else 1.0
    image = ax.imshow(table, cmap=DIVERGING, vmin=-reach or -1, vmax=reach or 1, aspect="auto")
    ax.set_yticks(range(len(stems)), [escape(str(stem)) for stem in stems])
    ax.set_xticks(range(count), [str(position + 1) for position in range(count)])
    ax.set_xlabel("segment of the song")
    ax.set_title(
        f"{escape(class_name)}: stems and moments ({songs} songs; ×: not significant)", loc="left", fontsize="medium"
    )
    ax.figure.colorbar(image, ax=ax, label="mean attribution")
    grey = [(float(position or 0), stems.index(stem)) for (stem, position), cell in cells.items() if not cell.significant]
    mark_cells(ax, grey, "x", table.shape[::-1])
    return ax


@finishing
def plot_classes(catalogue: Global, first: str, second: str, labels: int = 12, ax: Axes | None = None) -> Axes:
    """One class against another: every feature for which both have enough songs, by its mean in each; those that differ most
    are named.
    """
    for class_name in (first, second):
        _find_songs(catalogue, class_name)
    sides: list[dict[tuple[str, str], Feature]] = [
        {
            (feature.kind, feature.name): feature
            for feature in catalogue.features
            if feature.class_name == class_name and feature.low is not None
        }
        for class_name in (first, second)
    ]
    shared = [key for key in sides[0] if key in sides[1]]
    significant = [key for key in shared if sides[0][key].significant or sides[1][key].significant]
    significant.sort(key=lambda key: -abs(sides[0][key].mean - sides[1][key].mean))
    ax = make_axes(ax, (6, 6))
    for key in shared:
        marker = "s" if key[0] == "audio" else "o"
        colour = NOT_SIGNIFICANT if key not in significant else HEARD if key[0] == "audio" else READ
        ax.scatter(sides[0][key].mean, sides[1][key].mean, marker=marker, s=18, color=colour, zorder=2)
    _draw_diagonal(ax)
    ax.set_xlabel(f"mean attribution to {escape(first)}")
    ax.set_ylabel(f"mean attribution to {escape(second)}")
    ax.set_title("squares: stems at moments; dots: words (grey: significant in neither)", loc="left", fontsize="medium")
    places = {key: (sides[0][key].mean, sides[1][key].mean) for key in shared}
    named = significant[:labels]
    others = [places[key] for key in shared if key not in named]
    place_names(ax, [places[key] for key in named], [escape(shorten(label(*key))) for key in named], others)
    return ax


@finishing
def plot_shifts(comparison: Comparison, class_name: str, labels: int = 12, ax: Axes | None = None) -> Axes:
    """One run against the other: every feature of a class whose mean changed, with the interval of its change; the largest
    changes are named. InputError where nothing in the class changed.
    """
    shifts = [shift for shift in comparison.shifts if shift.class_name == class_name]
    if not shifts:
        named = ", ".join(dict.fromkeys(shift.class_name for shift in comparison.shifts)) or "none"
        raise InputError(f"nothing changed in the class {class_name!r}: choose one of {named}.")
    ax = make_axes(ax, (6, 6))
    for shift in shifts:
        marker, colour = ("s", HEARD) if shift.kind == "audio" else ("o", READ)
        ax.errorbar(shift.first, shift.second, shift.half_width(CONFIDENCE), color=NOT_SIGNIFICANT, linewidth=1, zorder=1)
        ax.scatter(shift.first, shift.second, marker=marker, s=18, color=colour, zorder=2)
    _draw_diagonal(ax)
    ax.set_xlabel(f"mean attribution to {escape(class_name)}, first run")
    ax.set_ylabel("second run, 95% interval of the change")
    ax.set_title("what changed (squares: stems at moments; dots: words)", loc="left", fontsize="medium")
    places = [(shift.first, shift.second) for shift in shifts]
    names = [escape(shorten(label(shift.kind, shift.name))) for shift in shifts[:labels]]
    place_names(ax, places[:labels], names, places[labels:])
    return ax


def write_plots(catalogue: Global, out: Path) -> list[Path]:
    """Bars and stem × time of every ranked class, and the classes with the most songs against each other, as SVG.

    InputError where the folder can't be written to.
    """
    return _save(_draw_all(catalogue), out)


def _draw_all(catalogue: Global) -> Iterator[tuple[str, Axes]]:
    """Figures one at a time, for matplotlib keeps each until it is closed."""
    ranked = [summary.name for summary in catalogue.classes if summary.ranked]
    largest = sorted((summary for summary in catalogue.classes if summary.ranked), key=lambda summary: -summary.songs)[
        :MOST_AGAINST
    ]
    numbers = sorted(ranked.index(summary.name) for summary in largest)
    for number, class_name in enumerate(ranked):
        yield f"class{number:02d}-features", plot_features(catalogue, class_name)
        if any(summary.class_name == class_name and summary.position is not None for summary in catalogue.features):
            yield f"class{number:02d}-positions", plot_positions(catalogue, class_name)
    for first, second in itertools.combinations(numbers, 2):
        yield f"class{first:02d}-against-{second:02d}", plot_classes(catalogue, ranked[first], ranked[second])


def write_shifts(comparison: Comparison, out: Path) -> list[Path]:
    """One run against the other, for every class in which something changed, as SVG.

    InputError where the folder can't be written to.
    """
    moved = sorted({shift.class_name for shift in comparison.shifts})
    return _save(
        ((f"class{number:02d}-shifts", plot_shifts(comparison, class_name)) for number, class_name in enumerate(moved)), out
    )


def _save(figures: Iterable[tuple[str, Axes]], out: Path) -> list[Path]:
    paths = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, ax in figures:
            path = out / f"{name}.svg"
            figure = ax.figure
            assert isinstance(figure, Figure), "axes made here have their own figure"
            try:
                with writing_atomically(path) as partial:
                    figure.savefig(partial, format="svg", bbox_inches="tight")
            finally:
                plt.close(figure)
            paths.append(path)
    except OSError as error:
        raise InputError(
            f"{str(out)!r} can't be written to ({error.strerror}): give another plots folder.", argument="plots"
        ) from error
    return paths


def _draw_diagonal(ax: Axes) -> None:
    ax.axline((0, 0), slope=1, color=NOT_SIGNIFICANT, linewidth=0.8, zorder=1)
    ax.axhline(0, color="black", linewidth=0.6, zorder=1)
    ax.axvline(0, color="black", linewidth=0.6, zorder=1)


def _find_songs(catalogue: Global, class_name: str) -> int:
    for summary in catalogue.classes:
        if summary.name == class_name:
            return summary.songs
    names = ", ".join(summary.name for summary in catalogue.classes)
    raise InputError(f"no song was given the class {class_name!r}: choose one of {names}.")
