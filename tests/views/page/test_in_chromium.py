"""The page of a song in a real browser: it opens in silence, plays, seeks, follows, switches, and can be used by anybody."""

import runpy
from pathlib import Path

import pytest
import torch
from chromium import find_faults, open_page, overflow
from models import Late

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.lyrics.lrc import parse_lrc
from musiclime_torch.song.track import Track
from musiclime_torch.views.page.song import write_report
from musiclime_torch.views.page.sound import EMBED_SECONDS

TEXT = "[00:00.50]<00:00.50>hold <00:00.80>me <00:01.00>now\n[00:02.00]love is my love\n[00:03.00]never let me down"


def make_track(seconds: float = 4.0) -> Track:
    stems = 0.2 * torch.randn(3, 2, round(seconds * 8000), generator=torch.Generator().manual_seed(1))
    return Track(stems, ("drums", "bass", "vocals"), 8000, parse_lrc(TEXT), title="noise & <co>", source="made by hand")


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    return explain(Late(), make_track(), segments=4, n_samples=800, evidence=True)


@pytest.fixture(scope="module")
def path(explanation, tmp_path_factory) -> Path:
    return write_report(explanation, make_track(), tmp_path_factory.mktemp("page"))


@pytest.fixture
def opened(browser, path):
    with open_page(browser, path) as (page, heard):
        yield page
        assert heard.complaints == []


def test_it_opens_without_a_complaint_and_asks_nobody(browser, path):
    with open_page(browser, path) as (page, heard):
        assert page.locator("h1").text_content() == "noise & <co>"
        assert page.locator("#heat rect[data-column]").count() == 12
        assert page.locator("#lyrics .w").count() == 11
        assert heard.complaints == []
        assert [url for url in heard.requests if not url.startswith("data:")] == [path.as_uri()]
        # The policy is in force: what it doesn't name is refused.
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('img'), {src: 'https://example.org/a.png'}))"
        )
        page.wait_for_function("() => true")
        assert any("Content Security Policy" in said for said in heard.console)


def named(option: str) -> str:
    """The class of an option, which has marks of direction around it and its output behind it."""
    return option.rsplit(" (", 1)[0].strip("\u2068\u2069")


def last_digit(shown: str) -> float:
    """How far a rounded number may be from what it was rounded from."""
    return 0.51 * 10.0 ** -len(shown.partition(".")[2])


def test_numbers_are_the_explanations_for_every_class(opened, explanation):
    options = opened.locator("#class option").all_text_contents()
    assert {named(option) for option in options} == set(explanation.classes)
    for index, option in enumerate(options):
        opened.select_option("#class", str(index))
        name = named(option)
        row = explanation.classes.index(name)
        assert opened.locator("#verdict strong").text_content() == name
        told = explanation.significant[row]
        for element in opened.locator("[role=gridcell], #lyrics .w").all():
            column = int(element.get_attribute("data-column"))
            label, kinds = element.get_attribute("aria-label"), element.get_attribute("class").split()
            value = float(explanation.attributions[row, column])
            if not told[column]:
                assert "not significant" in label
                assert "untold" in kinds
            else:
                assert ("for" if value > 0 else "against") in kinds
                shown = label.split(" ± ")[0].replace("\u00a0", " ").split(" ± ")[0].split()[-1]
                assert float(shown.replace("−", "-")) == pytest.approx(value, abs=max(last_digit(shown), 1e-3))


