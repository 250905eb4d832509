"""Segments of bars and labels: every format, names, gaps, and files that are wrong."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from clicks import make_clicks

from musiclime_torch.basics.choices import Timeline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.lyrics.lrc import parse_lrc
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.segments import Label, place_segments, read_labels
from musiclime_torch.song.track import Track

RATE = 8000
LYRICS = "[Verse]\n[00:01.00]one two\n[00:03.00]three\n[Chorus]\n[00:05.00]la la\n\n[00:08.00]so long"


@pytest.fixture
def song() -> Track:
    return Track(0.1 * torch.ones(2, 1, 10 * RATE), ("drums", "vocals"), RATE)


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


VERSES = [Label(0.5, 2.0, "verse 1"), Label(3.0, 4.5, "chorus")]
SECTIONS = {"annotations": [{"namespace": "chord", "data": []}, {"namespace": "beat", "data": []}]}
DATA = [{"time": 0.5, "duration": 1.5, "value": "verse 1"}, {"time": 3, "duration": 1.5, "value": "chorus"}]
COLUMNS = {"time": [0.5, 3], "duration": [1.5, 1.5], "value": ["verse 1", "chorus"], "confidence": [None, None]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("audacity.txt", "0.5\t2.000000\tverse 1\n\\\t100\t200\n3\t4.5\tchorus\n"),
        ("bom.txt", "\ufeff0.5\t2.0\tverse 1\n3\t4.5\tchorus"),
        ("mirex.lab", "0.5 2.0 verse 1\n3 4.5 chorus\n"),
        ("header.csv", "TIME,VALUE,DURATION,LABEL\n0.5,1,1.5,verse 1\n3,2,1.5,chorus\n"),
        ("ends.csv", "start,end,label\n0.5,2,verse 1\n3,4.5,chorus\n"),
        ("regions.csv", '0.5,1,1.5,"verse 1"\n3,2,1.5,chorus\n'),
        ("rows.jams", json.dumps({"annotations": [*SECTIONS["annotations"], {"namespace": "segment_open", "data": DATA}]})),
        ("columns.jams", json.dumps({"annotations": [{"namespace": "segment_open", "data": COLUMNS}]})),
    ],
)
def test_labels_of_every_program(tmp_path: Path, name: str, text: str):
    assert read_labels(write(tmp_path, name, text)) == VERSES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("instants.csv", "1.0,one\n2.5,two\n"),
        ("header.csv", "time,label\n1,one\n2.5,two\n"),
        ("points.txt", "1.0\t1.0\tone\n2.5\t2.5\ttwo\n"),
        (
            "beats.jams",
            '{"annotations": [{"namespace": "beat", "data": [{"time": 1, "duration": 0, "value": "one"},'
            ' {"time": 2.5, "duration": 0, "value": "two"}]}]}',
        ),
    ],
)
def test_instants_last_until_the_next_one(tmp_path: Path, song: Track, name: str, text: str):
    assert read_labels(write(tmp_path, name, text)) == [Label(1.0, None, "one"), Label(2.5, None, "two")]
    timeline = place_segments(song, tmp_path / name)
    assert isinstance(timeline, Timeline)
    assert (timeline.edges, timeline.names) == ((0.0, 1.0, 2.5, 10.0), ("", "one", "two"))


def test_labels_are_printable_and_short(tmp_path: Path):
    path = write(tmp_path, "a.txt", f"0\t2\ta\x1b[31m \t b\n2\t4\t{'long ' * 20}\n")
    names = [label.name for label in read_labels(path)]
    assert names[0] == "a [31m b"
    assert names[1].endswith("…")
    assert len(names[1]) <= 40


def test_labels_that_are_too_short_to_be_cut_out_are_told(tmp_path: Path, song: Track):
    timeline = place_segments(song, write(tmp_path, "a.txt", "0\t2\ta\n2\t2.01\tb\n2.01\t4\tc\n"))
    assert isinstance(timeline, Timeline)
    assert (timeline.edges, timeline.names) == ((0.0, 2.0, 4.0, 10.0), ("a", "c", ""))
    assert "1 of 3 labels" in timeline.notes[0]
    assert "shorter than 20 ms" in timeline.notes[0]


def test_a_jams_file_that_the_library_writes(tmp_path: Path):
    jams = pytest.importorskip("jams")
    record = jams.JAMS(annotations=[jams.Annotation("segment_open", duration=10)])
    record.annotations[0].append(time=0.5, duration=1.5, value="verse 1", confidence=None)
    record.annotations[0].append(time=3.0, duration=1.5, value="chorus", confidence=None)
    record.file_metadata.duration = 10
    record.save(str(tmp_path / "a.jams"))
    assert read_labels(tmp_path / "a.jams") == VERSES


def test_gaps_are_segments_without_a_name_and_repeated_names_are_counted(tmp_path: Path, song: Track):
    path = write(tmp_path, "a.txt", "0\t2\tchorus\n2.01\t4\tverse\n6\t10\tchorus\n")
    timeline = place_segments(song, str(path))
    assert isinstance(timeline, Timeline)
    assert timeline.names == ("chorus (1)", "verse", "", "chorus (2)")
    assert timeline.edges == (0.0, 2.01, 4.0, 6.0, 10.0)
    assert (timeline.source, timeline.notes) == ("a.txt", ())


def test_labels_beyond_the_end_are_cut_and_told(tmp_path: Path, song: Track):
    path = write(tmp_path, "a.txt", "0\t4\tverse\n4\t12\tchorus\n12\t15\toutro\n")
    timeline = place_segments(song, path)
    assert isinstance(timeline, Timeline)
    assert (timeline.edges, timeline.names) == ((0.0, 4.0, 10.0), ("verse", "chorus"))
    assert timeline.notes[0].startswith("1 of 3 labels of a.txt lie outside 0 to 10 s")
    assert "'chorus' of a.txt goes on after the end at 10 s" in timeline.notes[1]


def test_labels_count_from_the_start_of_the_recording(tmp_path: Path, song: Track):
    path = write(tmp_path, "a.txt", "0\t34\tverse\n34\t50\tchorus\n")
    timeline = place_segments(replace(song, offset=30.0), path)
    assert isinstance(timeline, Timeline)
    assert (timeline.edges, timeline.names) == ((30.0, 34.0, 40.0), ("verse", "chorus"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "", "holds no labels"),
        ("a.csv", "time,label\n", "holds no labels"),
        ("a.txt", "3\t4\tb\n1\t2\ta\n", "'a' at 1 s in 'a.txt' is out of order after 'b'"),
        ("a.txt", "1\t1\ta\n1\t1\tb\n", "'b' at 1 s in 'a.txt' is out of order after 'a'"),
        ("a.txt", "1\t4\ta\n3\t5\tb\n", "'b' at 3 s in 'a.txt' overlaps with 'a' (1 to 4 s)"),
        ("a.csv", "2.5,two\n1.0,one\n", "out of order"),
        ("a.txt", "4\t3\ta\n", "goes from 4 to 3 s"),
        ("a.txt", "-1\t3\ta\n", "goes from -1 to 3 s"),
        ("a.txt", "nan\t3\ta\n", "goes from nan to 3 s"),
        ("a.txt", "from the start\n", "isn't a file of labels"),
        ("a.csv", "time\nnow\n", "isn't a file of labels"),
        ("a.jams", "{", "isn't a file of labels"),
        ("a.json", "[]", "isn't a file of labels"),
        (
            "a.jams",
            '{"annotations": [{"namespace": "chord", "data": []}]}',
            "annotates chord, and neither segments nor beats",
        ),
        ("a.txt", "20\t30\tlate\n", "has no label between 0 and 10 s"),
        ("a.pdf", "0\t1\ta", "ending that isn't known"),
    ],
)
def test_files_that_are_wrong_are_refused_in_one_sentence(tmp_path: Path, song: Track, name: str, text: str, said: str):
    with pytest.raises(InputError) as caught:
        place_segments(song, write(tmp_path, name, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.argument == "segments"


def test_files_that_cannot_be_read(tmp_path: Path, song: Track):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="isn't UTF-8 text"):
        place_segments(song, tmp_path / "a.txt")
    with pytest.raises(InputError, match="No such file"):
        place_segments(song, "nowhere/a.txt")


def test_headings_of_the_lyrics_are_segments(song: Track):
    timeline = place_segments(replace(song, lyrics=parse_lrc(LYRICS)), "lyrics")
    assert isinstance(timeline, Timeline)
    assert timeline.names == ("", "Verse", "Chorus", "section 3")
    assert timeline.edges == (0.0, 1.0, 5.0, 8.0, 10.0)


def test_sections_at_one_time_are_one_segment(song: Track):
    timeline = place_segments(replace(song, lyrics=parse_lrc("[A]\n[00:01.00]one\n[B]\n[00:01.00]two")), "lyrics")
    assert isinstance(timeline, Timeline)
    assert (timeline.names, timeline.edges) == (("", "A"), (0.0, 1.0, 10.0))


def test_lyrics_without_times_give_no_segments(song: Track):
    with pytest.raises(InputError, match="there are no lyrics to take segments from"):
        place_segments(song, "lyrics")
    with pytest.raises(InputError, match="carry no times"):
        place_segments(replace(song, lyrics=parse_lyrics("[Chorus]\nla")), "lyrics")


def make_song(seconds: float, offset: float = 0.0) -> Track:
    sound, _ = make_clicks(120, seconds, rate=RATE, start=0.5)
    return Track(sound[None], ("drums",), RATE, offset=offset)


def test_bars_and_their_tempo():
    timeline = place_segments(make_song(8.4), "bars")
    assert isinstance(timeline, Timeline)
    assert timeline.names == ("bar 1", "bar 2", "bar 3", "bar 4")
    assert timeline.edges == pytest.approx((0, 2.5, 4.5, 6.5, 8.4), abs=0.03)
    assert timeline.bars == pytest.approx((0.5, 2.5, 4.5, 6.5), abs=0.03)
    assert timeline.notes == ("the tempo is 120 beats a minute; bars of 4 beats are assumed.",)
    assert timeline.tempo == pytest.approx(120, rel=0.005)


def test_bars_are_named_after_labels_and_headings_too(tmp_path: Path):
    song = replace(make_song(8.4), lyrics=parse_lrc(LYRICS))
    timeline = place_segments(song, "bars")
    assert isinstance(timeline, Timeline)
    assert timeline.names == ("bar 1, Verse", "bar 2, Verse", "bar 3, Chorus", "bar 4, Chorus")
    path = write(tmp_path, "a.txt", "0\t4.5\tverse 2\n")
    timeline = place_segments(song, f"bars:{path}")
    assert isinstance(timeline, Timeline)
    assert timeline.names == ("bar 1, verse 2", "bar 2, verse 2", "bar 3", "bar 4")


def test_a_part_of_a_song_has_the_recordings_times():
    timeline = place_segments(make_song(8.4, offset=30), "bars")
    assert isinstance(timeline, Timeline)
    assert timeline.edges == pytest.approx((30, 32.5, 34.5, 36.5, 38.4), abs=0.03)
    assert all(30 <= time < 38.4 for time in (*timeline.beats, *timeline.bars))
    assert "counted from 30 s" in timeline.notes[0]


@pytest.mark.parametrize("units", ["beats", "bars", "4bars", "sections"])
def test_a_song_without_a_beat_says_so_and_is_cut_equally(song: Track, units: str):
    timeline = place_segments(replace(song, stems=torch.zeros(2, 1, 10 * RATE)), units)
    assert isinstance(timeline, Timeline)
    assert timeline.edges == tuple(map(float, range(11)))
    assert timeline.names == ("",) * 10
    assert timeline.notes == (f"no beat was found, so that there are no {units}: the song was cut into 10 equal segments.",)


def test_music_that_never_changes_is_one_section():
    timeline = place_segments(make_song(20), "sections")
    assert isinstance(timeline, Timeline)
    assert timeline.names == ("section 1, bar 1-10",)
    assert "changes nowhere enough" in timeline.notes[1]


def test_a_timeline_is_taken_as_it_is_or_cut_to_the_song(song: Track):
    given = Timeline((0.0, 4.0, 10.0), ("a", "b"))
    assert place_segments(song, given) is given
    placed = place_segments(song, Timeline((2.0, 4.0, 12.0), ("a", "b"), tempo=90.0))
    assert isinstance(placed, Timeline)
    assert (placed.edges, placed.names, placed.tempo) == ((0.0, 2.0, 4.0, 10.0), ("", "a", "b"), 90.0)


def test_numbers_lengths_and_cut_points_stay_what_they_are(song: Track):
    assert [place_segments(song, given) for given in (4, "3s", [1, 2.5])] == [4, "3s", [1.0, 2.5]]


def test_segments_always_cover_the_song(tmp_path: Path, song: Track):
    for units in ("beats", "bars", "sections"):
        timeline = place_segments(make_song(13.7), units)
        assert isinstance(timeline, Timeline)
        assert (timeline.edges[0], timeline.edges[-1]) == (0.0, 13.7)
        assert all(b - a >= 0.1 for a, b in pairwise(timeline.edges))
