"""A page from its template: all input is escaped, and only our own script runs.

Style and script are in the page itself. The Content-Security-Policy allows these two by their hashes, and sound where
there is some. A page makes no network requests, and a script smuggled in with a song's lyrics couldn't run. Lyrics are
cut into coloured pieces: runs of characters of one component, line by line, with their times.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from unicodedata import bidirectional

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.fragment import STYLE, clean
from musiclime_torch.song.lyrics.lyrics import Lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import Components


@dataclass(frozen=True)
class Piece:
    """A run of text; `column` is its component, None outside components (punctuation, spaces)."""

    text: str
    column: int | None
    start_seconds: float | None


@dataclass(frozen=True)
class SheetLine:
    """One line as written; empty lines separate sections. `opens` is the name of a section that begins here."""

    pieces: tuple[Piece, ...]
    start_seconds: float | None
    opens: str | None


def lay_out_lyrics(lyrics: Lyrics, components: Components) -> tuple[SheetLine, ...]:
    """All lines of the text. Joining the pieces of all lines with newlines gives the text back."""
    spans = sorted(
        (start, end, components.n_audio + column)
        for column, parts in enumerate(components.lyric_spans)
        for start, end in parts
    )
    line_times = {line.start: line.start_seconds for line in lyrics.lines}
    word_times = {word.start: word.start_seconds for word in lyrics.words}
    # Sections without a header have numbers as names, which aren't shown: the blank line suffices.
    openings = {
        section.start: section.name
        for number, section in enumerate(lyrics.sections, 1)
        if section.name != f"section {number}"
    }
    rows, start = [], 0
    for row in lyrics.text.split("\n"):
        end = start + len(row)
        pieces = _cut_line(lyrics.text, start, end, spans, word_times)
        rows.append(SheetLine(pieces, line_times.get(start), openings.get(start)))
        start = end + 1
    return tuple(rows)


def lay_out_question(explanation: Explanation, track: Track) -> tuple[SheetLine, ...]:
    """The question as a line, where its words are components."""
    asked, components = explanation.provenance.get("asked", ""), explanation.components
    if not any(item.kind == "question" for item in components):
        return ()
    before = "" if track.lyrics is None else track.lyrics.text
    # Its characters go on after the lyrics and a line break.
    spans = sorted(
        (start, end, column)
        for column, item in enumerate(components)
        if item.kind == "question"
        for start, end in item.spans
    )
    text = f"{before}\n{asked}"
    return (SheetLine(_cut_line(text, len(before) + 1, len(text), spans, {}), None, None),)


def _cut_line(
    text: str, start: int, end: int, spans: list[tuple[int, int, int]], times: dict[int, float | None]
) -> tuple[Piece, ...]:
    from bisect import bisect_left

    pieces, place = [], start
    first = bisect_left(spans, (start, -1, -1))
    # A section spans several lines: it may have begun before this one.
    if first and spans[first - 1][1] > start:
        first -= 1
    for begins, ends, column in spans[first:]:
        if begins >= end:
            break
        begins, ends = max(begins, place), min(ends, end)
        if begins >= ends:
            continue
        if place < begins:
            pieces.append(Piece(text[place:begins], None, None))
        pieces.append(Piece(text[begins:ends], column, times.get(begins)))
        place = ends
    if place < end:
        pieces.append(Piece(text[place:end], None, None))
    return tuple(pieces)


def isolate(text: str, names: Iterable[str]) -> str:
    r"""The text with marks around the names that are written from right to left: else they reorder what stands beside them.

    >>> isolate("yes to روك (93%)", ["روك", "rock"])
    'yes to \u2068روك\u2069 (93%)'
    """
    turning = {name for name in names if name in text and any(bidirectional(letter) in ("R", "AL") for letter in name)}
    # The longest first: a name may be part of another.
    pattern = "|".join(map(re.escape, sorted(turning, key=len, reverse=True)))
    return re.sub(pattern, "\u2068\\g<0>\u2069", text) if turning else text


_FOLDER = "musiclime_torch.views.page"


def render(template: str, scripts: tuple[str, ...], media: str | None, values: dict[str, Any]) -> str:
    """Fill a template of the templates folder; `media` is the policy's source of sound, None where there is none.

    Strings in `values` lose their control characters first: a page that holds a NUL isn't HTML.
    """
    environment = Environment(
        loader=PackageLoader(_FOLDER, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    environment.filters["say"] = _say
    style = _read("page.css")
    script = "".join(_read(name) for name in scripts)
    sources = {
        "default-src": "'none'",
        "style-src": f"{_allow(style)} {_allow(STYLE)}",
        "script-src": _allow(script),
        **({} if media is None else {"media-src": media}),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    policy = "; ".join(f"{name} {source}" for name, source in sources.items())
    parts = {"policy": policy, "style": Markup(style), "script": Markup(script)}
    return environment.get_template(template).render(**clean(values), **parts)


def _say(number: float | None) -> str:
    """Three significant figures with a typographic minus sign."""
    return "?" if number is None else f"{number:#.3g}".rstrip(".").replace("-", "\N{MINUS SIGN}")


def _read(name: str) -> str:
    return (files(_FOLDER) / "templates" / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _allow(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
