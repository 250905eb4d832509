from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, example, given, settings, strategies as st

from musiclime_torch.basics.arguments import read_segments
from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.lyrics.lrc import parse_lrc
from musiclime_torch.song.lyrics.lyrics import Lyrics, parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import SHORTEST_SEGMENT, Component, cut, find_borders, list_components

BOTH = ("audio", "lyrics")


def test_columns_are_audio_stem_major_then_words_in_order(track: Track):
    components = list_components(track, 4, "word", BOTH)
    names = [item.name for item in components.items]
    assert names[:5] == [
        "drums 0:00.0-0:00.5",
        "drums 0:00.5-0:01.0",
        "drums 0:01.0-0:01.5",
        "drums 0:01.5-0:02.0",
        "vocals 0:00.0-0:00.5",
    ]
    assert names[8:] == [
        "hold (line 1)",
        "me (line 1)",
        "now (line 1)",
        "love (line 2, word 1)",
        "is (line 2)",
        "my (line 2)",
        "love (line 2, word 4)",
    ]
    assert components.n_audio == 8
    assert len(set(names)) == len(components)


def test_types_lines_and_sections_cover_the_words(track: Track, lyrics: Lyrics):
    types = list_components(track, 1, "type", ("lyrics",))
    assert [item.word for item in types.items] == ["hold", "me", "now", "love", "is", "my"]
    assert types.items[3].spans == ((12, 16), (23, 27))
    lines = list_components(track, 1, "line", ("lyrics",))
    assert [lyrics.text[slice(*item.spans[0])] for item in lines.items] == ["hold me now", "love is my love"]
    assert [item.line for item in lines.items] == [1, 2]
    assert [item.name for item in list_components(track, 1, "section", ("lyrics",)).items] == ["section 1"]


def test_a_modality_the_model_lacks_gives_no_columns(track: Track):
    assert list_components(track, 4, "word", ("audio",)).lyric_spans == ()
    assert list_components(track, 4, "word", ("lyrics",)).n_audio == 0


@settings(deadline=None)
@given(seconds=st.floats(0.1, 5000), count=st.integers(1, 40))
@example(0.5, 25)
def test_segments_cover_the_song_in_order(seconds: float, count: int):
    assume(seconds / count >= SHORTEST_SEGMENT)
    edges = cut(seconds, count)
    assert len(edges) == count + 1
    assert edges[0] == 0
    assert edges[-1] == seconds
    assert all(a < b for a, b in pairwise(edges))


@settings(deadline=None)
@given(seconds=st.floats(0.5, 5000), length=st.floats(0.1, 100))
def test_a_tail_belongs_to_the_last_segment(seconds: float, length: float):
    edges = cut(seconds, f"{length}s")
    assert edges[-1] == seconds
    assert edges[-1] - edges[-2] >= min(length, seconds) * (1 - 1e-6)


def test_a_length_is_laid_out_from_the_start():
    assert cut(10.0, "3s") == (0.0, 3.0, 6.0, 10.0)
    assert cut(0.3, "0.1s") == pytest.approx((0.0, 0.1, 0.2, 0.3))  # 0.3 / 0.1 is a rounding error short of 3
    assert cut(10.0, "3s", offset=5.0) == (0.0, 3.0, 6.0, 10.0)


def test_a_number_may_come_as_text():
    assert cut(10.0, "4") == cut(10.0, 4) == (0.0, 2.5, 5.0, 7.5, 10.0)


def test_cut_points_are_times_in_the_recording():
    assert cut(10.0, "31,35", offset=30.0) == (0.0, 1.0, 5.0, 10.0)


def test_both_ends_may_be_among_the_cut_points():
    assert cut(10.0, [0, 4, 10]) == cut(10.0, [4]) == (0.0, 4.0, 10.0)


def test_cut_points_outside_of_an_excerpt_are_told_in_its_own_times():
    with pytest.raises(InputError, match="borders 31, 45 must rise and be within 30 and 40 seconds"):
        cut(10.0, [31, 45], offset=30.0)


def test_what_is_neither_a_number_nor_a_text_nor_a_list_is_quoted():
    with pytest.raises(InputError, match=r"segments 3\.5 are not understood"):
        read_segments(3.5)


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        (0, "0 segments can't cover"),
        (-3, "-3 segments can't cover"),
        ("x", "'x' are not understood"),
        ("0s", "'0s' are not understood"),
        ("-1s", "'-1s' are not understood"),
        ("nans", "'nans' are not understood"),
        ("infs", "'infs' are not understood"),
        ("1e999s", "'1e999s' are not understood"),
        ([5, 4], "borders 5, 4 must rise and be within 0 and 10 seconds"),
        ([11.0], "borders 11 must rise"),
        ("1,1", "borders 1, 1 must rise"),
        ([5, 5.001], "a segment of 1 ms is too short"),
        (2000, r"a segment of 5 ms is too short to be cut out \(at least 20 ms\)"),
        (10**12, "ms is too short"),
        ("1e-300s", "ms is too short"),
    ],
)
def test_segments_that_make_no_sense_are_named(segments, said: str):
    with pytest.raises(InputError, match=said):
        cut(10.0, segments)


def test_components_are_as_many_as_can_be_told_apart_and_no_more(track: Track, monkeypatch):
    monkeypatch.setattr("musiclime_torch.variants.components.MOST_COMPONENTS", 11)
    assert len(list_components(track, 2, "word", ("audio", "lyrics"))) == 11
    with pytest.raises(InputError, match=r"13 components are more than can be told apart \(up to 11\)"):
        list_components(track, 3, "word", ("audio", "lyrics"))


