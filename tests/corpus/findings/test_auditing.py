"""Audits find what was planted and nothing else."""

import math

import pytest
from catalogues import heard, make_global, plant, read, song, write_songs
from pyarrow import parquet

from musiclime_torch.corpus.findings.aggregation import aggregate
from musiclime_torch.corpus.findings.auditing import audit


@pytest.mark.parametrize("planted", ["nothing", "boilerplate", "edge", "blind", "cut"])
def test_audits_find_what_was_planted_and_nothing_else(tmp_path, planted):
    found = make_global(tmp_path, plant(3, *(planted == one for one in ("boilerplate", "edge", "blind", "cut"))))
    findings = {one.kind: one for one in audit(tmp_path, found)}
    expected = {"nothing": set(), "boilerplate": {"boilerplate"}, "edge": {"position"}}.get(planted, {"unseen"})
    assert set(findings) == {"few songs", *expected}
    assert (findings["few songs"].about, findings["few songs"].examples) == (("jazz",), ("lonely",))
    if planted == "boilerplate":
        one = findings["boilerplate"]
        assert set(one.about) == {"you", "might", "also", "like"}
        assert len(set(one.examples)) == 10
        assert one.share == pytest.approx(6 / (6 + 40 * 0.3 * math.sqrt(2 / math.pi)), abs=0.05)
        songs = plant(3, False, False, False)[:30]
        against = [one | {"rows": [*one["rows"], (None, None, "never", -2.0, 0.1, False)]} for one in songs]
        found = make_global(tmp_path / "against", against)
        assert not [one for one in audit(tmp_path / "against", found) if one.kind == "boilerplate"], "it speaks against it"
    if planted == "edge":
        assert "the last position" in findings["position"].message
    if planted == "blind":
        assert findings["unseen"].examples == ("s0", "s1", "s2", "s3")
    if planted == "cut":
        assert "the last 3 of 8 positions" in findings["unseen"].message
        assert 25 < findings["unseen"].songs <= 31  # in some nothing is told from noise
        assert len(findings["unseen"].examples) == 10
        assert findings["unseen"].share < 0.01


def draw_positions(*sizes: float, first_unseen: bool = False) -> list[tuple]:
    return [heard("all", size, place, 0.01, first_unseen and place == 0) for place, size in enumerate(sizes)]


def test_ends_are_looked_for_song_by_song(tmp_path):
    """The last position of a song, not of the longest one."""
    long = song("long", *draw_positions(*[0.1] * 40, 9.0))
    plain = [song(f"p{n}", *draw_positions(*[0.1] * (5 + n % 3))) for n in range(11)]
    found = make_global(tmp_path / "plain", [*plain, long])
    assert not [one for one in audit(tmp_path / "plain", found) if one.kind == "position"]
    loud = [song(f"p{n}", *draw_positions(*[0.1] * (5 + n % 3), 0.6)) for n in range(11)]
    found = make_global(tmp_path / "loud", loud)
    (one,) = (one for one in audit(tmp_path / "loud", found) if one.kind == "position")
    assert "the last position weighs 6.0 times" in one.message
    assert (one.songs, len(one.examples)) == (11, 10)


def test_silent_beginnings_are_no_beginnings(tmp_path):
    songs = [song(f"s{n}", *draw_positions(0.0, 0.1, 0.1, 0.1, 0.1, first_unseen=True)) for n in range(12)]
    assert not [one for one in audit(tmp_path, make_global(tmp_path, songs)) if one.kind == "position"]


def test_boilerplate_is_found_in_lines_too(tmp_path):
    line = "You might also like a very long song title of somebody else's"
    songs = [song(str(n), heard("drums", 1.0), read(line, 2.0), read(f"line {n}", 0.1)) for n in range(12)]
    write_songs(tmp_path, songs)
    path = tmp_path / "attributions" / "000000.parquet"
    table = parquet.read_table(path)
    rows = [{**row, "text": row["word"], "word": None} for row in table.to_pylist()]
    parquet.write_table(table.from_pylist(rows, table.schema), path)
    (one,) = (one for one in audit(tmp_path, aggregate(tmp_path)) if one.kind == "boilerplate")
    assert one.about == (line.lower(),)
    assert one.examples == tuple(sorted(str(n) for n in range(12)))[:10]
    assert "you might also like a very long…" in one.message


def test_silent_stems_are_nothing_to_report(tmp_path):
    songs = [song(str(n), heard("drums", 1.0), heard("vocals", 0.0, unseen=True)) for n in range(12)]
    assert not audit(tmp_path, make_global(tmp_path, songs))
