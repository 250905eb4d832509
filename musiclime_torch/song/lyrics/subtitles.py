"""Lyrics in subtitles: .srt, .vtt (WebVTT) and .ass or .ssa, with the times of words where there are any.

Read here: names of cues and voices, notes, styles, word times, character references, and captions that roll, whose lines
stand in several cues. .ass is read through pysubs2, its drawings and karaoke times here. Timed syllables, as karaoke and
ID3's SYLT have them, are joined to words and lines again.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from musiclime_torch.song.lyrics.lyrics import Verse, read_header, split_lines

Piece = tuple[str, float | None]


def join_pieces(pieces: Iterable[Piece], seconds: float | None = None) -> Verse:
    """One line of pieces that stand as they are sung: blanks are theirs. It begins with the first piece, or at `seconds`.

    >>> verse = join_pieces([("morn", 1.2), ("ing", 1.4), (" light", 1.6)])
    >>> verse.text, verse.seconds, verse.marks
    ('morning light', 1.2, ((0, 1.2), (4, 1.4), (8, 1.6)))
    """
    body, marks = "", []
    for text, start in pieces:
        # Blanks on both sides of a border become one, and the piece begins with its first letter.
        text = text.lstrip() if not body or body[-1].isspace() else text
        if start is not None:
            marks.append((len(body) + len(text) - len(text.lstrip()), start))
        body += text
    body = body.rstrip()
    first = marks[0][1] if marks and seconds is None else seconds
    return Verse(body, None, first, tuple((min(at, len(body)), start) for at, start in marks))


def split_pieces(pieces: Sequence[Piece]) -> list[Verse]:
    """Lines of a song whose pieces say where one begins: by a newline, or as karaoke files do by a slash, a backslash.

    Where none says so, each piece is a line, unless blanks at their borders show that they are parts of one. Pieces that
    neither begin nor end with a blank, several a line, are whole words.
    """
    named = [(text.replace("\r\n", "\n").replace("\r", "\n").strip("\0"), start) for text, start in pieces]
    if sum(text.startswith(("/", "\\")) for text, _ in named) > 1:
        named = [("\n" + text[1:] if text.startswith(("/", "\\")) else text, start) for text, start in named]
    edged = any(text.strip("\n") != text.strip() for text, _ in named)
    if not any("\n" in text for text, _ in named) and not edged:
        named = [("\n" + text, start) for text, start in named]
    lines: list[list[Piece]] = [[]]
    for text, start in named:
        before, *rows = text.split("\n")
        lines[-1].append((before, start if before or not rows else None))
        lines += [[(row, start if row else None)] for row in rows]
    verses = [join_pieces(line if edged else _space(line)) for line in lines]
    return [verse for verse in verses if verse.text]


def _space(line: list[Piece]) -> list[Piece]:
    return [(text if text.endswith("-") else f"{text} ", start) for text, start in line if text or start is not None]


_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMES = regex.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?")
_NUMBER = regex.compile(r"\s*\d+\s*")
#: Tags, with what is between those of ruby annotations; .ass overrides; MicroDVD's controls. Other braces are text.
_TAGS = regex.compile(
    r"<rt\b[^<>]*>.*?(?:</rt\s*>|(?=</ruby)|$)|</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}|\{[a-zA-Z]:[^{}]*\}|</?v?>", regex.DOTALL
)
_MARK = regex.compile(rf"<{_CLOCK}>")
_REFERENCE = regex.compile(r"&(?:\w{1,32}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
#: Seconds that a rolling caption's repetition lasts, and the share of cues that repeat what was above.
_BLINK, _ROLLING = 0.1, 0.5


@dataclass(frozen=True)
class _Cue:
    start: float
    end: float
    rows: tuple[str, ...]


def looks_like_subtitles(text: str) -> bool:
    r"""Whether a text is WebVTT, or begins as .srt does.

    >>> looks_like_subtitles("1\n00:00:01,000 --> 00:00:02,000\nla"), looks_like_subtitles("1 --> 2")
    (True, False)
    """
    rows = [row for row in text.lstrip("\ufeff").split("\n", 8)[:8] if row.strip()]
    return text.lstrip("\ufeff").startswith("WEBVTT") or any(_TIMES.fullmatch(row.strip()) for row in rows[:2])


def read_cues(text: str, webvtt: bool) -> list[Verse]:
    """The lines of .srt or WebVTT."""
    cues = sorted(_split_webvtt(text) if webvtt else _split_srt(text), key=lambda cue: cue.start)
    above = _unroll(cues, [tuple(map(_strip_tags, cue.rows)) for cue in cues])
    return [verse for cue, old in zip(cues, above, strict=True) for row in cue.rows[old:] for verse in _read_row(row, cue)]


def _split_srt(text: str) -> Iterator[_Cue]:
    """Cues from one line of times to the next: texts may hold blank lines."""
    rows = [row.strip() for row in text.lstrip("\ufeff").splitlines()]
    places = [at for at, row in enumerate(rows) if _TIMES.fullmatch(row)]
    for at, following in pairwise([*places, len(rows) + 1]):
        inside = rows[at + 1 : following]
        if following < len(rows) and inside and _NUMBER.fullmatch(inside[-1]):
            inside = inside[:-1]
        yield _make_cue(rows[at], inside)


def _split_webvtt(text: str) -> Iterator[_Cue]:
    """Blocks between empty lines that hold a line of times: others are the header, notes, styles and regions (WebVTT, 4)."""
    block: list[str] = []
    for row in [*text.lstrip("\ufeff").splitlines(), ""]:
        if row:
            block.append(row)
            continue
        at = next((number for number, line in enumerate(block[:2]) if _TIMES.fullmatch(line)), None)
        if at is not None and not block[0].startswith("NOTE"):
            yield _make_cue(block[at], block[at + 1 :])
        block = []


def _make_cue(times: str, rows: Sequence[str]) -> _Cue:
    match = _TIMES.fullmatch(times)
    assert match is not None
    return _Cue(_read_clock(match.groups()[:4]), _read_clock(match.groups()[4:]), tuple(row for row in rows if row.strip()))


def _read_clock(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    part = int(fraction) / 10 ** len(fraction) if fraction else 0.0
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + part


def _strip_tags(row: str) -> str:
    return " ".join(_unescape(_TAGS.sub("", _MARK.sub("", row))).split())


def _unescape(text: str) -> str:
    return _REFERENCE.sub(lambda match: html.unescape(match[0]), text).replace("\u200e", "").replace("\u200f", "")


def _unroll(cues: list[_Cue], plain: list[tuple[str, ...]]) -> list[int]:
    """How many rows of each cue were there before, where captions roll: it begins with those that ended the cue before."""
    above, rolls = [0], 0
    for (before, cue), (old, new) in zip(pairwise(cues), pairwise(plain), strict=True):
        count = next((size for size in range(min(len(old), len(new)), 0, -1) if old[-size:] == new[:size]), 0)
        # A line sung twice stands alone in a cue as long as others; what rolls has a new row below it, or only blinks.
        is_rolled = count and cue.start <= before.end + 1 and (count < len(new) or cue.end - cue.start <= _BLINK)
        rolls += bool(is_rolled)
        above.append(count)
    return above if rolls and rolls >= _ROLLING * (len(cues) - 1) else [0] * len(cues)


def _read_row(row: str, cue: _Cue) -> Iterator[Verse]:
    pieces: list[Piece] = []
    here, start = 0, cue.start
    for match in _MARK.finditer(row):
        pieces.append((_clean(row[here : match.start()]), start))
        here, start = match.end(), _read_clock(match.groups())
    if pieces:
        yield join_pieces([*pieces, (_clean(row[here:]), start)], cue.start)
        return
    for line in filter(None, split_lines(_clean(row))):
        header = read_header(line)
        yield Verse(line, None, cue.start) if header is None else Verse("", header)


def _clean(text: str) -> str:
    return _unescape(_TAGS.sub("", text))


_OVERRIDE = regex.compile(r"\{([^{}]*)\}")
_DRAWING = regex.compile(r"\\p(\d+)")
_KARAOKE = regex.compile(r"\\[kK][fot]?(\d+(?:\.\d+)?)")


def read_ass(text: str, kind: str) -> list[Verse]:
    """The dialogue of .ass or .ssa. Raises what pysubs2 does for a damaged file."""
    import pysubs2

    events = pysubs2.SSAFile.from_string(text, format_=kind)
    events.sort()
    said = [event for event in events if event.type == "Dialogue"]
    return [verse for event in said for verse in _read_event(event.text, max(0.0, event.start / 1000))]


def _read_event(text: str, start: float) -> Iterator[Verse]:
    """Lines of one event: overrides tell drawings from text, and how many hundredths of a second each syllable lasts."""
    lines: list[list[Piece]] = [[]]
    drawing, now, last, timed = False, start, None, False
    for number, part in enumerate(_OVERRIDE.split(text)):
        if number % 2:
            drawing = [mode[1] != "0" for mode in _DRAWING.finditer(part)][-1:] == [True] or (
                drawing and not _DRAWING.search(part)
            )
            for length in _KARAOKE.finditer(part):
                now, last, timed = now if last is None else now + last, float(length[1]) / 100, True
        elif not drawing:
            rows = regex.split(r"\\[Nn]", part.replace("\\h", " "))
            lines[-1].append((rows[0], round(now, 3)))
            lines += [[(row, round(now, 3))] for row in rows[1:]]
    for line in lines:
        whole = join_pieces(((piece, when) for piece, when in line if piece), None if timed else start)
        verse = whole if timed else Verse(whole.text, None, start)
        header = read_header(verse.text)
        if verse.text:
            yield verse if header is None else Verse("", header)
