"""Lyrics as a model reads them: one text, and the words, lines and sections found in it.

Positions are characters of ``text``, end-exclusive. Times are seconds from the start of the recording, None
where the source has none.
"""

from dataclasses import dataclass


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
