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
from musiclime_torch.corpus.findings.aggregation import CONFIDENCE, Feature, Global
from musiclime_torch.corpus.findings.comparing import Comparison
from musiclime_torch.corpus.reports.columns import label
from musiclime_torch.variants.components import shorten
from musiclime_torch.views.figures import AGAINST, FOR, UNTOLD, escape, make_axes, pick_colour

#: Classes that are drawn one against another: 15 figures.
MOST_AGAINST = 6


def plot_features(found: Global, of: str, top: int = 12, kind: str | None = None, ax: Axes | None = None) -> Axes:
    """Bars of the largest means of a class with their intervals over songs, largest on top; `kind` "audio" or "lyrics"."""
    songs = _find_songs(found, of)
    features = found.top(of, top, kind)
    ax = make_axes(ax, (6, 0.8 + 0.32 * max(len(features), 2)))
    if not features:
        ax.text(0.5, 0.5, "nothing is significant", ha="center", va="center", transform=ax.transAxes, color=UNTOLD)
    for place, one in enumerate(features):
        ax.barh(place, one.mean, color=pick_colour(one.mean), height=0.7)
        if one.low is not None and one.high is not None:
            ax.plot([one.low, one.high], [place, place], color="black", linewidth=1)
    ax.set_yticks(range(len(features)), [f"{escape(label(one.kind, one.name))} ({one.songs})" for one in features])
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("mean attribution, 95% interval over songs")
    ax.set_title(f"{escape(of)}: what carries it ({songs} songs)", loc="left")
    return ax


def plot_positions(found: Global, of: str, ax: Axes | None = None) -> Axes:
    """Stems × positions of a class: signed means over songs; what is not significant has a cross."""
    songs = _find_songs(found, of)
    cells = {(one.stem, one.position): one for one in found.features if one.of == of and one.position is not None}
    stems = list(dict.fromkeys(stem for stem, _ in cells))
    count = 1 + max((position or 0 for _, position in cells), default=0)
    table = np.full((max(len(stems), 1), count), np.nan)
    for (stem, position), one in cells.items():
        table[stems.index(stem), position] = one.mean
    ax = make_axes(ax, (1.5 + 0.55 * count, 1.4 + 0.45 * max(len(stems), 1)))
    reach = float(np.nanmax(np.abs(table))) if cells else 1.0
    image = ax.imshow(table, cmap="RdBu", vmin=-reach or -1, vmax=reach or 1, aspect="auto")
    for (stem, position), one in cells.items():
        if not one.told:
            ax.text(position, stems.index(stem), "×", ha="center", va="center", color=UNTOLD)
    ax.set_yticks(range(len(stems)), [escape(str(stem)) for stem in stems])
    ax.set_xticks(range(count), [str(position + 1) for position in range(count)])
    ax.set_xlabel("segment of the song")
    ax.set_title(f"{escape(of)}: stems and moments ({songs} songs; ×: not significant)", loc="left", fontsize="medium")
    ax.figure.colorbar(image, ax=ax, label="mean attribution")
    return ax


def plot_classes(found: Global, first: str, second: str, labels: int = 12, ax: Axes | None = None) -> Axes:
    """One class against another: every feature that both have enough songs for, by its mean in each; the furthest apart are
    named.
    """
    for of in (first, second):
        _find_songs(found, of)
    sides: list[dict[tuple[str, str], Feature]] = [
        {(one.kind, one.name): one for one in found.features if one.of == of and one.low is not None}
        for of in (first, second)
    ]
    shared = [key for key in sides[0] if key in sides[1]]
    told = [key for key in shared if sides[0][key].told or sides[1][key].told]
    told.sort(key=lambda key: -abs(sides[0][key].mean - sides[1][key].mean))
    ax = make_axes(ax, (6, 6))
    for key in shared:
        marker = "s" if key[0] == "audio" else "o"
        colour = UNTOLD if key not in told else FOR if key[0] == "audio" else AGAINST
        ax.scatter(sides[0][key].mean, sides[1][key].mean, marker=marker, s=18, color=colour, zorder=2)
    for key in told[:labels]:
        place = (sides[0][key].mean, sides[1][key].mean)
        ax.annotate(escape(label(*key)), place, xytext=(4, 3), textcoords="offset points", fontsize="small")
    _draw_diagonal(ax)
    ax.set_xlabel(f"mean attribution to {escape(first)}")
    ax.set_ylabel(f"mean attribution to {escape(second)}")
    ax.set_title("squares: stems at moments; dots: words; grey: significant in neither", loc="left", fontsize="medium")
    return ax


