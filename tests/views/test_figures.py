"""Figures of one song show what the explanation says."""

import itertools
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from musiclime_torch.basics.choices import Timeline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.demo.bundle import load_demo_model, load_demo_track
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.views.drawing import NOT_SIGNIFICANT
from musiclime_torch.views.figures import plot_heatmap, plot_interactions, plot_lyrics, plot_waterfall

mpl.use("agg")


@pytest.fixture(scope="module")
def explained() -> Explanation:
    return explain(load_demo_model(), load_demo_track(), segments=4, n_samples=(48, 96), target="anthem")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def bars(ax: plt.Axes) -> list[plt.Rectangle]:
    return list(ax.patches)


def is_grey(bar: plt.Rectangle) -> bool:
    return mpl.colors.same_color(bar.get_facecolor(), NOT_SIGNIFICANT)


def test_cells_lie_at_their_seconds_and_the_untold_are_crossed(explained):
    ax = plot_heatmap(explained)
    mesh, components = ax.collections[0], explained.components
    table = np.asarray(mesh.get_array()).ravel()
    assert np.array_equal(table, explained.attributions[explained.target, : components.n_audio].numpy())
    seconds = np.asarray(mesh.get_coordinates())[0, :, 0]
    assert np.allclose(seconds, components.edges)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(load_demo_track().stem_names)
    told = explained.significant[explained.target, : components.n_audio]
    assert sum(len(line.get_xdata()) for line in ax.lines) == int((~told).sum())
    assert mesh.norm(0.0) == 0.5  # white is zero
    other = plot_heatmap(explained, target="love song").collections[0].get_array()
    assert not np.array_equal(np.asarray(other).ravel(), table)


def test_words_stand_in_their_order_with_intervals(explained):
    ax = plot_lyrics(explained)
    first, row = explained.components.n_audio, explained.target
    assert [bar.get_height() for bar in bars(ax)] == explained.attributions[row, first:].tolist()
    assert [is_grey(bar) for bar in bars(ax)] == (~explained.significant[row, first:]).tolist()
    spans = [abs(one[1][1] - one[0][1]) / 2 for one in ax.collections[0].get_segments()]
    assert spans == pytest.approx(explained.half_width[row, first:].tolist())
    words = [item.word for item in explained.components.items[first:]]
    assert [label.get_text() for label in ax.get_xticklabels()] == words


def test_a_waterfall_ends_at_the_song(explained):
    ax = plot_waterfall(explained, top=3)
    row = explained.target
    steps = bars(ax)
    empty, song = float(explained.output_empty[row]), float(explained.output_song[row])
    assert steps[0].get_x() == pytest.approx(empty)
    assert steps[-1].get_x() + steps[-1].get_width() == pytest.approx(song, abs=1e-5)
    for before, after in itertools.pairwise(steps):
        assert after.get_x() == pytest.approx(before.get_x() + before.get_width())
    assert [bar.get_width() for bar in steps[:3]] == pytest.approx([value for _, value, _ in explained.top(3)])
    assert is_grey(steps[-1])
    assert ax.get_yticklabels()[-2].get_text() == "interactions (remainder)"
    spans = [abs(bar.get_segments()[0][1][0] - bar.get_segments()[0][0][0]) / 2 for bar in ax.collections]
    halves = explained.half_width[row]
    top = [column for column in explained.order() if explained.significant[row, column]][:3]
    rest = halves.square().sum() - halves[top].square().sum()
    assert spans[3:] == pytest.approx([float(rest.sqrt()), float(halves.square().sum().sqrt())])


def test_a_waterfall_of_shapley_values_has_no_remainder():
    found = explain(
        load_demo_model(), load_demo_track(), segments=2, n_samples=(64, 128), target="anthem", weights="shapley"
    )
    ax = plot_waterfall(found, top=2)
    last = bars(ax)[-1]
    halves = found.half_width[found.target]
    top = [column for column in found.order() if found.significant[found.target, column]][:2]
    assert found.sum_over(range(len(found.components)))[1] == 0
    assert found.sum_over(top)[1] == pytest.approx(float(halves[top].square().sum().sqrt()))
    assert "remainder" not in "".join(label.get_text() for label in ax.get_yticklabels())
    assert last.get_x() + last.get_width() == pytest.approx(float(found.output_song[found.target]), abs=1e-4)


def test_pairs_are_those_told_from_zero(explained):
    ax = plot_interactions(explained, top=4)
    top = explained.top_pairs(4)
    assert [bar.get_width() for bar in bars(ax)] == pytest.approx([value for _, _, value, _ in top])
    assert top[0][1].name in ax.get_yticklabels()[0].get_text()
    assert "logit" in plot_interactions(explained, space="logit").get_xlabel()


def test_they_draw_on_axes_given_and_names_are_no_formulas(explained):
    items = tuple(replace(item, name="$" + item.name, word=item.word and "$x_1$") for item in explained.components.items)
    odd = replace(explained, components=replace(explained.components, items=items))
    figure, axes = plt.subplots(2, 2)
    for draw, ax in zip((plot_heatmap, plot_lyrics, plot_waterfall, plot_interactions), axes.flat, strict=True):
        assert draw(odd, ax=ax) is ax
        assert "anthem" in ax.get_title(loc="left")
    figure.canvas.draw()


def test_what_is_lacking_is_said(explained):
    level = lambda audio: audio.square().mean((1, 2))  # noqa: E731
    told = {"sample_rate": 16000, "modalities": ("audio",), "output_kind": "regression"}
    heard = explain(level, load_demo_track(), segments=2, n_samples=16, **told)
    with pytest.raises(InputError, match="use plot_heatmap"):
        plot_lyrics(heard)
    with pytest.raises(InputError, match="no interactions"):
        plot_interactions(replace(heard, interactions=None))
    words = replace(
        explained.components, items=explained.components.items[explained.components.n_audio :], n_stems=0, edges=()
    )
    with pytest.raises(InputError, match="use plot_lyrics"):
        plot_heatmap(replace(explained, components=words))
    nothing = replace(explained.interactions, values=torch.zeros_like(explained.interactions.values))
    assert "nothing is significant" in plot_interactions(replace(explained, interactions=nothing)).texts[0].get_text()


def test_segments_names_stand_above_the_cells_and_bars_at_their_foot():
    track = load_demo_track()
    middle = track.seconds / 2
    timeline = Timeline((0.0, middle, track.seconds), ("verse $1$", "chorus"), bars=(0.0, middle))
    ax = plot_heatmap(explain(load_demo_model(), track, segments=timeline, n_samples=(48, 96)))
    named = [text for text in ax.texts if text.get_rotation() == 90]
    assert [text.get_text() for text in named] == [r"verse \$1\$", "chorus"]
    assert named[0].xy[0] == pytest.approx(middle / 2)
    assert [segment[0][0] for segment in ax.collections[1].get_segments()] == [0.0, middle]
