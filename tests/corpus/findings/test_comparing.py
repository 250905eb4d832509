"""Two runs compared: what moved is found with its size and its songs, what is noise isn't, and all of it is written."""

from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from catalogues import heard, read, song, write_run, write_songs
from matplotlib.collections import LineCollection, PathCollection
from pyarrow import parquet
from rich.console import Console
from scipy import stats

from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.findings import parts
from musiclime_torch.corpus.findings.comparing import Alone, Comparison, Move, Shift, compare, find_examples, open_both
from musiclime_torch.corpus.reports.figures import plot_shifts, write_shifts
from musiclime_torch.corpus.reports.terminal import describe_comparison, describe_shift, make_comparison
from musiclime_torch.corpus.runs.shards import claim_folder
from musiclime_torch.corpus.runs.tables import SCHEMAS, write_table

mpl.use("agg")


def contrast(folder: Path, first: list[dict], second: list[dict], **options: float) -> Comparison:
    write_songs(folder / "first", first)
    write_songs(folder / "second", second)
    return compare(folder / "first", folder / "second", **options)


def test_two_runs_are_compared_song_by_song(tmp_path):
    rng = np.random.default_rng(0)
    runs: dict[str, list[dict]] = {"one": [], "two": []}
    for number in range(30):
        values = rng.normal(size=6)
        for name, songs in runs.items():
            rows = [("drums", place, None, float(value), 0.1, False) for place, value in enumerate(values)]
            rows += [(None, None, "Love", 0.5 + rng.normal(0, 0.1) + (2.0 if name == "two" else 0.0), 0.1, False)]
            of = "rock" if number < 2 and name == "two" else "pop"
            songs.append({"id": f"s{number:02d}", "class": of, "rows": rows})
    for name, songs in runs.items():
        write_songs(tmp_path / name, songs)
    found = compare(tmp_path / "one", tmp_path / "two")
    assert (found.songs, found.decided_otherwise, found.compared) == (30, 2, 7)
    assert found.moves == (Move("pop", "rock", 2, ("s00", "s01")),)
    assert [(one.class_name, one.name, one.songs) for one in found.shifts] == [("pop", "love", 28)]
    assert found.shifts[0].change == pytest.approx(2.0, abs=0.1)
    assert found.agreement is not None
    assert 0.3 < found.agreement < 1
    same = compare(tmp_path / "one", tmp_path / "one")
    assert (same.agreement, same.shifts, same.moves, same.decided_otherwise) == (1.0, (), (), 0)
    assert same.only_first == same.only_second == Alone(0, 0, ())
    write_songs(tmp_path / "three", [{"id": "other", "class": "a", "rows": [("drums", 0, None, 1.0, 0.1, False)]}])
    with pytest.raises(InputError, match="compare runs over the same manifest"):
        compare(tmp_path / "one", tmp_path / "three")
    write_songs(tmp_path / "cut", [one | {"rows": [("drums", 0, None, 1.0, 0.1, False)]} for one in runs["two"]])
    with pytest.raises(InputError, match="'s00' has segments 6 and 1"):
        compare(tmp_path / "one", tmp_path / "cut")


def test_runs_on_other_scales_are_not_compared(tmp_path):
    songs = [song(str(n), heard("drums", 1.0), heard("vocals", float(n))) for n in range(12)]
    write_run(tmp_path / "a", songs, value="logit", space="logit")
    write_run(tmp_path / "b", songs, value="probability", space="probability")
    assert compare(tmp_path / "a", tmp_path / "a").songs == 12
    with pytest.raises(InputError, match="logit logit and probability probability"):
        compare(tmp_path / "a", tmp_path / "b")


def test_lines_of_different_songs_are_not_one_feature(tmp_path):
    songs = [song(str(n), heard("drums", 1.0), read(None, 1.0 + 0.01 * n)) for n in range(12)]
    other = [song(str(n), heard("drums", 2.0 + 0.01 * n), read(None, 9.0)) for n in range(12)]
    write_run(tmp_path / "a", songs, lines=True)
    write_run(tmp_path / "b", other, lines=True)
    found = compare(tmp_path / "a", tmp_path / "b")
    assert [one.name for one in found.shifts] == ["drums 0"]
    # Lines are attributions too: they count to what all features share.
    drums, lines = 12 * 3 + 0.01 * 66, 12 * 10 + 0.01 * 66
    assert found.shifts[0].share == pytest.approx(drums / (drums + lines))


def test_sections_are_matched_by_their_text(tmp_path):
    """They have neither word nor number."""
    rng = np.random.default_rng(0)
    for run in ("a", "b"):
        songs = [song(str(n), *(read(f"verse {k} of {n}", float(rng.normal())) for k in range(4))) for n in range(12)]
        write_songs(tmp_path / run, songs)
        path = tmp_path / run / "attributions" / "000000.parquet"
        table = parquet.read_table(path)
        rows = [{**row, "text": row["word"], "word": None} for row in table.to_pylist()]
        parquet.write_table(table.from_pylist(rows, table.schema), path)
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.agreement is not None
    assert abs(found.agreement) < 0.9
    assert (found.compared, found.shifts) == (0, ())