def plot_shifts(found: Comparison, of: str, labels: int = 12, ax: Axes | None = None) -> Axes:
    """One run against the other: every feature of a class whose mean moved, with the interval of its change; the furthest
    moved are named. InputError where nothing in the class has.
    """
    shifts = [one for one in found.shifts if one.of == of]
    if not shifts:
        named = ", ".join(dict.fromkeys(one.of for one in found.shifts)) or "none"
        raise InputError(f"nothing has moved in the class {of!r}: choose one of {named}.")
    ax = make_axes(ax, (6, 6))
    for one in shifts:
        marker, colour = ("s", FOR) if one.kind == "audio" else ("o", AGAINST)
        ax.errorbar(one.first, one.second, one.half_width(CONFIDENCE), color=UNTOLD, linewidth=1, zorder=1)
        ax.scatter(one.first, one.second, marker=marker, s=18, color=colour, zorder=2)
    for one in shifts[:labels]:
        place = (one.first, one.second)
        ax.annotate(
            escape(shorten(label(one.kind, one.name))), place, xytext=(4, 3), textcoords="offset points", fontsize="small"
        )
    _draw_diagonal(ax)
    ax.set_xlabel(f"mean attribution to {escape(of)}, first run")
    ax.set_ylabel("second run, 95% interval of the change")
    ax.set_title("what moved; squares: stems at moments; dots: words", loc="left", fontsize="medium")
    return ax


def write_plots(found: Global, out: Path) -> list[Path]:
    """Bars and stem × time of every class that is ranked, and the classes with the most songs against each other, as SVG.

    InputError where the folder can't be written to.
    """
    return _save(_draw_all(found), out)


def _draw_all(found: Global) -> Iterator[tuple[str, Axes]]:
    """One by one, for matplotlib keeps every figure until it is closed."""
    ranked = [one.name for one in found.classes if one.ranked]
    largest = sorted((one for one in found.classes if one.ranked), key=lambda one: -one.songs)[:MOST_AGAINST]
    numbers = sorted(ranked.index(one.name) for one in largest)
    for number, of in enumerate(ranked):
        yield f"class{number:02d}-features", plot_features(found, of)
        if any(one.of == of and one.position is not None for one in found.features):
            yield f"class{number:02d}-positions", plot_positions(found, of)
    for first, second in itertools.combinations(numbers, 2):
        yield f"class{first:02d}-against-{second:02d}", plot_classes(found, ranked[first], ranked[second])


def write_shifts(found: Comparison, out: Path) -> list[Path]:
    """One run against the other, of every class that something moved in, as SVG.

    InputError where the folder can't be written to.
    """
    moved = sorted({one.of for one in found.shifts})
    return _save(((f"class{number:02d}-shifts", plot_shifts(found, of)) for number, of in enumerate(moved)), out)


def _save(figures: Iterable[tuple[str, Axes]], out: Path) -> list[Path]:
    paths = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, ax in figures:
            path = out / f"{name}.svg"
            figure = ax.figure
            assert isinstance(figure, Figure), "axes made here lie on a figure of their own"
            try:
                with writing_atomically(path) as partial:
                    figure.savefig(partial, format="svg", bbox_inches="tight")
            finally:
                plt.close(figure)
            paths.append(path)
    except OSError as error:
        raise InputError(f"{str(out)!r} can't be written to ({error.strerror}): give another --plots folder.") from error
    return paths


def _draw_diagonal(ax: Axes) -> None:
    ax.axline((0, 0), slope=1, color=UNTOLD, linewidth=0.8, zorder=1)
    ax.axhline(0, color="black", linewidth=0.6, zorder=1)
    ax.axvline(0, color="black", linewidth=0.6, zorder=1)


def _find_songs(found: Global, of: str) -> int:
    for one in found.classes:
        if one.name == of:
            return one.songs
    raise InputError(f"no song was given the class {of!r}: choose one of {', '.join(one.name for one in found.classes)}.")