def test_times_are_those_of_the_recording(track: Track):
    late = replace(track, offset=60.25)
    components = list_components(late, "60.75,61.25", "word", ("audio",))
    assert [(item.stem, item.start, item.end) for item in components.items] == [
        (stem, start, end) for stem in ("drums", "vocals") for start, end in ((60.25, 60.75), (60.75, 61.25), (61.25, 62.25))
    ]
    assert [item.name for item in components.items[:3]] == [
        "drums 1:00.25-1:00.75",
        "drums 1:00.75-1:01.25",
        "drums 1:01.25-1:02.25",
    ]
    assert components.edges == (0.0, 0.5, 1.0, 2.0)
    assert (components.n_stems, components.n_segments) == (2, 3)
    assert list_components(track, 4, "word", ("lyrics",)).n_stems == 0


@pytest.mark.parametrize(
    ("offset", "segments", "names"),
    [
        (59.0, 2, ["a 0:59-1:00", "a 1:00-1:01"]),
        (119.0, 1, ["a 1:59-2:01"]),
        (60.0, 1, ["a 1:00-1:02"]),
        (0.0, [1.5], ["a 0:00.0-0:01.5", "a 0:01.5-0:02.0"]),
        (0.25, 1, ["a 0:00.25-0:02.25"]),
        (0.004, 1, ["a 0:00-0:02"]),
        (0.01, 1, ["a 0:00.01-0:02.01"]),
        (3600.0, 1, ["a 60:00-60:02"]),
    ],
)
def test_clocks_show_as_few_decimals_as_tell_borders_apart(offset: float, segments, names: list[str]):
    track = Track(torch.ones(1, 1, 16000), ("a",), 8000, offset=offset)
    segments = [point + offset for point in segments] if isinstance(segments, list) else segments
    assert [item.name for item in list_components(track, segments, "word", ("audio",)).items] == names


def test_every_column_says_what_it_is_and_when(track: Track):
    lyrics = parse_lrc("[00:01.00]Don’t <00:01.20>go\n[00:02.00]don't stay here with me now and for ever after\n\nla")
    sung = replace(track, lyrics=lyrics)

    def list_lyrics(units: str) -> list[Component]:
        found = list_components(sung, 1, units, ("lyrics",))
        assert found.lyric_spans == tuple(item.spans for item in found.items)
        assert all(item.kind == "lyrics" and item.stem is None for item in found.items)
        return list(found.items)

    first, second, third = list_lyrics("word")[:3]
    assert (first.word, first.line, first.spans, first.start, first.end) == ("Don’t", 1, ((0, 5),), 1.0, 1.2)
    assert (second.word, second.line, second.start, second.end) == ("go", 1, 1.2, None)
    assert (third.word, third.line, third.spans) == ("don't", 2, ((9, 14),))
    types = list_lyrics("type")
    assert (types[0].name, types[0].word, types[0].spans) == ("don't (all 2)", "don't", ((0, 5), (9, 14)))
    assert (types[1].name, types[1].word) == ("go", "go")
    lines = list_lyrics("line")
    assert [(line.start, line.line) for line in lines] == [(1.0, 1), (2.0, 2), (None, 3)]
    assert lines[1].name == "line 2: don't stay here with me now and…"
    assert [section.spans for section in list_lyrics("section")] == [((0, 55),), ((57, 59),)]


@pytest.mark.parametrize(("length", "shown"), [(31, "a" * 31), (32, "a" * 32), (33, "a" * 31 + "…"), (60, "a" * 31 + "…")])
def test_long_lines_are_shortened(track: Track, length: int, shown: str):
    long = replace(track, lyrics=parse_lyrics("a" * length))
    assert list_components(long, 1, "line", ("lyrics",)).items[0].name == f"line 1: {shown}"


def test_spaces_before_the_cut_go(track: Track):
    long = replace(track, lyrics=parse_lyrics(" ".join(["a" * 30, "b" * 30])))
    assert list_components(long, 1, "line", ("lyrics",)).items[0].name == f"line 1: {'a' * 30}…"


def test_sections_of_one_name_are_numbered(track: Track):
    song = replace(track, lyrics=parse_lyrics("[Chorus]\na\n[Verse]\nb\n[Chorus]\nc\n[Chorus]\nd"))
    names = [item.name for item in list_components(song, 1, "section", ("lyrics",)).items]
    assert names == ["Chorus (1)", "Verse", "Chorus (2)", "Chorus (3)"]


def test_borders_in_frames_end_where_the_track_ends(track: Track):
    """A length in seconds may round to another frame than the last: what lies behind would belong to no segment."""
    components = list_components(track, 4, "word", ("audio",))
    assert components.borders(8000, 16000) == [0, 4000, 8000, 12000, 16000]
    assert components.borders(8000, 16003)[-1] == 16003
    assert find_borders((0.0, 1.0, 2.0), 8000, 15999) == [0, 8000, 15999]


def test_seen_columns_are_all_but_the_unseen_ones_in_order(track: Track):
    components = list_components(track, 2, "word", ("audio",))
    assert components.seen({2: "silent"}) == (0, 1, 3)
    assert components.seen(()) == (0, 1, 2, 3)


def test_components_are_read_like_a_tuple(track: Track):
    components = list_components(track, 2, "word", ("audio", "lyrics"))
    assert list(components) == list(components.items)
    assert components[0] is components.items[0]
    assert components[-1] is components.items[-1]
    assert components[1:3] == components.items[1:3]
    assert components[3] in components
    with pytest.raises(IndexError):
        components[len(components)]