def test_noise_alone_moves_something_in_one_class_of_twenty(tmp_path):
    """Each class is a repetition: a family of its own, of 25 words in 12 songs."""
    rng = np.random.default_rng(11)
    classes, words, songs = 200, 25, 12
    runs: list[list[dict]] = [[], []]
    for of in range(classes):
        for number in range(songs):
            base = rng.normal(size=words)
            for run in runs:
                values = base + rng.normal(size=words)
                rows = [read(f"w{word}", float(value), error=0.1) for word, value in enumerate(values)]
                run.append(song(f"{of}-{number}", *rows, of=f"class{of}"))
    found = contrast(tmp_path, *runs)
    assert found.compared == classes * words
    moved = len({one.class_name for one in found.shifts})
    # Of 200 that 5% are expected of, 99.9% of draws lie here.
    low, high = stats.binom.ppf([0.0005, 0.9995], classes, 0.05)
    assert low <= moved <= high
    sure = compare(tmp_path / "first", tmp_path / "second", confidence=0.999)
    assert len(sure.shifts) <= 3


def test_a_planted_shift_is_found_among_noise(tmp_path):
    rng = np.random.default_rng(3)
    runs: list[list[dict]] = [[], []]
    planted = []
    for number in range(14):
        for run, moved in zip(runs, (0.0, 0.8), strict=True):
            noise = [read(f"w{word}", float(value)) for word, value in enumerate(rng.normal(0, 0.3, 60))]
            value = 1.0 + moved + float(rng.normal(0, 0.2))
            planted.append(value)
            run.append(song(f"s{number:02d}", *noise, heard("vocals", value, place=1), heard("vocals", 0.1)))
    (one,) = contrast(tmp_path, *runs).shifts
    change = np.array(planted[1::2]) - np.array(planted[::2])
    assert (one.class_name, one.kind, one.name, one.songs) == ("a", "audio", "vocals 1", 14)
    assert one.change == pytest.approx(change.mean())
    assert (one.first, one.second) == pytest.approx((np.mean(planted[::2]), np.mean(planted[1::2])))
    # Student's interval, by scipy.
    low, high = stats.ttest_1samp(change, 0).confidence_interval(0.9)
    assert one.half_width(0.9) == pytest.approx((high - low) / 2)
    assert one.examples == tuple(f"s{number:02d}" for number in np.argsort(-np.abs(change))[:5])


def test_the_same_change_in_every_song_is_a_shift_and_no_change_is_none(tmp_path):
    first = [song(str(n), heard("drums", 0.5), heard("bass", 0.1 * n), read("love", 0.25)) for n in range(12)]
    second = [song(str(n), heard("drums", 0.5), heard("bass", 0.1 * n), read("love", 0.375)) for n in range(12)]
    (one,) = contrast(tmp_path, first, second).shifts
    assert (one.name, one.change, one.standard_error, one.half_width(0.95)) == ("love", 0.125, 0.0, 0.0)


def test_sums_in_another_order_are_no_change(tmp_path):
    """Three occurrences whose sum is 0.6 or 0.6000000000000001: the same difference in every song."""
    values = (0.1, 0.2, 0.3)
    assert sum(values) != sum(reversed(values))
    first = [song(str(n), *(read("love", value) for value in values)) for n in range(12)]
    second = [song(str(n), *(read("love", value) for value in reversed(values))) for n in range(12)]
    assert contrast(tmp_path, first, second).shifts == ()


def test_few_songs_are_not_compared(tmp_path):
    first = [song(str(n), heard("drums", 1.0), *([read("rare", 1.0)] if n < 4 else [])) for n in range(12)]
    second = [song(str(n), heard("drums", 1.0), *([read("rare", 2.0)] if n < 4 else [])) for n in range(12)]
    assert contrast(tmp_path, first, second).compared == 1
    assert [one.name for one in compare(tmp_path / "first", tmp_path / "second", min_songs=4).shifts] == ["rare"]


def test_a_share_is_of_all_that_both_runs_see_of_the_class(tmp_path):
    """Twice in a song, for and against; what one run alone sees, and songs of another class, don't count."""
    first, second = [], []
    for n in range(12):
        unseen = heard("bass", 50.0), heard("bass", 50.0, unseen=True)
        first.append(song(str(n), heard("drums", 2.0), unseen[0], read("Don’t", 1.0), read("don't", -0.5)))
        second.append(song(str(n), heard("drums", 2.0), unseen[1], read("don't", 2.0), read("don't", -0.5)))
    for run, of in ((first, "a"), (second, "b")):
        run.append(song("moved", heard("drums", 100.0), read("don't", 100.0), of=of))
    (one,) = contrast(tmp_path, first, second).shifts
    assert (one.name, one.first, one.second, one.songs) == ("don't", 0.5, 1.5, 12)
    assert one.share == pytest.approx((1.5 + 2.5) / (1.5 + 2.5 + 4.0))
    assert one.examples == ("0", "1", "10", "11", "2")


