"""What a catalogue says on the terminal: findings with songs to look at, maps, and classes side by side."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from catalogues import make_global, plant
from click.testing import CliRunner
from rich.console import Console
from rich.table import Table

from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.findings.auditing import audit
from musiclime_torch.corpus.findings.summaries import Global, Pair
from musiclime_torch.corpus.reports.terminal import make_tables, say_finding, say_left_out


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
    lines = [line.split() for line in shown[title]]
    assert ["feature", "pop", "rock", "ska"] in lines
    assert ["love", "+2.000", "-2.000", "-2.000"] in lines
    # Fewer than ten songs of a class say nothing of it.
    assert ["only", "pop", "+1.000"] in lines
    assert not any("jazz" in line for line in lines)
    chosen = show(found, "rock", "ska")
    (title,) = (title for title in chosen if title.startswith("Side by side"))
    assert any(line.split() == ["feature", "rock", "ska"] for line in chosen[title] if "feature" in line)
    assert not any("pop:" in title for title in chosen)
    assert not any(title.startswith("Side by side") for title in show(found, "rock"))


def test_a_catalogue_without_lyrics_has_no_columns_of_words(found):
    silent = replace(
        found, classes=[replace(entry, lyrics_share=0.0, lyrics_share_by_component=0.0) for entry in found.classes]
    )
    assert any("lyrics" in line for line in show(found)["Shares of squared attributions, freed of noise"])
    assert not any("lyrics" in line for line in show(silent)["Songs"])


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
    assert "of 30 have the first" in said["boilerplate"][0]
    assert "of 30 songs, and carries" in said["position"][0]
    shown = CliRunner().invoke(cli, ["global", str(tmp_path), "--class", "pop"])
    assert shown.exit_code == 0, shown.output
    assert "for example s0, s1, s2, s3" in shown.stdout.replace("\n", " ").replace("  ", " ")


def test_classes_to_choose_from_cannot_command_the_terminal(tmp_path):
    make_global(tmp_path, [{"id": "one", "class": "a\x1b[31m", "rows": [("drums", 0, None, 1.0, 0.1, False)]}])
    refused = CliRunner().invoke(cli, ["global", str(tmp_path), "--class", "pop"])
    assert str(refused.exception).endswith("choose from a·[31m.")


def test_numbers_are_whole_whatever_the_names(tmp_path):
    """Names give way, in one line each."""
    stems = ("vocals", "drums", "bass", "guitar", "accompaniment", "percussive stem of a kind")
    long = "misunderstanding " * 3
    names = ("alternative rock and metal of the nineties", "[b]:heart: songs", "jazz", "blues", "folk", "soul")
    songs = []
    for of in names:
        for number in range(12):
            noise = 0.001 * (number % 3 - 1)
            rows = [(stem, place, None, 1.234 + place + noise, 0.001, False) for stem in stems for place in range(10)]
            words = [(None, None, word, -2.345 + noise, 0.001, False) for word in (long, ":fire:", "a\x1b[31m\nb")]
            songs.append({"id": f"{of}{number}", "class": of, "rows": [*rows, *words]})
    found = make_global(tmp_path, songs)
    pairs = tuple(Pair(of, stems[5], long, 12, -1.234, 0.01) for of in names)
    text = "\n".join(line for lines in show(replace(found, pairs=pairs)).values() for line in lines)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    for number in (
        "+10.234 to +10.234",
        "+10.234",
        "-2.345",
        "-1.234",
        "± 0.022",
        "hom.",
        "lyrics, a component",
        "songs",
    ):
        assert number in text, number
    assert "accompaniment, segment 10" in text
    assert re.search(r"accompaniment, .*\n +segment 10 ", text)
    assert not re.search(r"[0-9.]…", text)


def test_names_are_no_pictures_and_no_commands(tmp_path):
    songs = [{**draw("pop", number), "class": ":heart: pop"} for number in range(12)]
    for number, one in enumerate(songs):
        one["id"] = f"\x1b[31m{number}\n" + "x" * 500
        one["rows"] = [*one["rows"], (None, None, "you\x1b[0m", 2.0 + 0.01 * number, 0.01, False)]
    make_global(tmp_path, songs)
    shown = CliRunner().invoke(cli, ["global", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert ":heart: pop" in shown.stdout
    assert "\x1b" not in shown.stdout
    (line,) = (line for line in shown.stdout.splitlines() if "for example" in line)
    assert "·[31m11 xxx" in line


def test_what_is_left_out_is_said(found):
    assert list(say_left_out(found, ("jazz", "pop"))) == ["jazz: 1 song, too few to rank."]
    assert list(say_left_out(found, ())) == []
    many = [replace(one, name=str(number)) for number, one in enumerate([found.classes[1]] * 7)]
    (line,) = say_left_out(replace(found, classes=tuple(many)), ())
    assert "the 5 classes with the most songs are shown side by side; choose among the other 2" in line
