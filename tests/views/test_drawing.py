"""Names in any script are drawn with a font that has their letters, where one is installed, and in their direction."""

import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font, LoadFlags

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.views.drawing import FALLBACKS, list_fallbacks
from musiclime_torch.views.figures import (
    plot_heatmap,
    plot_interactions,
    plot_lyrics,
    plot_waterfall,
)

SUNG = "風が谷を渡る\nここで君を待つ\n바람이 불어와\nहवा ลม"


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def explain_words(text: str) -> Explanation:
    track = Track(0.1 * torch.randn(2, 1, 1600), ("ドラム", "声"), 1600, parse_lyrics(text))

    def judge(audio: torch.Tensor, texts: list[str]) -> torch.Tensor:
        words = torch.tensor([[float(len(text)), float(text.count("風"))] for text in texts])
        return words + audio.square().mean((1, 2))[:, None]

    return explain(judge, track, sample_rate=1600, classes=("風", "바람"), n_samples=64, segments=2, target=0)


def install(path: Path, name: str, letters: str) -> font_manager.FontEntry:
    """A font with a box for each of the letters."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 500), (500, 500), (500, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", *(f"u{ord(letter):X}" for letter in letters)]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(letter): glyph for letter, glyph in zip(letters, names[1:], strict=True)})
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return font_manager.FontEntry(str(path), 0, name, "normal", "normal", 400, "normal", "scalable")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A font of each script, as systems have them."""
    fonts = {"Noto Sans CJK JP": "風谷渡君待がをるここでつドラム声", "Malgun Gothic": "바람이불어와"}
    fonts |= {"Nirmala UI": "हवा", "Noto Sans Thai": "ลม"}
    entries = [install(tmp_path / f"{name}.ttf", name, "".join(dict.fromkeys(has))) for name, has in fonts.items()]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist, *entries])
    font_manager._get_font.cache_clear()


def count_missing(ax: plt.Axes) -> int:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ax.figure.savefig(io.BytesIO(), format="png", dpi=50)
    return sum("missing from font" in str(warning.message) for warning in said)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("plot", [plot_lyrics, plot_heatmap, plot_waterfall])
def test_letters_of_any_script_are_drawn(plot):
    assert count_missing(plot(explain_words(SUNG))) == 0
    # On axes that were there before, with texts of their own.
    _, ax = plt.subplots()
    ax.set_title("風", fontfamily="monospace")
    assert count_missing(plot(explain_words(SUNG), ax=ax)) == 0


def test_without_such_a_font_nothing_changes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("musiclime_torch.views.drawing.FALLBACKS", ())
    ax = plot_lyrics(explain_words(SUNG))
    assert list_fallbacks() == []
    assert ax.get_xticklabels()[0].get_fontfamily() == mpl.rcParams["font.family"]


@pytest.mark.usefixtures("installed")
def test_what_was_set_comes_first_and_stays_set():
    explanation = explain_words(SUNG)
    with mpl.rc_context({"font.family": ["serif"]}):
        ax = plot_lyrics(explanation)
        assert mpl.rcParams["font.family"] == ["serif"]
    assert ax.get_xticklabels()[0].get_fontfamily()[0] == "serif"
    threads = [threading.Thread(target=lambda: plot_lyrics(explanation, ax=plt.Figure().subplots())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mpl.rcParams["font.family"] == ["sans-serif"]


def test_fallbacks_are_listed_once():
    assert len(set(FALLBACKS)) == len(FALLBACKS)


@pytest.mark.skipif(not hasattr(FT2Font, "_layout"), reason="matplotlib lays text out by itself from 3.11 on")
@pytest.mark.parametrize("text", ["אבג", "شمس"])
def test_text_from_right_to_left_is_in_order(text: str):
    font = FT2Font(font_manager.findfont("DejaVu Sans"))
    items = sorted(font._layout(text, LoadFlags.NO_HINTING), key=lambda item: item.x)
    assert [item.char for item in items] == list(reversed(text))


def test_pairs_and_classes_too(installed: None):
    from musiclime_torch.demo.bundle import load_demo_model, load_demo_track

    explanation = explain(
        load_demo_model(), load_demo_track(), segments=2, n_samples=(32, 64), units="line", target="anthem"
    )
    assert plot_interactions(explanation).title.get_fontfamily()[-1] in FALLBACKS