def test_the_waterfall_closes_for_every_class(opened, explanation):
    grouped = set()
    for index, option in enumerate(opened.locator("#class option").all_text_contents()):
        opened.select_option("#class", str(index))
        row = explanation.classes.index(named(option))
        numbers = opened.locator("#waterfall .number").all_text_contents()
        # "−1.28 (22%)": a percentage stands beside the ends.
        texts = [text.replace("−", "-").replace(" ", "\u00a0").split("\u00a0")[0] for text in numbers]
        start, *steps, end = map(float, texts)
        assert start == pytest.approx(float(explanation.output_empty[row]), abs=5e-3)
        assert end == pytest.approx(float(explanation.output_song[row]), abs=5e-3)
        assert start + sum(steps) == pytest.approx(end, abs=sum(map(last_digit, texts)))
        assert steps[-1] == pytest.approx(float(explanation.remainder[row]), abs=last_digit(texts[-2]))
        half = numbers[-2].split("\u00a0")[-1].lstrip("<")
        assert float(half) == pytest.approx(
            explanation.sum_over(range(len(explanation.components)), row)[1], abs=last_digit(half) + 1e-3
        )
        grouped |= {label.split(" ", 1)[-1] for label in opened.locator("#waterfall .label").all_text_contents()}
    assert "not significant" in grouped


def test_without_words_no_half_is_empty_and_percentages_stand_beside_logits(browser, tmp_path):
    # The vocals are so quiet that what they do is less than a hundredth of the rest.
    stems = make_track().stems * torch.tensor([1, 1, 0.004])[:, None, None]
    track = Track(stems, ("drums", "bass", "vocals"), 8000, None, title="no words")

    def model(audio: torch.Tensor) -> torch.Tensor:
        power = audio[:, :, :8000].square().mean((1, 2))
        return torch.stack([power * 40 - 1, -power], 1)

    found = explain(
        model, track, sample_rate=8000, modalities=("audio",), output_kind="multilabel", classes=["loud", "quiet"],
        segments=2, target="loud", residual=True,
    )  # fmt: skip
    with open_page(browser, write_report(found, track, tmp_path)) as (page, heard):
        assert page.locator("#words").count() == 0
        assert page.locator("#together-heading").text_content() == "Parts that act together"
        boxes = [page.locator(f"#{name}").bounding_box() for name in ("steps", "others")]
        assert boxes[0]["y"] == pytest.approx(boxes[1]["y"], abs=1)
        chance = f"{100 * float(torch.sigmoid(found.output_song[0])):.0f}%"
        assert chance in page.locator("#version-song .said").text_content()
        assert f"({chance})" in page.locator("#verdict").text_content()
        assert f"({chance})" in page.locator("#waterfall .number").last.text_content()
        signs = page.locator("#heat text[data-sign]").all_text_contents()
        kinds = [page.locator(f"#heat rect[data-column='{column}']").get_attribute("class") for column in range(6)]
        assert all((sign == "") == (kind in ("tiny", "untold", "unseen")) for sign, kind in zip(signs, kinds, strict=True))
        assert kinds[4] == "tiny"
        assert "for" in kinds
        # All masks were run: an exact number has no ±, and the page says why.
        assert not found.half_width[0].any()
        assert "±" not in page.locator("#waterfall").text_content()
        assert "exact to its last digit" in page.locator("#steps-how").text_content()
        assert heard.complaints == []


def playing(page, name="song") -> str:
    return f"document.querySelector('audio[data-version={name}]')"


def test_a_cell_and_a_word_are_played_from_their_time(opened):
    opened.locator("#heat rect").nth(2).click()
    # Where it is once it is past its beginning, read in the page itself: on a busy machine an answer comes seconds later.
    look = f"() => !{playing(opened)}.paused && {playing(opened)}.currentTime > 2.05 ? {playing(opened)}.currentTime : null"
    assert 2.05 < opened.wait_for_function(look).json_value() < 3
    assert opened.locator("#cell-detail").text_content().replace("\u2068", "").startswith("drums 0:02-0:03")
    assert opened.locator("#lyrics p.sung").text_content() == "love is my love"
    assert float(opened.evaluate("parseFloat(document.getElementById('playhead').style.left)")) > 50
    opened.locator("#now-button").click()
    assert opened.evaluate(f"{playing(opened)}.paused")
    opened.locator("#lyrics .w", has_text="now").click()
    opened.wait_for_function(f"() => !{playing(opened)}.paused")
    assert 0.99 <= opened.evaluate(f"{playing(opened)}.currentTime") < 1.9
    assert opened.locator("#lyrics .w.sung").text_content() == "now"


