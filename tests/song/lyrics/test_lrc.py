"""The .lrc format, as players read it."""

import pytest
from hypothesis import given, settings, strategies as st
from lyric_laws import hold_laws

from musiclime_torch.song.lyrics.lrc import looks_like_lrc, parse_lrc
from musiclime_torch.song.lyrics.lyrics import Lyrics, parse_lyrics


def lines(lyrics: Lyrics) -> list[tuple[float | None, str]]:
    return [(line.start_seconds, lyrics.text[line.start : line.end]) for line in lyrics.lines]


@pytest.mark.parametrize(
    ("tag", "seconds"),
    [
        ("[01:02]", 62.0),
        ("[01:02.5]", 62.5),
        ("[01:02.50]", 62.5),
        ("[1:02.503]", 62.503),
        ("[01:02:50]", 62.5),
        ("[01:02,50]", 62.5),
        ("[123:04.00]", 7384.0),
        ("[01:02:03.25]", 3723.25),
        ("[ 01:02.50 ]", 62.5),
    ],
)
def test_ways_to_write_a_time(tag: str, seconds: float):
    assert lines(parse_lrc(f"{tag}la")) == [(seconds, "la")]


def test_repeated_lines_are_sorted_and_untimed_ones_stay_behind_theirs():
    lyrics = parse_lrc("intro\r\n[00:10.00][01:10.00]chorus\r\n[00:20.00]verse\r\n(aside)\r\n[00:15.00]early")
    assert lines(lyrics) == [
        (None, "intro"),
        (10.0, "chorus"),
        (15.0, "early"),
        (20.0, "verse"),
        (None, "(aside)"),
        (70.0, "chorus"),
    ]


def test_a_positive_offset_lets_lyrics_appear_sooner_and_never_before_the_song():
    assert lines(parse_lrc("[offset:+500]\n[00:02.00]a\n[00:00.20]b")) == [(0.0, "b"), (1.5, "a")]
    assert lines(parse_lrc("[00:02.00]a\n[Offset: -250 ]")) == [(2.25, "a")]
    assert "soon" in parse_lrc("[offset:soon]\n[00:02.00]a").warnings[0]


def timed(text: str) -> list[tuple[str, float | None, float | None]]:
    return [(word.text, word.start_seconds, word.end_seconds) for word in parse_lrc(text).words]


def test_word_times_before_words_after_words_and_in_brackets():
    expected = [("we", 1.0, 1.5), ("are", 1.5, 2.0), ("here", 2.0, 3.0)]
    assert timed("[00:01.00] <00:01.00> we <00:01.50> are <00:02.00> here <00:03.00>") == expected
    assert timed("[00:01.00]we<00:01.50> are<00:02.00> here<00:03.00>") == expected
    assert timed("[00:01.00]we [00:01.50]are [00:02.00]here [00:03.00]") == expected
    assert timed("<00:01.00>we <00:01.50>are <00:02.00>here <00:03.00>") == expected
    assert timed("[00:01.00]we are here") == [("we", None, None), ("are", None, None), ("here", None, None)]


def test_word_times_leave_pauses_and_ignore_syllables():
    assert timed("[00:01.00]<00:01.00>ho<00:01.20>ly<00:01.50> <00:02.00>night") == [
        ("holy", 1.0, 1.5),
        ("night", 2.0, None),
    ]
    text = "[00:01.00]<00:01.00>so <00:01.50> <00:02.00>far"
    assert parse_lrc(text).text == "so far"


def test_repetitions_carry_word_times_along():
    assert timed("[offset:100][00:01.00]") == []
    assert timed("[00:05.00][00:01.00]<00:01.00>a <00:01.50>b") == [
        ("a", 1.0, 1.5),
        ("b", 1.5, None),
        ("a", 5.0, 5.5),
        ("b", 5.5, None),
    ]


def test_id_tags_are_dropped_and_headers_open_sections():
    lyrics = parse_lrc(
        "\ufeff[ar:Ann]\n[ti:La [live]]\n[length: 03:00]\n[by:x]\n[00:01.00]one\n\n[00:02.00]two\n"
        "[Chorus: Bo]\n[00:03.00]three\n[00:04.00]\n[00:05.00]four\n[00:06.00][Bridge]\n[00:07.00]five"
    )
    assert [section.name for section in lyrics.sections] == ["section 1", "section 2", "Chorus: Bo", "section 4", "Bridge"]
    assert lyrics.text == "one\n\ntwo\n\nthree\n\nfour\n\nfive"


def test_a_repeated_chorus_is_a_section_each_time():
    lyrics = parse_lrc("[Chorus]\n[00:10.00][00:30.00]love\n[00:11.00][00:31.00]me\n\n[00:20.00]verse")
    assert [section.name for section in lyrics.sections] == ["Chorus", "section 2", "Chorus"]


def test_lrc_is_known_by_its_content():
    assert looks_like_lrc("[ar:A]\n[00:01.00]a\n[00:02.00]b\nc")
    assert not looks_like_lrc("[Chorus]\na\nb\n[00:01.00]c")
    assert not looks_like_lrc("")


def test_without_tags_it_is_plain_lyrics():
    text = "[Chorus]\nlove me\n\ndo"
    assert parse_lrc(text) == parse_lyrics(text)


PIECES = st.one_of(
    st.sampled_from(["[00:01.00]", "[99:59.999]", "[1:2:3]", "[00:01.00][00:00.50]", "[٣:٤٥]", "<00:02.5>", "<00:00.10>é"]),
    st.sampled_from(["[offset:-9]", "[offset:1e9]", "[ar:x]", "[Chorus]", "<", "]", "\n", "\r\n", " ", "\ufeff"]),
    st.sampled_from(["a", "don't", "愛", "ก็", "♪"]),
)


@given(
    st.one_of(
        st.lists(PIECES, max_size=40).map("".join), st.text(alphabet="[]<>:.0129ab\n ", max_size=120), st.text(max_size=100)
    )
)
@settings(max_examples=400, deadline=None)
def test_laws_hold_for_any_text_and_nothing_is_raised(text: str):
    lyrics = parse_lrc(text)
    hold_laws(lyrics)
    times = [line.start_seconds for line in lyrics.lines if line.start_seconds is not None]
    assert times == sorted(times)


@given(st.lists(st.tuples(st.integers(0, 599_999), st.sampled_from(["la", "don't go", "愛 me"])), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back(song: list[tuple[int, str]]):
    text = "\n".join(f"[{ms // 60000:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}]{line}" for ms, line in song)
    assert lines(parse_lrc(text)) == [(ms / 1000, line) for ms, line in sorted(song, key=lambda pair: pair[0])]
