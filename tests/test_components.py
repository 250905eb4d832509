from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musiclime_torch.components import SHORTEST_SEGMENT, cut, list_components
from musiclime_torch.failures import InputError
from musiclime_torch.reading.lyrics import Lyrics
from musiclime_torch.track import Track

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


@given(seconds=st.floats(0.1, 5000), count=st.integers(1, 40))
def test_segments_cover_the_song_in_order(seconds: float, count: int):
    if seconds / count < SHORTEST_SEGMENT:
        return
    edges = cut(seconds, count)
    assert len(edges) == count + 1
    assert edges[0] == 0
    assert edges[-1] == seconds
    assert all(a < b for a, b in pairwise(edges))


@given(seconds=st.floats(0.5, 5000), length=st.floats(0.1, 100))
def test_a_tail_belongs_to_the_last_segment(seconds: float, length: float):
    edges = cut(seconds, f"{length}s")
    assert edges[-1] == seconds
    assert edges[-1] - edges[-2] >= min(length, seconds) * (1 - 1e-6)


def test_cut_points_are_times_in_the_recording():
    assert cut(10.0, "31,35", offset=30.0) == (0.0, 1.0, 5.0, 10.0)


@pytest.mark.parametrize(
    "segments", [0, -3, "x", "0s", "-1s", "nans", [5, 4], [11.0], "1,1", 2000, 10**12, "1e-300s", "infs", "1e999s"]
)
def test_segments_that_make_no_sense_are_named(segments):
    with pytest.raises(InputError):
        cut(10.0, segments)
