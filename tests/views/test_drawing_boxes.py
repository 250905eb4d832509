"""Figures measured by bounding boxes: no text lies on another, on new and on the caller's own axes; every bar is seen."""

from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from benchmarks.pages.legibility import SCRIPTS, make_catalogue, make_song, plant
from musiclime_torch.basics.choices import Timeline
from musiclime_torch.corpus.findings.comparing import Alone, Comparison, Shift
from musiclime_torch.corpus.reports.figures import plot_classes, plot_features, plot_positions, plot_shifts
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.training.figures import plot_readings
from musiclime_torch.training.monitor import Reading
from musiclime_torch.views.drawing import AGAINST, DIVERGING, FOR, mark_time
from musiclime_torch.views.figures import plot_heatmap, plot_interactions, plot_lyrics, plot_waterfall

mpl.use("agg")

FIGURES = (plot_heatmap, plot_lyrics, plot_waterfall, plot_interactions)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def bound(text: Text) -> Bbox:
    text.get_window_extent()
    return Text.get_window_extent(text)


def list_texts(ax: Axes) -> list[Text]:
    """All that is seen of an axes' texts, the legend's too."""
    shown = [text for text in ax.findobj(Text) if text.get_visible() and text.get_text().strip()]
    # Ticks outside the limits aren't drawn, nor are second labels.
    ticks = {
        label
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
    }
    drawn = {*ax.get_xticklabels(), *ax.get_yticklabels()}
    return [text for text in shown if text not in ticks or text in drawn]


def find_overlaps(*axes: Axes) -> list[str]:
    """Pairs of texts that lie on each other, on one or on different axes."""
    axes[0].figure.draw_without_rendering()
    boxes = [(bound(text), text.get_text()) for ax in axes for text in list_texts(ax)]
    found = []
    for (one, first), (other, second) in combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        up = min(one.y1, other.y1) - max(one.y0, other.y0)
        if across > 1 and up > 1:
            found.append(f"{first} | {second}")
    return found


def explain_song(script: int, segments: int, timeline: bool = False) -> Explanation:
    track = make_song(SCRIPTS[script], 4, True)
    found = plant(track, SCRIPTS[script], segments)
    if not timeline:
        return found
    edges = tuple(12.0 * number / segments for number in range(segments + 1))
    names = tuple(f"{('intro', 'verse', 'chorus')[number % 3]} {number}" for number in range(segments))
    bars = tuple(0.5 * number for number in range(24))
    return replace(found, components=replace(found.components, timeline=Timeline(edges, names, "bars", bars, bars, 120.0)))


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize(("script", "segments", "timeline"), [(0, 3, False), (0, 30, True), (2, 12, True)])
def test_no_text_lies_on_another_on_new_axes(draw, script, segments, timeline):
    ax = draw(explain_song(script, segments, timeline))
    assert find_overlaps(ax) == []


@pytest.mark.parametrize(
    ("script", "segments", "timeline", "size"), [(0, 3, False, (12, 9)), (0, 30, True, (7, 5)), (2, 12, True, (7, 5))]
)
def test_nor_on_the_callers_own_axes(script, segments, timeline, size):
    found = explain_song(script, segments, timeline)
    figure, axes = plt.subplots(2, 2, figsize=size, layout="constrained")
    for draw, ax in zip(FIGURES, axes.flat, strict=True):
        draw(found, ax=ax)
    assert find_overlaps(*figure.axes) == []


def test_numbers_of_a_waterfall_stand_beside_its_bars():
    found = explain_song(0, 3)
    for ax in (plot_waterfall(found), plot_waterfall(found, ax=plt.subplots(1, 2, figsize=(7, 4))[1][0])):
        ax.figure.draw_without_rendering()
        numbers = [bound(text) for text in ax.texts]
        drawn = [bar.get_window_extent() for bar in ax.patches] + [line.get_window_extent() for line in ax.collections]
        assert len(numbers) == len(ax.get_yticks())
        assert max(box.x1 for box in drawn) <= min(box.x0 for box in numbers)
        assert max(box.x1 for box in numbers) <= ax.bbox.x1


def test_names_of_points_lie_neither_on_each_other_nor_on_points():
    catalogue = make_catalogue(SCRIPTS[0])[0]
    shifts = tuple(
        Shift("pop", "lyrics", f"a word number {n}", 12, 0.01 * n, 0.3 + 0.012 * n, 0.02, 0.1, ("1",)) for n in range(20)
    )
    comparison = Comparison(14, 0, Alone(0, 0, ()), Alone(0, 0, ()), (), 0.5, 20, shifts)
    own = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")[1]
    for ax in (
        plot_classes(catalogue, "indie", "metal"),
        plot_classes(catalogue, "indie", "metal", ax=own[0]),
        plot_shifts(comparison, "pop"),
        plot_shifts(comparison, "pop", ax=own[1]),
    ):
        assert find_overlaps(ax) == []
        assert len(ax.texts) >= 3
        points = ax.transData.transform([point.get_offsets()[0] for point in ax.collections if len(point.get_offsets())])
        for text in ax.texts:
            box = bound(text)
            assert not [1 for x, y in points if box.x0 < x < box.x1 and box.y0 < y < box.y1]
            assert ax.bbox.x0 - 1 <= box.x0 <= box.x1 <= ax.bbox.x1 + 1