def test_songs_that_one_run_lacks_are_told(tmp_path):
    write_songs(tmp_path / "first", [song(f"s{n:02d}", heard("drums", 1.0)) for n in range(20)])
    write_songs(tmp_path / "second", [song(f"s{n:02d}", heard("drums", 1.0)) for n in range(8, 22)])
    digest = claim_folder(tmp_path / "second", {}, "")
    rows = [{"id": name, "place": "", "reason": "broken"} for name in ("s01", "s03", "elsewhere")]
    write_table(rows, "failures", tmp_path / "second" / "failures" / "000000.parquet", digest)
    found = compare(tmp_path / "first", tmp_path / "second")
    assert found.songs == 12
    assert found.only_first == Alone(8, 2, ("s00", "s01", "s02", "s03", "s04"))
    assert found.only_second == Alone(2, 0, ("s20", "s21"))
    lines = list(describe_comparison(found, 5))
    assert "8 only in the first run (2 failed in the second): s00, s01, s02, s03, s04, …" in lines
    assert "2 only in the second run: s20, s21" in lines


def test_moves_are_counted_the_largest_first(tmp_path):
    moves = [("a", "b")] * 2 + [("b", "a")] * 7 + [("a", "a")] * 3 + [("a", "c")]
    first = [song(f"s{n:02d}", heard("drums", 1.0), of=before) for n, (before, _) in enumerate(moves)]
    second = [song(f"s{n:02d}", heard("drums", 1.0), of=after) for n, (_, after) in enumerate(moves)]
    found = contrast(tmp_path, first, second)
    assert found.moves == (
        Move("b", "a", 7, ("s02", "s03", "s04", "s05", "s06")),
        Move("a", "b", 2, ("s00", "s01")),
        Move("a", "c", 1, ("s12",)),
    )
    assert found.decided_otherwise == 10
    lines = list(describe_comparison(found, 2))
    assert lines[1:4] == [
        "  b became a in 7: s02, s03, s04, s05, s06, …",
        "  a became b in 2: s00, s01",
        "  and 1 more, in 1",
    ]


def write_shards(out: Path, songs: list[dict], size: int) -> None:
    """The songs in several shards."""
    for place, start in enumerate(range(0, len(songs), size)):
        write_songs(out / "shard", songs[start : start + size])
        for name in SCHEMAS:
            (out / name).mkdir(parents=True, exist_ok=True)
            (out / "shard" / name / "000000.parquet").replace(out / name / f"{place:06d}.parquet")
    for path in (out / "shard").iterdir():
        if path.is_file():
            path.replace(out / path.name)


def test_parts_say_what_the_whole_says(tmp_path, monkeypatch):
    """Also where the second run has cut other shards, of songs in another order, and lacks some."""
    rng = np.random.default_rng(7)
    runs: list[list[dict]] = [[], []]
    for number in range(40):
        for run, moved in zip(runs, (0.0, 1.0), strict=True):
            of = "pop" if number % 2 else "rock"
            values = rng.normal(0, 0.4, 4)
            rows = [read("love", float(values[0]) + moved), read("rain", float(values[1]))]
            run.append(
                song(f"s{number:02d}", *rows, heard("drums", float(values[2])), heard("bass", float(values[3])), of=of)
            )
    rng.shuffle(runs[1])
    whole = contrast(tmp_path, runs[0], runs[1][:36])
    assert {(one.class_name, one.name) for one in whole.shifts} == {("pop", "love"), ("rock", "love")}
    write_shards(tmp_path / "a", runs[0], 4)
    write_shards(tmp_path / "b", runs[1][:36], 7)
    monkeypatch.setattr(parts, "PART", 20)
    assert len(parts.cut_parts(tmp_path / "a")) == 5
    found = compare(tmp_path / "a", tmp_path / "b")
    assert (found.songs, found.compared, found.agreement) == (whole.songs, whole.compared, pytest.approx(whole.agreement))
    assert (found.moves, found.only_first, found.only_second) == (whole.moves, whole.only_first, whole.only_second)
    for one, other in zip(found.shifts, whole.shifts, strict=True):
        assert (one.class_name, one.name, one.songs, one.examples) == (
            other.class_name,
            other.name,
            other.songs,
            other.examples,
        )
        assert (one.first, one.second, one.share) == pytest.approx((other.first, other.second, other.share))
        assert one.standard_error == pytest.approx(other.standard_error)


