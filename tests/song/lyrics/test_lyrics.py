"""Words, lines and sections of plain lyrics."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st
from lyric_laws import hold_laws

from musiclime_torch.song.lyrics.lrc import parse_lrc
from musiclime_torch.song.lyrics.lyrics import Section, cut_lyrics, find_words, parse_lyrics


@pytest.fixture(autouse=True)
def _without_segmenters(monkeypatch, request):
    """These are the words without janome and rjieba, whether they are installed or not."""
    if "installed" not in request.node.name:
        for name in ("load_japanese", "load_chinese"):
            monkeypatch.setattr(f"musiclime_torch.song.lyrics.lyrics.{name}", lambda: None)


def words(text: str) -> list[str]:
    return [word.text for word in parse_lyrics(text).words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, won’t stop", ["Don't", "stop", "won’t", "stop"]),
        ("'cause I'm lovin' it", ["cause", "I'm", "lovin", "it"]),
        ("na-na - oh--oh", ["na-na", "oh", "oh"]),
        ("rock 'n' roll", ["rock", "n", "roll"]),
        ("24/7 on 99", ["24", "7", "on", "99"]),
        ("naïve cafe\u0301 ÇA", ["naïve", "cafe\u0301", "ÇA"]),
        ("愛してる baby", ["愛", "し", "て", "る", "baby"]),
        ("ラーメン", ["ラーメン"]),
        ("カラオケでｶﾞﾝﾊﾞﾚ ア・ア", ["カラオケ", "で", "ｶﾞﾝﾊﾞﾚ", "ア", "ア"]),
        ("love愛love", ["love", "愛", "love"]),
        ("ฉันรักเธอ", ["ฉั", "น", "รั", "ก", "เ", "ธ", "อ"]),
        ("사랑해 너를", ["사랑해", "너를"]),
        ("אני אוהב, أحبك", ["אני", "אוהב", "أحبك"]),
        ("हिन्दी गाना", ["हिन्दी", "गाना"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("❤️ love 🎵 👩‍👩‍👧 ♪♪ ...", ["love"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]):
    assert words(text) == expected


def test_sections_end_at_blank_lines_and_headers_which_are_not_text():
    lyrics = parse_lyrics("[Intro]\n\none\ntwo\n\n\nthree\n[Verse 1: Ann & Bo]\nfour\n[Instrumental]\n[Outro]\nfive [x2]\n")
    assert [section.name for section in lyrics.sections] == ["Intro", "section 2", "Verse 1: Ann & Bo", "Outro"]
    assert lyrics.text == "one\ntwo\n\nthree\n\nfour\n\nfive [x2]"
    assert [lyrics.text[line.start : line.end] for line in lyrics.lines] == ["one", "two", "three", "four", "five [x2]"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028"])
def test_line_ends_and_byte_order_mark_change_nothing(end: str):
    assert parse_lyrics("\ufeff" + f"a b {end}\tc{end}{end}d") == parse_lyrics("a b\nc\n\nd")


def test_boilerplate_of_a_lyrics_site_is_pointed_out():
    assert "You might also like" in parse_lyrics("love me\nYou might also like\nlove me too").warnings[0]
    assert parse_lyrics("love me\nyou might like me").warnings == ()


@given(
    st.text(alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("ab '\n[]-\r愛ก")), max_size=200)
)
@settings(max_examples=200, deadline=None)
def test_laws_hold_for_any_text(text: str):
    hold_laws(parse_lyrics(text))


@pytest.mark.parametrize("module", ["lyrics", "lrc", "files"])
def test_reading_lyrics_does_not_import_torch(module: str):
    script = (
        f"import sys, musiclime_torch.song.lyrics.{module}\n"
        "assert not {'torch', 'numpy', 'tinytag', 'pysubs2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


LRC = "[00:01]Hold me!\n[00:05]<00:05>now <00:07>my <00:08.5>love<00:09>\n[00:30]far away\n"


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (0, 60, "Hold me!\nnow my love\nfar away"),
        (0, 5, "Hold me!"),
        (4.9, 6, "Hold me!\nnow"),
        (6, 8, "now my"),
        (7, 8, "my"),
        (7, 31, "my love\nfar away"),
        # The last line before a solo isn't sung all the way through it.
        (16, 29, None),
        (29, 31, "far away"),
        (39, 50, "far away"),
        (41, 50, None),
    ],
)
def test_lyrics_are_cut_by_time(start: float, end: float, text: str | None):
    lyrics = parse_lrc(LRC)
    cut = cut_lyrics(lyrics, start, end)
    assert (cut and cut.text) == text
    if cut is not None:
        times = {word.text: (word.start_seconds, word.end_seconds) for word in lyrics.words}
        assert all(times[word.text] == (word.start_seconds, word.end_seconds) for word in cut.words)
        assert all(cut.text[word.start : word.end] == word.text for word in cut.words)


def test_sections_keep_their_names_and_untimed_lines_go_with_the_line_before():
    timed = parse_lrc("[00:01]a\n[00:20]b\n[00:40]c")
    lines = (timed.lines[0], replace(timed.lines[1], start_seconds=None), timed.lines[2])
    sections = (Section(0, 1, "Verse"), Section(2, 5, "Chorus"))
    words = tuple(replace(word, section=int(word.line > 0)) for word in timed.words)
    lyrics = replace(timed, lines=lines, sections=sections, words=words)
    early, late = cut_lyrics(lyrics, 0, 5), cut_lyrics(lyrics, 39, 50)
    assert early is not None
    assert late is not None
    assert ([word.text for word in early.words], [part.name for part in early.sections]) == (["a", "b"], ["Verse", "Chorus"])
    assert ([word.text for word in late.words], [part.name for part in late.sections]) == (["c"], ["Chorus"])


def test_lyrics_without_times_are_not_cut():
    lyrics = parse_lyrics("hold me\nnow")
    assert cut_lyrics(lyrics, 5, 6) is lyrics


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("夜に駆ける", "Japanese"),
        ("東京\nきみ", "Japanese"),
        ("月亮代表我的心", "Chinese"),
        ("愛 love", None),
        ("사랑 愛情", None),
        ("カラオケ", None),
        ("ฉันรักเธอ", None),
    ],
)
def test_single_characters_are_said_to_be_words_where_no_segmenter_is_there(text, language):
    warned = [warning for warning in parse_lyrics(text).warnings if "each character" in warning]
    assert len(warned) == (language is not None)
    assert all(f"the lyrics are {language}, " in warning and "musiclime_torch[cjk]" in warning for warning in warned)


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ("君の|こと|を", ["君の", "こと", "を"]),
        # What doesn't give the run back is left alone, and neither katakana nor a grapheme is cut.
        ("君の|こと", ["君", "の", "こ", "と", "を"]),
        ("カラ|オケ|で", ["カラオケ", "で"]),
        ("葛\U000e0100|城", ["葛\U000e0100", "城"]),
        ("葛|\U000e0100城", ["葛\U000e0100城"]),
    ],
)
def test_a_segmenter_joins_characters(cuts, expected):
    text = "君のことを" if cuts == "君の|こと" else cuts.replace("|", "")
    found = find_words(f"Hey {text}!", lambda run: cuts.split("|"))
    assert [f"Hey {text}!"[start:end] for start, end in found] == ["Hey", *expected]


def test_japanese_is_cut_into_words_where_janome_is_installed():
    pytest.importorskip("janome")
    assert words("君のことを愛してる Baby\n夢ならばどれほどよかったでしょう\nカラオケで歌おう") == [
        "君", "の", "こと", "を", "愛してる", "Baby", "夢", "ならば", "どれほど", "よかったでしょう", "カラオケ", "で",
        "歌おう",
    ]  # fmt: skip
    hold_laws(parse_lyrics("[00:01]夜に駆ける 二人だけの空"))


def test_chinese_is_cut_into_words_where_rjieba_is_installed():
    pytest.importorskip("rjieba")
    assert words("轻轻的一个吻，已经打动我的心") == ["轻轻", "的", "一个", "吻", "已经", "打动", "我", "的", "心"]
    assert not parse_lyrics("轻轻的一个吻").warnings
