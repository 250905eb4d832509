"""Lyrics with times: the .lrc format, with its enhanced word times.

Read as players do: ``[mm:ss.xx]`` before a line, several of them for a line sung again, which is then repeated
and all lines sorted by time; ``<mm:ss.xx>`` (or a time in brackets within the line) between words, ending the
word before and starting the word after; ``[offset:ms]``, where a positive offset makes lyrics appear sooner;
``[ar:..]``-like tags, dropped. Minutes have any number of digits, fractions none to four. A line without a time
stays after the line it follows. Blank lines, timed blank lines and ``[Chorus]``-like headers open a section.
Background vocals, ``[bg: ...]``, are sung. Credits, singers' marks and remarks aren't, and neither are rows of JSON, which
players of China put credits in; all but remarks are told. Times that can't be read are too.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import regex

from musiclime_torch.song.lyrics.boilerplate import LeftOut
from musiclime_torch.song.lyrics.lyrics import Lyrics, Verse, compose, read_header, split_lines

_CLOCK = r"(?:(?P<h>\d{1,3}):(?=\d{1,2}:\d{1,2}\.))?(?P<m>\d{1,4})[:：](?P<s>\d{1,2})(?:[.,:](?P<f>\d{1,4}))?"
_TAG = regex.compile(rf"\s*\[\s*{_CLOCK}\s*\]")
_MARK = regex.compile(rf"[<\[]\s*{_CLOCK}\s*[>\]]")
_LEAD = regex.compile(r"(?:[<\[][\d\s:.,]+[>\]]\s*)+")
_OFFSET = regex.compile(r"(?i)\[\s*offset\s*:(.*)\]")
_SAID = regex.compile(r"[\p{L}\p{N}]")
_REMARK = regex.compile(r"\[:\]|(?:#|//|;)(?!//).+")
_BACKGROUND = regex.compile(r"(?i)\[\s*bg\s*:((?:[^\[\]]|\[[\d\s:.,]*\])*)\]")
#: Times in other forms, or with other numbers of digits, and those of lyrics in milliseconds (KRC, QRC, YRC).
_ODD = regex.compile(
    r"[\[<]\s*\d{1,5}\s*[:.：]\s*\w{1,3}(?:\s*[:.,：]\s*\w{1,9})*\s*[\]>]|[\[<(]\d{1,9},\d{1,9}(?:,\d{1,9})?[\]>)]"
)
# Only known names are dropped: [Chorus: Ann] is a header.
_ID = regex.compile(
    r"(?i)\[\s*(?:ar|ti|al|au|by|la|lr|re|ve|id|tool|length|offset|encoding|total|hash|sign|qq|kana|#"
    r"|artist|title|album|author|lyricist|creator|editor|version|language|key)\s*:.*\]"
)


@dataclass(frozen=True)
class _Row:
    """A line of the file, sung at each of ``times``; without any it keeps its place after the line sung at ``key``.

    ``base`` is the one of ``times`` that the word times belong to; the line's repetitions carry them along.
    """

    times: tuple[float, ...]
    key: float
    base: float
    body: str
    marks: tuple[tuple[int, float], ...]
    section: str | None


def parse_lrc(text: str) -> Lyrics:
    r"""Read the text of an .lrc file. Times are seconds, moved by the offset and never below 0. Never raises.

    >>> lyrics = parse_lrc("[ar:Ann]\n[offset:500]\n[00:05.00][00:01.50]hold <00:02.00>me")
    >>> [(word.text, word.start_seconds) for word in lyrics.words]
    [('hold', 1.0), ('me', 1.5), ('hold', 4.5), ('me', 5.0)]
    """
    # The offset first, for it may stand anywhere; then rows with their times; then one verse for each time of a row, sorted,
    # so that a line sung three times has three places.
    rows = split_lines(text)
    offset, warnings = _read_offset(rows)
    left_out = LeftOut()
    verses: list[tuple[float, Verse]] = []
    for row in _read_rows(rows, left_out):
        for seconds in row.times or (None,):
            # Word times are written for one of the row's times. At the others they are moved along by the difference.
            shift = 0.0 if seconds is None else seconds - row.base
            marks = tuple((position, _move(mark + shift, offset)) for position, mark in row.marks)
            verse = Verse(row.body, row.section, None if seconds is None else _move(seconds, offset), marks)
            verses.append((row.key if seconds is None else seconds, verse))
    verses.sort(key=lambda pair: pair[0])
    lyrics = compose(_open_sections(verse for _, verse in verses), [*warnings, *left_out.warn()])
    return replace(lyrics, warnings=(*lyrics.warnings, *_warn_of_times(lyrics.text)))


def _warn_of_times(text: str) -> list[str]:
    """Point out what looks like a time and was read as text."""
    odd = _ODD.search(text)
    if odd is None:
        return []
    return [f"{odd[0][:40]!r} in the lyrics looks like a time, but was read as text: write times as [mm:ss.xx]."]


def looks_like_lrc(text: str) -> bool:
    r"""Whether at least one line in two that says something begins with a time tag.

    >>> looks_like_lrc("[00:01.00]la"), looks_like_lrc("[Chorus]\nla")
    (True, False)
    """
    rows = [row for row in split_lines(text) if row and not _ID.fullmatch(row) and read_header(row) is None]
    rows = [row for row in rows if not row.startswith("{")]
    timed = sum(_TAG.match(row) is not None for row in rows)
    return timed > 0 and 2 * timed >= len(rows)


def _move(seconds: float, offset: float) -> float:
    # As exact as in the file, of four digits at most: 1.5 - 0.2 must not give 1.2999999999999998.
    return max(0.0, round(seconds - offset, 4))


def _read_offset(rows: list[str]) -> tuple[float, list[str]]:
    """Seconds by which the lyrics appear sooner, from the last offset tag, and a warning about one that isn't a number."""
    offsets = [match[1].strip() for row in rows if (match := _OFFSET.fullmatch(row))]
    if not offsets:
        return 0.0, []
    number = regex.fullmatch(r"([+-]?\d{1,9}(?:\.\d{1,9})?)\s*(?:ms)?", offsets[-1])
    if number is None:
        return 0.0, [f"the offset {offsets[-1][:40]!r} of the lyrics is not a number of milliseconds and was ignored."]
    return float(number[1]) / 1000, []


