"""The page of a catalogue in a real browser, and from the command line."""

from pathlib import Path

import pytest
from catalogues import draw_songs, plant, write_songs
from chromium import find_faults, open_page, overflow
from click.testing import CliRunner

from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.auditing import audit
from musiclime_torch.corpus.findings.summaries import Global


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    songs = draw_songs(0, 60)
    for song in songs:
        song["rows"][0] = ("drums", 0, None, 2.0 if song["class"] == "rock" else -1.0, 0.1, False)
        song["rows"].append((None, None, "<b>x</b>", 1.5 if song["class"] == "rock" else 0.5, 0.1, False))
    write_songs(folder, [*songs, *plant(3, boilerplate=False, edge=True, blind=True)])
    return folder


@pytest.fixture(scope="module")
def found(run) -> Global:
    return aggregate(run)


@pytest.fixture(scope="module")
def path(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("report")
    done = CliRunner().invoke(cli, ["global", str(run), "--report", str(out)])
    assert done.exit_code == 0, done.output
    assert str(out / "index.html") in done.stderr
    return out / "index.html"


def test_findings_come_first_and_classes_after_them(browser, path, found, run):
    with open_page(browser, path) as (page, heard):
        headings = page.locator("h2").all_text_contents()
        assert headings[:2] == ["What stands out", "Classes side by side"]
        assert page.locator(".card p:first-of-type").all_text_contents() == [one.message for one in audit(run, found)]
        assert set(page.locator("tbody th bdi").all_text_contents()) == {one.name for one in found.classes}
        assert heard.complaints == []


def test_each_class_shows_its_own(browser, path, found):
    with open_page(browser, path) as (page, heard):
        for index, name in enumerate(
            text.rsplit(" (", 1)[0].strip("\u2068\u2069") for text in page.locator("#class option").all_text_contents()
        ):
            page.select_option("#class", str(index))
            top = found.top(name, 14, "lyrics")
            assert page.locator("#class-words .label").all_text_contents() == [one.name for one in top]
            numbers = page.locator("#class-words .number").all_text_contents()
            assert [float(text.replace("−", "-")) for text in numbers] == pytest.approx([one.mean for one in top], abs=0.01)
            cells = [one for one in found.features if one.class_name == name and one.position is not None]
            for kind, wanted in (
                ("for", [one for one in cells if one.significant and one.mean > 0]),
                ("against", [one for one in cells if one.significant and one.mean < 0]),
                ("untold", [one for one in cells if not one.significant]),
            ):
                assert page.locator(f"#map rect.{kind}").count() == len(wanted)
        page.locator("#map rect").first.focus()
        page.keyboard.press("ArrowRight")
        assert "segment 2" in page.locator("#map-detail").text_content()
        assert heard.complaints == []


def test_two_classes_are_set_against_each_other(browser, path, found):
    with open_page(browser, path) as (page, heard):
        names = [text.rsplit(" (", 1)[0].strip("\u2068\u2069") for text in page.locator("#first option").all_text_contents()]
        page.select_option("#first", str(names.index("rock")))
        page.select_option("#second", str(names.index("pop")))
        assert page.locator("#apart .label").first.text_content() == "drums, segment 1"
        told = {one.name: one.mean for one in found.features if one.class_name == "rock" and one.name == "<b>x</b>"}
        assert any(text.startswith("<b>x</b>: ") for text in page.locator("#scatter title").all_text_contents()), told
        assert heard.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(browser, path, scheme, width):
    with open_page(browser, path, width, color_scheme=scheme) as (page, heard):
        assert overflow(page) <= 0
        assert find_faults(page) == []
        assert heard.complaints == []
