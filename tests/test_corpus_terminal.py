"""What a catalogue says on the terminal: findings with songs to look at, maps, and classes side by side."""

import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.table import Table
from test_corpus import make_global, plant

from musiclime_torch.cli import cli
from musiclime_torch.corpus.aggregation import Global
from musiclime_torch.corpus.auditing import audit
from musiclime_torch.corpus.terminal import make_tables, say_finding


def draw(of: str, number: int) -> dict:
    sign = 1.0 if of == "pop" else -1.0
    noise = 0.01 * (number % 3 - 1)
    rows = [("drums", place, None, (sign if place == 8 else 0.0) + noise, 0.01, False) for place in range(10)]
    words = [(None, None, "love", sign * 2 + noise, 0.01, False), (None, None, "the", noise, 0.01, False)]
    own = [(None, None, f"only {of}", 1.0 + noise, 0.01, False)]
    return {"id": f"{of}{number}", "class": of, "rows": [*rows, *words, *own]}


@pytest.fixture
def found(tmp_path: Path) -> Global:
    songs = [draw(of, number) for of in ("pop", "rock", "ska") for number in range(12)]
    return make_global(tmp_path, [*songs, {**draw("pop", 0), "id": "few", "class": "jazz"}])


def show(found: Global, *of: str) -> dict[str, list[str]]:
    """Tables by their titles, as lines."""
    shown = {}
    for table in make_tables(found, of, 3):
        assert isinstance(table, Table)
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(table)
        shown[str(table.title)] = console.export_text().splitlines()
    return shown


def test_classes_stand_side_by_side(found):
    shown = show(found)
    (title,) = (title for title in shown if title.startswith("Side by side"))
    lines = [line.replace("│", " ").replace("┃", " ").split() for line in shown[title]]
    assert ["feature", "pop", "rock", "ska"] in lines
    assert ["love", "+2.000", "-2.000", "-2.000"] in lines
    # Fewer than ten songs of a class say nothing of it.
    assert ["only", "pop", "+1.000"] in lines
    assert not any("jazz" in line for line in lines)
    chosen = show(found, "rock", "ska")
    (title,) = (title for title in chosen if title.startswith("Side by side"))
    assert any(line.split()[1:4:2] == ["feature", "rock"] for line in chosen[title] if "feature" in line)
    assert not any("pop:" in title for title in chosen)
    assert not any(title.startswith("Side by side") for title in show(found, "rock"))


def test_maps_say_what_is_told_from_zero_and_fit(found):
    shown = show(found)
    first, second = shown["pop: stems and moments"], shown["pop: stems and moments, from segment 9"]
    (row,) = (line.split() for line in first if "drums" in line)
    assert row == ["drums", *["·"] * 8]
    (row,) = (line.split() for line in second if "drums" in line)
    assert row == ["drums", "+1.000", "·"]
    (heading,) = (line.split() for line in second if "segment " in line and "moments" not in line)
    assert heading == ["segment", "9", "10"]
    assert all(len(line) <= 80 and "…" not in line for lines in shown.values() for line in lines)


def test_findings_name_songs(tmp_path):
    found = make_global(tmp_path, plant(3, boilerplate=True, edge=True, blind=True))
    said = {one.kind: list(say_finding(one)) for one in audit(tmp_path, found)}
    for kind in ("boilerplate", "position", "unseen", "few songs"):
        first, second = said[kind]
        assert first.startswith(f"{kind}: ")
        assert second.startswith("    for example ")
    assert "of 30 the first" in said["boilerplate"][0]
    assert "of 30 songs, and carries" in said["position"][0]
    shown = CliRunner().invoke(cli, ["global", str(tmp_path), "--class", "pop"])
    assert shown.exit_code == 0, shown.output
    assert "for example s0, s1, s2, s3" in shown.stdout.replace("\n", " ").replace("  ", " ")