def _read_rows(rows: list[str], left_out: LeftOut) -> Iterator[_Row]:
    opens: str | None = ""
    key = float("-inf")
    for row in _leave_out(rows, left_out):
        times, rest = _take_times(row)
        header = read_header(rest)
        if header is not None:
            opens = header
        elif not rest and not times:
            opens = opens or ""
        else:
            body, marks = _take_marks(rest)
            # A line that begins with the time of a word needs none of its own.
            times = times or tuple(seconds for position, seconds in marks[:1] if not _SAID.search(body[:position]))
            key = times[0] if times else key
            # A timed blank line opens a section at its own time, wherever the file has it.
            base = max((time for time in times if marks and time <= marks[0][1]), default=key)
            yield _Row(times, key, base, body, marks, opens if body else "")
            opens = None if body else opens


def _leave_out(rows: list[str], left_out: LeftOut) -> Iterator[str]:
    """Rows with their times, without what isn't sung, and with the background vocals in their place."""
    texts = [_take_times(row)[1] for row in rows]
    title = _find_title(texts)
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        if _ID.fullmatch(row) or _REMARK.match(row):
            continue
        if number == title or (credits := _read_json(row)):
            left_out.credits.append(text if number == title else credits)
            continue
        times = row.removesuffix(text)
        text = regex.sub(" {2,}", " ", _BACKGROUND.sub(lambda match: f" {match[1].strip()} ", text)).strip()
        # A singer's mark may stand behind the time of the first word.
        lead = match[0] if (match := _LEAD.match(text)) else ""
        # Players of China write // where a translation has nothing to say.
        kept = left_out.take("" if text == "//" else text[len(lead) :], walaoke=bool(times))
        if kept is not None:
            yield times + lead + kept


def _find_title(texts: list[str]) -> int | None:
    """The row "song - singer" above rows of credits, as players of China write it; None without one."""
    said = [number for number, text in enumerate(texts) if text and not _ID.fullmatch(text) and not text.startswith("{")]
    if len(said) > 1 and " - " in texts[said[0]] and LeftOut().take(texts[said[1]]) is None:
        return said[0]
    return None


def _read_json(row: str) -> str:
    """The text of a row {"t": ms, "c": [{"tx": text}, ...]}, which holds credits; "" for any other row."""
    if not row.startswith("{"):
        return ""
    try:
        return "".join(str(part["tx"]) for part in json.loads(row)["c"]) or row
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def _take_times(row: str) -> tuple[tuple[float, ...], str]:
    """The time tags a line begins with, and what follows them."""
    times, here = [], 0
    while match := _TAG.match(row, here):
        times.append(_read_clock(match))
        here = match.end()
    return tuple(times), row[here:].lstrip()


def _take_marks(rest: str) -> tuple[str, tuple[tuple[int, float], ...]]:
    """The line without its word times, and these with their positions in it."""
    body, marks, here = "", [], 0
    for match in _MARK.finditer(rest):
        body = _append(body, rest[here : match.start()])
        marks.append((len(body), _read_clock(match)))
        here = match.end()
    body = _append(body, rest[here:]).rstrip()
    return body, tuple((min(position, len(body)), seconds) for position, seconds in marks)


def _append(body: str, piece: str) -> str:
    # Spaces on both sides of a removed tag become one.
    return body + (piece.lstrip() if not body or body[-1].isspace() else piece)


def _read_clock(match: "regex.Match[str]") -> float:
    hours, minutes, seconds, fraction = match.group("h", "m", "s", "f")
    part = int(fraction) / 10 ** len(fraction) if fraction else 0.0
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + part


def _open_sections(verses: Iterable[Verse]) -> Iterator[Verse]:
    """Let a blank line open a section at the line after it."""
    opens = False
    for verse in verses:
        if not verse.text:
            opens = True
            continue
        yield replace(verse, section="") if opens and verse.section is None else verse
        opens = False
