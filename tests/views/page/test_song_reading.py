"""The page of a song as somebody reads it: what stands once, whose it is, what is folded, and where words stand."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import open_page
from models import Additive

from benchmarks.pages.legibility import SCRIPTS, make_song, plant
from benchmarks.tools.sight import measure, opening_page
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.sentences import say_percent
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.song.lyrics.lrc import parse_lrc
from musiclime_torch.song.track import Track
from musiclime_torch.views.page.song import to_html, write_report

LATIN, JAPANESE, ARABIC = SCRIPTS
TRACK = make_song(LATIN, 4, True)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write_report(plant(TRACK, LATIN, 3), TRACK, tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_bars_of_a_section_stand_under_each_other_and_everything_can_be_read(browser, path, width):
    for scheme in ("light", "dark"):
        with opening_page(browser, path, width, scheme) as page:
            sight = measure(page)
            assert sight.faults == []
            assert sight.rows > 20


def test_another_class_has_its_own_sentences_and_the_cards_say_whose_they_are(browser, path):
    with open_page(browser, path) as (page, heard):
        note, summary = page.locator("#listen-note"), page.locator("#summary")
        assert not note.is_visible()
        assert "yes to indie" in summary.text_content()
        assert page.locator("#version-keeping .said").text_content().endswith("logit of indie: the decision is kept")
        song = page.locator("#version-song .said").text_content()
        page.select_option("#class", "2")
        other = page.evaluate("data.classes[2].name")
        assert note.is_visible()
        assert note.text_content().startswith("These sets belong to indie")
        assert note.text_content().endswith(f"For {other} none were looked for.")
        assert f"yes to {other}" in summary.text_content()
        assert "alone keeps" not in summary.text_content()
        assert f"logit of {other}" in page.locator("#version-song .said").text_content() != song
        page.select_option("#class", "0")
        assert not note.is_visible()
        assert heard.complaints == []


def test_what_was_taken_out_is_named():
    found = plant(TRACK, LATIN, 3)
    page = to_html(found, TRACK)
    assert "<h3>The song without these 3 parts</h3>" in page
    page = to_html(replace(found, evidence=replace(found.evidence, flipping=(7,))), TRACK)
    assert f"<h3>The song without {found.components[7].name}</h3>" in page


def test_equal_intervals_stand_once_and_others_with_each_number(browser, path, tmp_path):
    with open_page(browser, path) as (page, _):
        numbers = page.locator("#waterfall .number").all_text_contents()
        assert numbers[1:5] == ["+3.00", "−1.00", "+0.33", "−0.11"]
        assert "Every single part has ±\u00a00.04." in page.locator("#steps-how").text_content()
        assert page.locator("#table th").count() == 2
        assert page.locator("#table-how").text_content() == "Each number is ±\u00a00.04 (95%)."
        # A sum has its own.
        assert "±" in numbers[-2]
        assert "each number (±\u00a00.04)" in page.locator("#verdict").text_content()
    found = plant(TRACK, LATIN, 3)
    errors = found.standard_errors.clone()
    errors[0, 0] = 0.2
    with open_page(browser, write_report(replace(found, standard_errors=errors), TRACK, tmp_path)) as (page, _):
        assert page.locator("#waterfall .number").all_text_contents()[1:3] == [
            "+3.0\u00a0±\u00a00.4",
            "−1.00\u00a0±\u00a00.04",
        ]
        assert not page.locator("#table-how").is_visible()
        assert page.locator("#table th").count() == 3


def test_an_error_allows_so_many_decimals(browser, path):
    halves = {0.012: 3, 0.034: 3, 0.0357: 2, 0.04: 2, 0.2: 2, 12: 0, 40: -1, 0.00001: 5, 0: 5}
    with open_page(browser, path) as (page, _):
        assert [page.evaluate(f"allow({half}, 5)") for half in halves] == list(halves.values())


def test_a_word_is_marked_as_clearly_as_its_line(browser, tmp_path):
    track = replace(TRACK, lyrics=parse_lrc("[00:00.00]<00:00.00>hold <00:01.00>me\n[00:05.00]now"))
    with open_page(browser, write_report(plant(track, LATIN, 3), track, tmp_path), reduced_motion="reduce") as (page, _):
        page.evaluate("follow()")
        word = page.locator("#lyrics .w.sung")
        before = page.locator("#lyrics p.sung").evaluate("(line) => getComputedStyle(line).backgroundColor")
        ground, ink = word.evaluate("(one) => [getComputedStyle(one).backgroundColor, getComputedStyle(one).color]")
        focus = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--focus').trim()")
        assert focus == "#8a2be2"
        assert (ground, ink) == ("rgb(138, 43, 226)", "rgb(251, 250, 247)")
        assert before != ground


def test_given_settings_are_seen_and_defaults_and_hashes_are_folded(browser, tmp_path):
    found = plant(TRACK, LATIN, 3)
    settings = Settings(ridge=0.5, evidence=True).to_record()
    settings |= {"target": 5, "segments": 10, "space": "logit"}
    given = Settings(ridge=0.5, evidence=True).list_given()
    found = replace(found, provenance=found.provenance | {"settings": settings, "given": given})
    with open_page(browser, write_report(found, TRACK, tmp_path)) as (page, _):
        facts = page.locator("#trust .facts > div")
        assert facts.nth(1).locator("> dl dt").all_text_contents() == ["ridge", "evidence"]
        folded = facts.locator("details:not([open])")
        assert folded.count() == 2
        assert "kernel width" in folded.first.text_content()
        assert "segments10" in folded.first.text_content(), "what a default was resolved to is folded too"
        assert "7f3a7f3a" in folded.last.text_content()
        assert not page.get_by_text("7f3a7f3a", exact=False).is_visible()


def test_words_of_a_script_without_spaces_are_not_set_apart(browser, tmp_path):
    track = make_song(JAPANESE, 2, True)
    with open_page(browser, write_report(plant(track, JAPANESE, 2), track, tmp_path)) as (page, _):
        line = page.locator("#lyrics p").first
        assert line.text_content() == JAPANESE.lines[0]
        boxes = [word.bounding_box() for word in line.locator(".w").all()]
        assert len(boxes) > 2
        for left, right in itertools.pairwise(boxes):
            assert right["x"] == pytest.approx(left["x"] + left["width"], abs=0.1)
        # What is tinted takes no more room than what isn't.
        plain = line.evaluate("""(line) => {
            const copy = line.cloneNode();
            copy.textContent = line.textContent;
            line.after(copy);
            const range = document.createRange();
            range.selectNodeContents(copy);
            return range.getBoundingClientRect().width;
        }""")
        assert boxes[-1]["x"] + boxes[-1]["width"] - boxes[0]["x"] == pytest.approx(plain, abs=1)


def test_a_song_without_words_does_not_speak_of_them(tmp_path):
    track = make_song(LATIN, 4, False)
    page = to_html(plant(track, LATIN, 3), track)
    body = page.partition("<body>")[2].partition('<script type="application/json"')[0]
    # Any four letters may occur in the sound.
    assert "word" not in re.sub(r"data:audio/[^\"]*", "", body).lower().replace("forward", "")


def test_names_from_right_to_left_leave_the_sentence_in_its_order(browser, tmp_path):
    track = make_song(ARABIC, 2, False)
    with open_page(browser, write_report(plant(track, ARABIC, 2), track, tmp_path)) as (page, _):
        name = ARABIC.classes[0]
        assert f"yes to \u2068{name}\u2069 (" in page.locator("#summary").text_content()
        assert f"“\u2068{name}\u2069: yes”" in page.locator("#listen").text_content()


@pytest.mark.parametrize("kind", ["logits", "multilabel"])
def test_percentages_stand_beside_the_logits_of_evidence(track: Track, kind: str):
    explanation = explain(Additive(), track, segments=2, n_samples=64, output_kind=kind, evidence=True)
    assert explanation.evidence is not None
    page = to_html(explanation, track)
    for chance, ending in (
        (explanation.evidence.chance_keeping, "the decision is kept"),
        (explanation.evidence.chance_flipping, "the decision flips"),
    ):
        assert chance is not None
        assert f", {say_percent(chance)}: {ending}" in page
