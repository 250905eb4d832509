"""Lyrics with times: the .lrc format, with its enhanced word times.

Read as players do: ``[mm:ss.xx]`` before a line, several of them for a line sung again, which is then repeated
and all lines sorted by time; ``<mm:ss.xx>`` (or a time in brackets within the line) between words, ending the
word before and starting the word after; ``[offset:ms]``, where a positive offset makes lyrics appear sooner;
``[ar:..]``-like tags, dropped. Minutes have any number of digits, fractions none to three. A line without a time
stays behind the line it follows. Blank lines, timed blank lines and ``[Chorus]``-like headers open a section.
"""

from dataclasses import dataclass

import regex

from musiclime_torch.lyrics import Lyrics, Verse, compose, read_header, split_lines

_CLOCK = r"(?:(?P<h>\d{1,3}):(?=\d{1,2}:\d{1,2}\.))?(?P<m>\d{1,4}):(?P<s>\d{1,2})(?:[.,:](?P<f>\d{1,3}))?"
_TAG = regex.compile(rf"\[\s*{_CLOCK}\s*\]")
_MARK = regex.compile(rf"<\s*{_CLOCK}\s*>|\[\s*{_CLOCK.replace('?P<', '?P<b')}\s*\]")
_OFFSET = regex.compile(r"(?i)\[\s*offset\s*:(.*)\]")
# Only known names are dropped: [Chorus: Ann] is a header.
_ID = regex.compile(
    r"(?i)\[\s*(?:ar|ti|al|au|by|la|lr|re|ve|id|tool|length|offset|encoding|total|hash|sign|qq|kana|#"
    r"|artist|title|album|author|lyricist|creator|editor|version|language|key)\s*:.*\]"
)


@dataclass(frozen=True)
class _Row:
    """A line of the file: one entry per time tag in ``times``; without any it keeps the place of its ``key``."""

    times: tuple[float, ...]
    key: float
    body: str
    marks: tuple[tuple[int, float], ...]
    section: str | None


def parse_lrc(text: str) -> Lyrics:
    """Read the text of an .lrc file. Times are seconds, moved by the offset and never below 0. Never raises.

    >>> lyrics = parse_lrc("[ar:Ann]\\n[offset:500]\\n[00:05.00][00:01.50]hold <00:02.00>me")
    >>> [(word.text, word.start_seconds) for word in lyrics.words]
    [('hold', 1.0), ('me', 1.5), ('hold', 4.5), ('me', 5.0)]
    """
    rows = split_lines(text)
    offset, warnings = _read_offset(rows)
    verses: list[tuple[float, Verse]] = []
    for row in _read_rows(rows):
        # The word times are those of the first tag; the line's repetitions carry them along.
        for seconds in row.times or (None,):
            shift = 0.0 if seconds is None else seconds - row.times[0]
            marks = tuple((position, _move(mark + shift, offset)) for position, mark in row.marks)
            verse = Verse(row.body, row.section, None if seconds is None else _move(seconds, offset), marks)
            verses.append((row.key if seconds is None else seconds, verse))
    verses.sort(key=lambda pair: pair[0])
    return compose(_open_sections(verse for _, verse in verses), warnings)


def looks_like_lrc(text: str) -> bool:
    """Whether at least one line in two that says something begins with a time tag.

    >>> looks_like_lrc("[00:01.00]la"), looks_like_lrc("[Chorus]\\nla")
    (True, False)
    """
    rows = [row for row in split_lines(text) if row and not _ID.fullmatch(row) and read_header(row) is None]
    timed = sum(_TAG.match(row) is not None for row in rows)
    return timed > 0 and 2 * timed >= len(rows)


def _move(seconds: float, offset: float) -> float:
    # Thousandths, as in the file: 1.5 - 0.2 is no 1.2999999999999998.
    return max(0.0, round(seconds - offset, 3))
