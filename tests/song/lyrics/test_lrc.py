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
        ("[01:02.5034]", 62.5034),
        ("[01：02.50]", 62.5),
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


@pytest.mark.parametrize(
    "text",
    [
        "[00:10.00]<00:10.00>Hold <00:10.50>on <00:11.00>\n[bg: <00:11.20>oh <00:11.60>yeah <00:12.00>]\n[00:13.00]go",
        "[00:10.00]<00:10.00>Hold <00:10.50>on <00:11.00>[bg:(<00:11.20>oh <00:11.60>yeah<00:12.00>)]\n[00:13.00]go",
        "[00:10.00]v1: <00:10.00>Hold <00:10.50>on <00:11.00>\n[BG:<00:11.20>(oh <00:11.60>yeah)<00:12>]\n[00:13]v2:go",
        "[00:10.00]<00:10.00>v1:Hold <00:10.50>on <00:11.00>\n[bg:([00:11.20]oh [00:11.60]yeah[00:12.00])]\n[00:13.00]go",
        "[00:10.00]<00:10.00>Hold <00:10.50>on <00:11.00>\n[00:11.20][bg:<00:11.20>oh <00:11.60>yeah<00:12>]\n[00:13]go",
    ],
)
def test_background_vocals_are_sung(text: str):
    lyrics = parse_lrc(text)
    assert [(word.text, word.start_seconds) for word in lyrics.words] == [
        ("Hold", 10.0), ("on", 10.5), ("oh", 11.2), ("yeah", 11.6), ("go", None),
    ]  # fmt: skip
    assert [section.name for section in lyrics.sections] == ["section 1"]
    # A line of background vocals begins with its first word.
    assert len(lyrics.lines) == 2 or lyrics.lines[1].start_seconds == 11.2
    assert lines(parse_lrc("[00:01.00]Hold [bg: oh yeah] me\n[bg: ooh]")) == [(1.0, "Hold oh yeah me"), (None, "ooh")]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("[00:00.00]作词 : 方文山\n[00:01.00]作曲：周杰伦\n[00:02.00]编曲：林\n", "3 rows of credits ('作词 : 方文山')"),
        ("[00:00.00]晴天 - 周杰伦\n[00:00.50]词：周杰伦\n[00:01.00]词/曲：周杰伦\n", "3 rows of credits ('晴天 - 周杰伦')"),
        ('{"t":0,"c":[{"tx":"作词: "},{"tx":"林夕","li":"http://x"}]}\n{"t":9,"c":[{"tx":"作曲: "}]}\n', "('作词: 林夕')"),
        ("[00:00.00]Lyrics by：Ann\n[00:01.00]Produced by: Bo\n[00:02.00]Mixing Engineer: Cy\n", "3 rows of credits"),
        ("[00:00.00]混音师：Mike\n[00:01.00]母带工程师：Ed\n[00:02.00]监制 : X\n[00:03.00]OP：Y\n", "4 rows of credits"),
    ],
)
def test_credits_are_left_out_and_told(rows: str, told: str):
    lyrics = parse_lrc(rows + "[00:05.00]hold me - now\n[00:06.00]music is my life")
    assert lines(lyrics) == [(5.0, "hold me - now"), (6.0, "music is my life")]
    assert told in lyrics.warnings[0]


@pytest.mark.parametrize("marks", [("v1:", "v2: "), ("F: ", "M:"), ("男：", "女: "), ("合:", "D:"), ("Both: ", "v12:")])
def test_singers_marks_are_left_out_and_told(marks: tuple[str, str]):
    lyrics = parse_lrc(f"[00:05.00]{marks[0]}hold <00:05.50>me\n[00:06.00]{marks[1]}now")
    assert lines(lyrics) == [(5.0, "hold me"), (6.0, "now")]
    assert lyrics.words[1].start_seconds == 5.5
    assert all(mark.strip() in lyrics.warnings[0] for mark in marks)
    assert lines(parse_lrc("[00:05.00]Mama: hold me\n[00:06.00]I said: now")) == [
        (5.0, "Mama: hold me"),
        (6.0, "I said: now"),
    ]


def test_remarks_are_dropped():
    text = "# made by Ann\n[:] a note\n[00:01.00]la\n// another\n; a third\n[00:02.00]//\n[00:03.00]#1"
    assert lines(parse_lrc(text)) == [(1.0, "la"), (3.0, "#1")]


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