def test_one_player_at_a_time(opened):
    names = opened.evaluate("[...document.querySelectorAll('audio')].map((one) => one.dataset.version)")
    assert names[0] == "song"
    assert len(names) > 1, "the evidence of this song has sound in it"
    for name in names:
        opened.evaluate(f"{playing(opened, name)}.play()")
        opened.wait_for_function(f"() => {playing(opened, name)}.currentTime > 0.05")
        assert opened.evaluate("[...document.querySelectorAll('audio')].filter((one) => !one.paused).length") == 1
        assert opened.evaluate(f"{playing(opened, name)}.duration") == pytest.approx(4.0, abs=0.1)


def test_by_keyboard_alone(opened):
    focused = "document.activeElement.dataset.column"
    for _ in range(60):
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.matches('#heat rect')"):
            break
    assert opened.evaluate(focused) == "0"
    for key, column in (("ArrowRight", 1), ("ArrowDown", 5), ("End", 7), ("ArrowRight", 7), ("ArrowUp", 3), ("Home", 0)):
        opened.keyboard.press(key)
        assert opened.evaluate(focused) == str(column), key
    where = "['x', 'y', 'width'].map((name) => {}.getAttribute(name))"
    frame = opened.evaluate(where.format("document.querySelector('#heat .mark')"))
    assert frame == opened.evaluate(where.format("document.activeElement")), "focus is seen"
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("Enter")
    opened.wait_for_function(f"() => {playing(opened)}.currentTime > 1")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "hold"
    for key, word in (
        ("ArrowRight", "me"),
        ("ArrowDown", "love"),
        ("ArrowLeft", "now"),
        ("ArrowDown", "love"),
        ("ArrowUp", "hold"),
    ):
        opened.keyboard.press(key)
        assert opened.evaluate("document.activeElement.textContent") == word, key


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(browser, path, scheme, width):
    with open_page(browser, path, width, color_scheme=scheme, reduced_motion="reduce") as (page, heard):
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        page.locator("#heat rect").first.click()
        assert overflow(page) <= 0
        assert find_faults(page) == []
        assert heard.complaints == []


def test_printed_it_leaves_out_what_paper_cannot_do(opened):
    opened.emulate_media(media="print")
    assert not any(one.is_visible() for one in opened.locator("audio").all())
    assert opened.locator("#heat").is_visible()


def test_without_script_the_largest_causes_are_there(browser, path, explanation):
    with open_page(browser, path, java_script_enabled=False) as (page, _):
        shown = page.locator("noscript .musiclime td:first-child").all_text_contents()
        assert shown == [component.name for component, _, _ in explanation.top(12)]


def test_a_long_songs_sound_lies_beside_it_and_plays(browser, tmp_path):
    track = make_track(EMBED_SECONDS + 1)
    path = write_report(explain(Late(), track, segments=4, n_samples=64), track, tmp_path)
    assert [file.parent.name for file in tmp_path.rglob("song.*")] == ["audio"]
    with open_page(browser, path) as (page, heard):
        page.locator("#heat rect").nth(1).click()
        page.wait_for_function(f"() => {playing(page)}.currentTime > 11.6")
        assert heard.complaints == []


@pytest.mark.slow
def test_ten_minutes_and_1500_words_stay_under_a_megabyte(browser, tmp_path):
    """Seconds are measured by benchmarks/report.py, whose song this is."""
    invented = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "overhead" / "report.py"))
    track = invented["invent_track"](600, 1500)
    explanation = invented["invent_explanation"](track, 8, 48)
    path = write_report(explanation, track, tmp_path)
    assert invented["measure_size"](path) < 1_000_000
    with open_page(browser, path, 360) as (page, heard):
        assert page.locator("#lyrics .w").count() == 1500
        assert page.locator("#class option").count() == 48
        assert overflow(page) <= 0
        assert heard.complaints == []