def test_a_catalogues_other_figures():
    catalogue = make_catalogue(SCRIPTS[0])[0]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    plot_features(catalogue, "indie", top=30, ax=axes[0])
    plot_positions(catalogue, "indie", ax=axes[1])
    assert find_overlaps(*figure.axes) == []
    assert find_overlaps(plot_features(catalogue, "indie")) == []
    assert find_overlaps(plot_positions(catalogue, "indie")) == []


@pytest.mark.parametrize("own", [False, True])
def test_the_legend_of_readings_covers_no_curve(own):
    stems = dict.fromkeys(("drums", "bass", "other", "vocals"), 0.25)
    readings = [Reading(500 * place, 0.1 * place, stems, 0.9, 0.8, 0.2, None, 1.0) for place in range(5)]
    ax = plot_readings(readings, ax=plt.subplots(1, 2, figsize=(8, 4))[1][0] if own else None)
    ax.figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    tops = [ax.transData.transform((0, max(line.get_ydata())))[1] for line in ax.lines]
    assert max(tops) < legend.y0
    assert legend.y1 <= ax.bbox.y1 + 1
    assert legend.x1 <= ax.bbox.x1 + 1
    assert find_overlaps(ax) == []


def test_every_bar_is_seen_however_small_its_value_or_many_its_neighbours():
    found = explain_song(0, 3)
    values = found.attributions.clone()
    first = found.components.n_audio
    values[0, first + 1] = 1e-7
    words = plot_lyrics(replace(found, attributions=values))
    for bar in words.patches:
        assert bar.get_linewidth() >= 0.8
        assert bar.get_edgecolor() == bar.get_facecolor()
    for figure in (plot_waterfall, plot_interactions):
        assert all(bar.get_linewidth() >= 0.8 for bar in figure(found).patches)
    # A whisker is thinner than its bar, also where bars are thin.
    items = found.components.items[:first] + found.components.items[first:] * 40
    many = {name: getattr(found, name) for name in ("attributions", "standard_errors", "degrees_of_freedom")}
    many = {name: torch.cat([table[:, :first], table[:, first:].repeat(1, 40)], 1) for name, table in many.items()}
    ax = plot_lyrics(replace(found, components=replace(found.components, items=items), interactions=None, unseen={}, **many))
    ax.figure.draw_without_rendering()
    (whiskers,) = ax.collections
    wide = 72 * ax.patches[0].get_window_extent().width / ax.figure.dpi
    assert whiskers.get_linewidth()[0] < 0.5 * wide


def test_one_palette():
    ends = [mpl.colors.to_hex(DIVERGING(place)) for place in (0.0, 0.5, 1.0)]
    assert [ends[0].upper(), ends[2].upper()] == [AGAINST, FOR]
    assert mpl.colors.to_rgb(ends[1]) == pytest.approx((1, 1, 1), abs=0.01)
    assert plot_heatmap(explain_song(0, 3)).collections[0].get_cmap() is DIVERGING


@pytest.mark.parametrize(
    ("first", "last", "marks"),
    [
        (0, 12, ["0:00", "0:02", "0:04", "0:06", "0:08", "0:10", "0:12"]),
        (61, 65, ["1:01", "1:01.5", "1:02", "1:02.5", "1:03", "1:03.5", "1:04", "1:04.5", "1:05"]),
        (0, 400, ["0:00", "1:00", "2:00", "3:00", "4:00", "5:00", "6:00"]),
        (0, 7200, ["0:00", "30:00", "60:00", "90:00", "120:00"]),
    ],
)
def test_time_has_minutes(first, last, marks):
    ax = plt.subplots()[1]
    mark_time(ax, first, last, None)
    assert [label.get_text() for label in ax.get_xticklabels()] == marks


def test_bars_are_named_where_they_are_known():
    ax = plot_heatmap(explain_song(0, 12, timeline=True))
    shown = [label.get_text() for label in ax.get_xticklabels() if label.get_visible()]
    assert shown[:3] == ["0:00\nbar 1", "0:02\nbar 5", "0:04\nbar 9"]
    assert ax.get_xlabel() == "minutes:seconds, and bar"
