"""Subtitles as captioning tools write them."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from lyric_laws import hold_laws

from musiclime_torch.song.lyrics.files import read_lyrics
from musiclime_torch.song.lyrics.lyrics import Lyrics, compose
from musiclime_torch.song.lyrics.subtitles import read_cues

VTT = "WEBVTT\n\n"


def read(folder: Path, text: str, kind: str = "vtt") -> Lyrics:
    path = folder / f"a.{kind}"
    path.write_text(text, encoding="utf-8")
    return read_lyrics(path)


def lines(lyrics: Lyrics) -> list[tuple[str, float | None]]:
    return [(lyrics.text[line.start : line.end], line.start_seconds) for line in lyrics.lines]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("verse one\n00:01.000 --> 00:02.000\nla la", [("la la", 1.0)]),
        ("12\n00:00:01.000 --> 00:00:02.000 align:start position:0%\nla la", [("la la", 1.0)]),
        ("NOTE not\nsung --> never\n\nNOTE\nnor this\n\n00:01.000 --> 00:02.000\nla", [("la", 1.0)]),
        ("STYLE\n::cue { color: red }\n\nREGION\nid:a\n\n00:01.000 --> 00:02.000\nla", [("la", 1.0)]),
        ("00:01.000 --> 00:02.000\n<v Ann>hold <b>me</b></v>\n<v.loud Bo>now", [("hold me", 1.0), ("now", 1.0)]),
        ("00:01.000 --> 00:02.000\n<c.yellow.bg_blue>hold</c> <lang en>me</lang>", [("hold me", 1.0)]),
        (
            "00:01.000 --> 00:02.000\nrock &amp; roll&nbsp;&lt;3&lrm; &#39;n&#x27; AT&T",
            [("rock & roll\u00a0<3 'n' AT&T", 1.0)],
        ),
        ("00:01.000 --> 00:02.000\n<ruby>愛<rt>あい</rt></ruby>を", [("愛を", 1.0)]),
        ("00:02.000 --> 00:03.000\nb\n\n00:01.000 --> 00:02.000\na", [("a", 1.0), ("b", 2.0)]),
        ("01:00:01.000 --> 01:00:02.000\nla", [("la", 3601.0)]),
        ("00:01.000 --> 00:02.000\n[Music]\n\n00:03.000 --> 00:04.000\n♪ la ♪", [("♪ la ♪", 3.0)]),
    ],
)
def test_webvtt(tmp_path: Path, body: str, expected: list[tuple[str, float]]):
    assert lines(read(tmp_path, VTT + body + "\n")) == expected
    assert lines(read(tmp_path, "\ufeffWEBVTT - a title\nKind: captions\n\n" + body.replace("\n", "\r\n"))) == expected
    assert lines(read(tmp_path, VTT + body, "txt")) == expected


def test_word_times(tmp_path: Path):
    lyrics = read(tmp_path, VTT + "00:01.000 --> 00:03.000\nhold<00:01.500><c> me</c><00:02.000><c> close</c>\n")
    assert [(word.text, word.start_seconds, word.end_seconds) for word in lyrics.words] == [
        ("hold", 1.0, 1.5),
        ("me", 1.5, 2.0),
        ("close", 2.0, None),
    ]


def cue(start: float, end: float, *rows: str) -> str:
    return f"00:{start:06.3f} --> 00:{end:06.3f} align:start position:0%\n" + "\n".join(rows) + "\n\n"


@pytest.mark.parametrize(
    "cues",
    [
        # As YouTube writes them: the line above, the new line, and a blink in between.
        cue(0, 2, " ", "hold<00:00.500><c> me</c>") + cue(2, 2.01, "hold me", " ")
        + cue(2.01, 4, "hold me", "until<00:02.500><c> now</c>") + cue(4, 4.01, "until now", " ")
        + cue(4.01, 6, "until now", "la<00:04.500><c> la</c>") + cue(6, 6.01, "la la", " ") + cue(6.01, 8, "la la", "la la"),
        # Converted from television: two rows, the lower one new.
        cue(0, 2.01, "hold me") + cue(2.01, 4.01, "hold me", "until now") + cue(4.01, 6.01, "until now", "la la")
        + cue(6.01, 8, "la la", "la la"),
        # Three rows.
        cue(0, 2.01, "hold me") + cue(2.01, 4.01, "hold me", "until now") + cue(4.01, 6.01, "hold me", "until now", "la la")
        + cue(6.01, 8, "until now", "la la", "la la"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_captions_that_roll_are_read_once(tmp_path: Path, cues: str, kind: str):
    # YouTube's .srt has no word times.
    text = VTT + cues if kind == "vtt" else re.sub(r"<[^>]*>", "", cues.replace(".", ",")).replace("\n ", "\n")
    expected = [("hold me", 0.0), ("until now", 2.01), ("la la", 4.01), ("la la", 6.01)]
    assert lines(read(tmp_path, text, kind)) == expected


def test_lines_sung_again_are_not_taken_for_rolling(tmp_path: Path):
    text = "".join(
        cue(at, at + 1, *rows) for at, rows in enumerate([("la la",), ("la la",), ("go", "on"), ("go", "on"), ("la la",)])
    )
    assert [row for row, _ in lines(read(tmp_path, VTT + text))] == ["la la", "la la", "go", "on", "go", "on", "la la"]


def test_a_line_that_ends_one_cue_and_begins_the_next_is_sung_twice(tmp_path: Path):
    rows = [("one", "go"), ("go", "two"), ("three",), ("four",), ("five",)]
    text = "".join(cue(at, at + 1, *row) for at, row in enumerate(rows))
    assert [row for row, _ in lines(read(tmp_path, VTT + text))] == ["one", "go", "go", "two", "three", "four", "five"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{\\an8}Hold {la} me", "Hold {la} me"),
        ("{y:i}Hold me", "Hold me"),
        ('<font color="#fff">Hold</font> <i>me</i>', "Hold me"),
        ("Hold &amp; me", "Hold & me"),
        ("I <3 you", "I <3 you"),
    ],
)
def test_braces_and_tags_of_srt(tmp_path: Path, text: str, expected: str):
    assert lines(read(tmp_path, f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n", "srt")) == [(expected, 1.0)]


def test_blank_lines_and_missing_numbers_in_srt(tmp_path: Path):
    text = "00:00:01,000 --> 00:00:02,000\nhold\n\nme\n\n2\n00:00:03,5 --> 00:00:04,000\nnow\n7\n\n"
    text += "3\n0:00:05,000-->0:00:06,000\nla"
    assert lines(read(tmp_path, text, "srt")) == [("hold", 1.0), ("me", 1.0), ("now", 3.5), ("7", 3.5), ("la", 5.0)]


ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("{\\p1}m 0 0 l 100 0 100 100 0 100{\\p0}", []),
        ("{\\p2\\pos(1,1)}m 0 0 b 1 2 3 4 5 6{\\p0}la", [("la", 1.0)]),
        ("{\\pos(1,1)\\i1}hold{\\i0} me", [("hold me", 1.0)]),
        ("hold\\Nme\\hnow\\nla", [("hold", 1.0), ("me now", 1.0), ("la", 1.0)]),
        ("{\\k20}Hal{\\k30}le {\\kf50}lu\\N{\\ko20}jah", [("Halle lu", 1.0), ("jah", 2.0)]),
    ],
)
def test_drawings_of_ass_are_no_words(tmp_path: Path, event: str, expected: list[tuple[str, float]]):
    text = (
        ASS
        + f"Dialogue: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,,{event}\nComment: 0,0:00:00.00,0:00:03.00,Default,,0,0,0,,no\n"
    )
    lyrics = read(tmp_path, text + "Dialogue: 0,0:00:09.00,0:00:10.00,Default,,0,0,0,,end\n", "ass")
    assert lines(lyrics) == [*expected, ("end", 9.0)]


def test_karaoke_of_ass_times_words(tmp_path: Path):
    lyrics = read(
        tmp_path, ASS + "Dialogue: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,,{\\k20}Hal{\\k30}le {\\kf50}lu\n", "ass"
    )
    assert [(word.text, word.start_seconds) for word in lyrics.words] == [("Halle", 1.0), ("lu", 1.5)]


PIECES = [
    "00:01.000 --> 00:02.000",
    "00:00:01,5 --> 1",
    "\n",
    "\n\n",
    "<v A>",
    "<00:01.000>",
    "&amp;",
    "{\\p1}",
    "la",
    " ",
    "[A]",
    "<rt>",
]


@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.text(alphabet="0:1.->\n <c&", max_size=90)))
@settings(max_examples=200, deadline=None)
def test_laws_hold_for_any_subtitles(text: str):
    for webvtt in (True, False):
        hold_laws(compose(read_cues("WEBVTT\n\n" + text if webvtt else text, webvtt)))
