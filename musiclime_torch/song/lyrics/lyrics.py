"""Lyrics as a model reads them: one text, and the words, lines and sections found in it.

Positions are characters of ``text``, end-exclusive. Times are seconds from the start of the recording, None
where the source has none. A word is a run of letters, marks and numbers, with the apostrophes and hyphens
inside it. Japanese and Chinese are cut by janome and rjieba where these are installed (``musiclime_torch[cjk]``), else a
word of a script without spaces (Han, hiragana, Thai, Lao, Khmer, Myanmar) is one grapheme; a run of katakana is one word.
Emoji and punctuation stay in the text and belong to no word. In ``text`` lines are separated by one newline, sections by
two.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise
from threading import Lock
from typing import Any

import regex

from musiclime_torch.song.lyrics.boilerplate import LeftOut, find_boilerplate

_UNSPACED = r"\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_KATAKANA = r"\p{Script=Katakana}[\p{Script=Katakana}\u30fc\uff70\uff9e\uff9f\p{M}]*"
_RUN = regex.compile(r"[[\p{L}\p{N}\p{M}]&&[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{M}]]{2,}", regex.VERSION1)
_WORD = regex.compile(
    rf"""
    {_KATAKANA}                                                  # a run of katakana
    | (?=[[\p{{L}}\p{{N}}]&&[{_UNSPACED}]])\X                     # one grapheme
    | (?:[[\p{{L}}\p{{N}}]--[{_UNSPACED}]]\p{{M}}*)+             # or a run of letters ...
      (?:['’\-‐‑·׳״\u00ad\u200c\u200d]                          # ... with these only between two of them
         (?:[[\p{{L}}\p{{N}}]--[{_UNSPACED}]]\p{{M}}*)+)*
    """,
    regex.VERBOSE | regex.VERSION1,
)
#: Cuts a run of letters into words, which joined are the run again.
Segmenter = Callable[[str], list[str]]

#: Seconds that a line is taken to last at most: what follows it may be a solo.
LONGEST_LINE = 10.0

_HAN_OR_KANA = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_KANA, _HANGUL = regex.compile(r"[\p{Hiragana}\p{Katakana}]"), regex.compile(r"\p{Hangul}")
_SINGLES = regex.compile(r"[\p{Han}\p{Hiragana}]{2}")
#: Particles that continue a verb: 愛し-て, 行け-ば.
_JOINING = ("て", "で", "ちゃ", "じゃ", "ば", "たり", "だり", "ながら")

_BREAK = regex.compile(r"\r\n?|[\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_HEADER = regex.compile(r"\[([^\[\]]*\p{L}[^\[\]]*)\]")


@dataclass(frozen=True)
class Word:
    """One occurrence of a word; ``line`` and ``section`` index into ``Lyrics.lines`` and ``Lyrics.sections``."""

    text: str
    start: int
    end: int
    line: int
    section: int
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True)
class Line:
    """One line with something sung in it."""

    start: int
    end: int
    start_seconds: float | None = None


@dataclass(frozen=True)
class Section:
    """Lines up to the next blank line or ``[Chorus]``-like header; ``name`` is the header, or "section 1" and on."""

    start: int
    end: int
    name: str


@dataclass(frozen=True)
class Lyrics:
    """The text a model is given and its units. ``text`` has no time tags and no section headers."""

    text: str
    words: tuple[Word, ...]
    lines: tuple[Line, ...]
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verse:
    """One line of a lyrics file as a parser hands it to `compose`: its text and when it is sung.

    ``section`` opens a section before the line: its name, "" for an unnamed one, None to continue the last one.
    ``marks`` are word times, (position in ``text``, seconds), positions rising: a mark ends the word before it
    and starts the word after it.
    """

    text: str
    section: str | None = None
    seconds: float | None = None
    marks: tuple[tuple[int, float], ...] = ()


def parse_lyrics(text: str) -> Lyrics:
    r"""Read plain lyrics; blank lines and bracketed headers separate the sections. Never raises.

    >>> lyrics = parse_lyrics("[Chorus]\nDon't go — カラオケ\n\nla-la")
    >>> [word.text for word in lyrics.words]
    ["Don't", 'go', 'カラオケ', 'la-la']
    >>> [section.name for section in lyrics.sections]
    ['Chorus', 'section 2']
    """
    verses: list[Verse] = []
    opens: str | None = ""
    left_out = LeftOut()
    for row in (kept for kept in map(left_out.take, split_lines(text)) if kept is not None):
        header = read_header(row)
        if header is not None:
            opens = header
        elif not row:
            # The blank line of a header must not remove its name.
            opens = opens or ""
        else:
            verses.append(Verse(row, opens))
            opens = None
    return compose(verses, left_out.warn())


def split_lines(text: str) -> list[str]:
    """Lines without white space around them, a byte order mark or the invisible marks that editors add."""
    return [row.strip(" \t\ufeff\u200b\u00a0\u3000") for row in _BREAK.split(text)]


def read_header(row: str) -> str | None:
    """What is between the brackets of a ``[Chorus]``-like line, None for any other line."""
    match = _HEADER.fullmatch(row)
    return match[1].strip() if match else None


def compose(verses: Iterable[Verse], warnings: Sequence[str] = ()) -> Lyrics:
    """Join lines into one text and find the words in it. Lines without a word stay in the text, but aren't lines."""
    # Joined once: a text that grows line by line is copied for every line.
    verses = list(verses)
    segment, notes = pick_segmenter("\n".join(verse.text for verse in verses))
    pieces: list[str] = []
    length = 0
    opens: str | None = ""
    words: list[Word] = []
    lines: list[Line] = []
    sections: list[Section] = []
    for verse in verses:
        if verse.section is not None:
            opens = verse.section
        between = "" if not length else "\n\n" if verse.section is not None else "\n"
        pieces += (between, verse.text)
        start = length + len(between)
        length = start + len(verse.text)
        found = find_words(verse.text, segment)
        if not found:
            continue
        if opens is not None:
            sections.append(Section(start, length, opens or f"section {len(sections) + 1}"))
            opens = None
        sections[-1] = Section(sections[-1].start, length, sections[-1].name)
        for (here, there), (begun, done) in zip(found, _time_words(found, verse), strict=True):
            words.append(
                Word(verse.text[here:there], start + here, start + there, len(lines), len(sections) - 1, begun, done)
            )
        lines.append(Line(start, length, verse.seconds))
    text = "".join(pieces)
    return Lyrics(text, tuple(words), tuple(lines), tuple(sections), (*warnings, *notes, *_notice_boilerplate(text)))


def find_words(text: str, segment: Segmenter | None) -> list[tuple[int, int]]:
    """Start and end of each word of a line. A segmenter joins what else were words of one character each.

    >>> find_words("Hey 君の歌", None)
    [(0, 3), (4, 5), (5, 6), (6, 7)]
    >>> find_words("Hey 君の歌", lambda run: ["君の", "歌"])
    [(0, 3), (4, 6), (6, 7)]
    """
    units = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    inside: set[int] = set()
    for run in _RUN.finditer(text) if segment else ():
        assert segment is not None
        edges = [run.start() + length for length in accumulate(map(len, segment(run[0])), initial=0)]
        if edges[-1] == run.end():
            inside |= {start for start, _ in units if run.start() < start < run.end()} - set(edges)
    words: list[tuple[int, int]] = []
    for start, end in units:
        if start in inside:
            words[-1] = (words[-1][0], end)
        else:
            words.append((start, end))
    return words


def pick_segmenter(text: str) -> tuple[Segmenter | None, tuple[str, ...]]:
    """What cuts a text's language into words, and a note where it isn't installed. Kana are Japanese, Han alone Chinese."""
    if _HAN_OR_KANA.search(text) is None or _HANGUL.search(text):
        return None, ()
    language, load = ("Chinese", load_chinese) if _KANA.search(text) is None else ("Japanese", load_japanese)
    segment = load()
    if segment is not None or _SINGLES.search(text) is None:
        return segment, ()
    return None, (
        f"the lyrics are {language}, and each character counts as a word: install musiclime_torch[cjk] for words.",
    )


@cache
def load_japanese() -> Segmenter | None:
    """The words of janome, endings and auxiliaries joined with the verb or adjective they belong to; None without janome."""
    try:
        from janome.tokenizer import Tokenizer
    except ImportError:
        return None
    tokenizer, lock = Tokenizer(), Lock()

    def segment(run: str) -> list[str]:
        words: list[str] = []
        head = ""
        with lock:
            # Its annotation allows for bare strings, which it gives on request only.
            parsed: list[Any] = list(tokenizer.tokenize(run))
        tokens = [(token.surface, *token.part_of_speech.split(",")[:2]) for token in parsed]
        for surface, kind, detail in tokens:
            ending = kind == "助動詞" or (kind == "動詞" and detail in ("接尾", "非自立")) or surface in _JOINING
            if words and ((ending and head in ("動詞", "形容詞", "助動詞")) or (kind, detail) == ("名詞", "接尾")):
                words[-1] += surface
            else:
                words.append(surface)
                head = kind
        return words

    return segment


@cache
def load_chinese() -> Segmenter | None:
    """The words of rjieba, or None without it."""
    try:
        import rjieba
    except ImportError:
        return None
    return lambda run: list(rjieba.cut(run))


def cut_lyrics(lyrics: Lyrics, start: float, end: float) -> Lyrics | None:
    r"""The lines that are sung between two times, in seconds of the recording, and of timed words those within.

    A line lasts until the next one begins, `LONGEST_LINE` at most; one without a time goes with the line before it. Lyrics
    without any time are returned as they are. None where no line is sung there.

    >>> from musiclime_torch.song.lyrics.lrc import parse_lrc
    >>> cut_lyrics(parse_lrc("[00:01]hold me\n[00:05]now\n[00:09]love"), 4.5, 9.0).text
    'hold me\nnow'
    """
    if all(line.start_seconds is None for line in lyrics.lines):
        return lyrics
    words: list[list[Word]] = [[] for _ in lyrics.lines]
    for word in lyrics.words:
        words[word.line].append(word)
    begun, times = 0.0, []
    for line in lyrics.lines:
        begun = begun if line.start_seconds is None else line.start_seconds
        times.append(begun)
    verses, section = [], None
    for number, (line, own) in enumerate(zip(lyrics.lines, words, strict=True)):
        later = [time for time in times if time > times[number]]
        done = min([*later, times[number] + LONGEST_LINE])
        kept = [word for word in own if _is_within(word, start, end)] if times[number] < end and done > start else []
        if not kept:
            continue
        # Punctuation around the words goes with them where the line is complete.
        here, there = (line.start, line.end) if kept == own else (kept[0].start, kept[-1].end)
        marks = [mark for word in kept for mark in _list_marks(word, here)]
        opens = None if section == own[0].section else lyrics.sections[own[0].section].name
        section = own[0].section
        verses.append(Verse(lyrics.text[here:there], opens, line.start_seconds, tuple(marks)))
    return replace(compose(verses), warnings=lyrics.warnings) if verses else None


def _is_within(word: Word, start: float, end: float) -> bool:
    """Whether a word is sung within the part, as far as its own times say; one without times goes with its line."""
    if word.start_seconds is None:
        return True
    return word.start_seconds < end and (word.start_seconds >= start or (word.end_seconds or 0.0) > start)


def _list_marks(word: Word, here: int) -> list[tuple[int, float]]:
    """A word's times as marks of a verse that begins at a character of the text."""
    marks = ((word.start - here, word.start_seconds), (word.end - here, word.end_seconds))
    return [(place, seconds) for place, seconds in marks if seconds is not None]


def _time_words(found: list[tuple[int, int]], verse: Verse) -> list[tuple[float | None, float | None]]:
    """Start and end of each word: the last mark between it and the word before, the first between it and the next."""
    if not verse.marks:
        return [(None, None)] * len(found)
    edges = [(0, 0), *found, (len(verse.text), len(verse.text))]
    # Marks inside a word are syllables: they don't split it.
    between = [
        [seconds for position, seconds in verse.marks if left[1] <= position <= right[0]] for left, right in pairwise(edges)
    ]
    starts = [gap[-1] if gap else None for gap in between[:-1]]
    if starts[0] is None:
        starts[0] = verse.seconds
    ends = [gap[0] if gap else None for gap in between[1:]]
    return [
        (begun, done if begun is None or done is None or done >= begun else None)
        for begun, done in zip(starts, ends, strict=True)
    ]


def _notice_boilerplate(text: str) -> list[str]:
    """What lyrics sites add; left in, it becomes the top words of whole classes."""
    found = find_boilerplate(text)
    if found is None:
        return []
    return [f"the lyrics hold {found[:60]!r}, which looks like a lyrics site's own words: delete what isn't sung."]