def test_examples_are_kept_few(tmp_path):
    """However many parts there are."""
    songs = [song(f"s{n:02d}", heard("drums", 1.0 + n)) for n in range(30)]
    write_songs(tmp_path / "a", songs)
    write_songs(tmp_path / "b", [song(one["id"], heard("drums", 0.0)) for one in songs])
    database = open_both(tmp_path / "a", tmp_path / "b")
    (named,) = find_examples(database, tmp_path / "a", tmp_path / "b", [("a", "audio", "drums 0")])
    assert named == ("s29", "s28", "s27", "s26", "s25")
    assert database.execute("select count(*) from examples").fetchall() == [(5,)]


def test_the_terminal_says_names_as_they_are(odd, tmp_path):
    table = make_comparison(odd, 2)
    shown = Console(width=100, record=True, file=(tmp_path / "shown").open("w"), emoji=False)
    shown.print(table)
    text = shown.export_text()
    assert [column.header for column in table.columns] == ["class", "feature", "songs", "first", "second", "change", "share"]
    assert "[red]sad" in text
    assert "You might also like [b]this[/b]…" in text
    assert "+2.000 ± 0.220" in text  # 2.201 × 0.1
    assert "-0.500 ± 0.000" in text
    assert "25.0%" in text
    assert "vocals" not in text
    lines = [*describe_comparison(odd, 5), describe_shift(odd.shifts[0])]
    assert lines[1] == "1 only in the second run (1 failed in the first): [i]y"
    assert lines[2] == "  [red]sad became You might also like [b]this[/b]… in 1: [bold]x"
    assert lines[3:] == [
        "3 of 20 means that were compared changed.",
        "[red]sad, You might also like [b]this[/b]…: changed most in [/b] 1, 2, …",
    ]


def test_numbers_are_whole_in_eighty_columns(odd, tmp_path):
    shown = Console(width=80, record=True, file=(tmp_path / "shown").open("w"))
    shown.print(make_comparison(odd, 3))
    text = shown.export_text()
    for number in ("+0.500", "+2.500", "+2.000 ± 0.220", "+1.500 ± 0.452", "50.0%"):
        assert number in text


def test_names_are_no_commands_and_segments_count_from_one(tmp_path):
    strange = "\x1b[31m1\n" + "x" * 500
    shift = Shift("pop\x1b[0m", "audio", "accompaniment 9", 12, -10.5, -12.5, 0.1, 0.25, (strange,))
    moves = (Move("pop\x1b[0m", "rock\n", 1, (strange,)),)
    found = Comparison(14, 0, Alone(1, 0, (strange,)), Alone(0, 0, ()), moves, 0.5, 20, (shift,))
    shown = Console(width=80, record=True, file=(tmp_path / "shown").open("w"))
    shown.print(make_comparison(found, 1))
    lines = [*describe_comparison(found, 5), describe_shift(shift)]
    assert not any("\x1b" in line or "\n" in line or len(line) > 120 for line in lines)
    assert lines[-1].startswith("pop·[0m, accompaniment, segment 10: changed most in ·[31m1 xxx")
    text = shown.export_text()
    assert "\x1b" not in text
    assert "-2.000 ± 0.220" in text
    assert "segment 10" in text


@pytest.fixture
def _no_figures():
    yield
    plt.close("all")


@pytest.mark.usefixtures("_no_figures")
def test_a_class_is_drawn_run_against_run(odd):
    ax = plot_shifts(odd, "[red]sad", labels=1)
    points = [tuple(point.get_offsets()[0]) for point in ax.collections if isinstance(point, PathCollection)]
    assert points == [(0.5, 2.5), (1.0, 0.5)]
    bars = [line.get_segments()[0] for line in ax.collections if isinstance(line, LineCollection)]
    half = odd.shifts[0].half_width(0.95)
    assert bars[0] == pytest.approx(np.array([[0.5, 2.5 - half], [0.5, 2.5 + half]]))
    assert [text.get_text() for text in ax.texts] == ["You might also like [b]this[/b]…"]
    ax.figure.canvas.draw()
    ax = plot_shifts(odd, "$x_1$ of a class with a name")
    assert ax.get_xlabel() == r"mean attribution to \$x_1\$ of a class with a name, first run"  # no formula
    ax.figure.canvas.draw()
    with pytest.raises(InputError, match=r"choose one of \[red\]sad, "):
        plot_shifts(odd, "jazz")


def test_drawings_are_whole_files(odd, tmp_path):
    paths = write_shifts(odd, tmp_path / "plots")
    assert [path.name for path in paths] == ["class00-shifts.svg", "class01-shifts.svg"]
    assert all(ElementTree.parse(path).getroot().tag.endswith("svg") for path in paths)
    assert not plt.get_fignums()
