"""A ranking as HTML: text is escaped, bars are where the numbers say, and what doesn't fit a page is replaced."""

import re

import pytest

from musiclime_torch.explanation.fragment import Ranking, clean, draw_fragment


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x85", "\ud800", "\ufffe"])
def test_what_no_page_can_show_is_replaced_however_deep(character: str):
    assert clean(f"a{character}b") == "a\ufffdb"
    assert clean({f"{character}": [(character, 1), None]}) == {"\ufffd": [["\ufffd", 1], None]}
    assert clean("tab\tand\nnewline") == "tab\tand\nnewline"


def test_bars_reach_from_zero_to_their_value_and_the_widest_interval_fills_its_half():
    html = draw_fragment(Ranking("title", "Banzhaf value", [("up", 3.0, 1.0), ("down", -2.0, 0.5)], []))
    bars = re.findall(r'<rect x="([\d.]+)%" y="15%" width="([\d.]+)%" height="70%" fill="(#\w+)"', html)
    assert [(float(x), float(width)) for x, width, _ in bars] == [(50.0, 37.5), (25.0, 25.0)]
    assert bars[0][2] != bars[1][2]
    ends = [float(x) for pair in re.findall(r'<line x1="([\d.]+)%" x2="([\d.]+)%" y1="50%"', html) for x in pair]
    assert ends == [75.0, 100.0, pytest.approx(18.8, abs=0.06), pytest.approx(31.2, abs=0.06)]
    assert "+3</td>" in html
    assert "-2</td>" in html


def test_every_text_is_escaped_and_without_rows_there_is_no_table():
    html = draw_fragment(Ranking("<i>", "<b>", [("<script>", 1.0, 0.1)], ["<u>"]))
    assert not re.search("<(i|b|script|u)>", html)
    assert all(f"&lt;{name}&gt;" in html for name in ("i", "b", "script", "u"))
    assert "<table>" not in draw_fragment(Ranking("title", "heading", [], ["nothing is significant"]))
