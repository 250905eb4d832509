"""Figures of a catalogue: what they show is what the tables say."""

from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import pytest
from catalogues import draw_songs, write_songs
from matplotlib.figure import Figure

from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.summaries import Global
from musiclime_torch.corpus.reports.figures import plot_classes, plot_features, plot_positions, write_plots
from musiclime_torch.views.drawing import NOT_SIGNIFICANT


@pytest.fixture
def found(tmp_path: Path) -> Global:
    songs = draw_songs(0, 60)
    for song in songs:
        song["rows"][0] = ("drums", 0, None, 2.0 if song["class"] == "rock" else -1.0, 0.1, False)
        song["rows"].append((None, None, "$x_1$<b>", 1.5, 0.1, False))
    write_songs(tmp_path / "run", songs)
    return aggregate(tmp_path / "run")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_bars_are_what_is_told_from_zero_largest_first(found):
    ax = plot_features(found, "rock")
    top = found.top("rock", 12)
    assert [bar.get_width() for bar in ax.patches] == [one.mean for one in top]
    assert (top[0].name, top[1].name) == ("drums 0", "$x_1$<b>")
    lines = [list(line.get_xdata()) for line in ax.lines if len(set(line.get_ydata())) == 1]
    assert lines == [[one.low, one.high] for one in top]
    assert all(name in ax.get_yticklabels()[0].get_text() for name in ("drums, segment 1", "("))
    assert "attribution" in ax.get_xlabel()
    words = plot_features(found, "rock", kind="lyrics")
    assert len(words.patches) == len(found.top("rock", 12, "lyrics"))


def test_cells_are_signed_means_and_the_untold_are_crossed(found):
    ax = plot_positions(found, "pop")
    table = ax.images[0].get_array()
    cells = {(one.stem, one.position): one for one in found.features if one.class_name == "pop" and one.stem}
    stems = [label.get_text() for label in ax.get_yticklabels()]
    assert {(stem, place): table[row, place] for row, stem in enumerate(stems) for place in range(3)} == {
        key: one.mean for key, one in cells.items()
    }
    assert sum(len(line.get_xdata()) for line in ax.lines) == sum(not one.significant for one in cells.values())


def test_two_classes_share_their_features(found):
    ax = plot_classes(found, "rock", "pop", labels=1)
    points = {tuple(point.get_offsets()[0]) for point in ax.collections}
    one, other = ({f.name: f for f in found.features if f.class_name == of and f.low is not None} for of in ("rock", "pop"))
    assert points == {(one[name].mean, other[name].mean) for name in one if name in other}
    assert [text.get_text() for text in ax.texts] == ["drums, segment 1"]
    assert any(mpl.colors.same_color(point.get_facecolor()[0], NOT_SIGNIFICANT) for point in ax.collections)


def test_they_draw_on_axes_given(found):
    figure, axes = plt.subplots(1, 3)
    assert plot_features(found, "rock", ax=axes[0]) is axes[0]
    assert plot_positions(found, "rock", ax=axes[1]) is axes[1]
    assert plot_classes(found, "rock", "pop", ax=axes[2]) is axes[2]
    figure.canvas.draw()  # names with dollars are no formulas
    with pytest.raises(InputError, match="choose one of pop, rock"):
        plot_features(found, "jazz")


def test_files_are_whole_drawings(found, tmp_path):
    paths = write_plots(found, tmp_path / "plots")
    assert [path.name for path in paths] == [
        "class00-features.svg", "class00-positions.svg", "class01-features.svg", "class01-positions.svg",
        "class00-against-01.svg",
    ]  # fmt: skip
    assert all(ElementTree.parse(path).getroot().tag.endswith("svg") for path in paths)
    assert not plt.get_fignums()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="another plots folder"):
        write_plots(found, tmp_path / "file")


def test_what_interrupts_a_drawing_leaves_no_half_of_it(found, tmp_path, monkeypatch):
    plain, drawn = Figure.savefig, []

    def stop(figure, path, **more):
        plain(figure, path, **more)
        drawn.append(path)
        if len(drawn) == 2:
            path.write_bytes(path.read_bytes()[:100])
            raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", stop)
    with pytest.raises(KeyboardInterrupt):
        write_plots(found, tmp_path / "plots")
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["class00-features.svg"]
    assert ElementTree.parse(tmp_path / "plots" / "class00-features.svg").getroot().tag.endswith("svg")
    assert not plt.get_fignums()


def test_the_largest_classes_are_drawn_against_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("musiclime_torch.corpus.reports.figures.MOST_AGAINST", 3)
    rows = [(None, None, "love", 1.0, 0.1, False)]
    songs = [
        {"id": f"{of}{n}", "class": of, "rows": rows}
        for of, count in zip("abcd", (12, 10, 14, 13), strict=True)
        for n in range(count)
    ]
    write_songs(tmp_path, songs)
    paths = write_plots(aggregate(tmp_path), tmp_path / "plots")
    against = [path.stem for path in paths if "against" in path.stem]
    assert against == ["class00-against-02", "class00-against-03", "class02-against-03"]


def test_a_class_with_nothing_to_say_says_so(tmp_path):
    songs = [{"id": str(n), "class": "a", "rows": [(None, None, f"w{n}", 0.0, 0.1, False)]} for n in range(12)]
    write_songs(tmp_path, songs)
    found = aggregate(tmp_path)
    assert "nothing is significant" in plot_features(found, "a").texts[0].get_text()
    assert len(write_plots(found, tmp_path / "plots")) == 1
