"""What is measured of a page: faults that are planted are found, and nothing else is."""

from pathlib import Path

import pytest

from benchmarks.tools.sight import Sight, measure, opening_page

GOOD = """<!doctype html><meta name="viewport" content="width=device-width"><body style="color: #000; background: #fff">
<div class="rows">{rows}</div>{more}"""
ROW = """<div style="padding-left: {shift}px"><svg class="bar" width="90" height="9">
<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="9" stroke="#000"/></svg></div>"""


def look(browser, tmp_path: Path, more: str = "", shift: float = 0, zero: float = 40) -> Sight:
    path = tmp_path / "page.html"
    rows = ROW.format(shift=0, zero=40) + ROW.format(shift=shift, zero=zero)
    path.write_text(GOOD.format(rows=rows, more=more))
    with opening_page(browser, path, 390, "light") as page:
        return measure(page)


def test_a_good_page_has_no_fault(browser, tmp_path):
    sight = look(browser, tmp_path, "<p>one</p><p style='color: #767676'>two</p>")
    assert sight.faults == []
    assert (sight.rows, sight.texts, sight.spread) == (2, 2, 0)
    assert sight.contrast == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ({"shift": 7}, "zero lines 7.0 px apart"),
        ({"zero": 43}, "zero lines 3.0 px apart"),
        ({"more": "<p>one</p><p style='margin-top: -1.9em'>two</p>"}, "on each other: one | two"),
        ({"more": "<p style='color: #999'>pale</p>"}, "faint, 2.85: pale"),
        ({"more": "<p style='opacity: 0.3'>pale</p>"}, "faint, 2.11: pale"),
        ({"more": "<p style='background: #777; color: #fff'>dark</p>"}, "faint, 4.48: dark"),
        ({"more": "<p style='width: 500px'>wide</p>"}, "118 px too wide"),
        ({"more": "<p style='margin-left: 375px; white-space: nowrap'>sticks out</p>"}, "1 texts stick out"),
    ],
)
def test_a_planted_fault_is_found(browser, tmp_path, planted, fault):
    assert fault in look(browser, tmp_path, **planted).faults
