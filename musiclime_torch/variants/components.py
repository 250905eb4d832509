"""What is switched on and off: stem × segment, and words, types, lines or sections of the lyrics.

Column order: audio first, stem-major, then lyrics in order of appearance, then the words of a question. Segments are
half-open and cover all of the track: a tail shorter than a segment belongs to the last one.
"""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, SupportsIndex, overload

from musiclime_torch.basics.arguments import Segments, check_name, read_segments, read_segments_text
from musiclime_torch.basics.choices import Timeline, Units
from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.lyrics.lyrics import Lyrics, Word
from musiclime_torch.song.segments import place_segments
from musiclime_torch.song.track import Track

#: Cross-fades take a few milliseconds of a segment: one shorter than this would be all fade.
SHORTEST_SEGMENT = 0.02

#: Columns at most: their Gram matrix takes 200 MB, and at least as many masks have to be run.
MOST_COMPONENTS = 5000


@dataclass(frozen=True)
class Component:
    """One column: a stem during a segment, or a stretch of lyrics. What doesn't apply is None.

    `start` and `end` are seconds in the recording; `line` counts from 1; `spans` are characters of the lyrics' text. Those
    of a question's words go on after it and a line break.
    """

    name: str
    kind: Literal["audio", "lyrics", "question"]
    stem: str | None = None
    start: float | None = None
    end: float | None = None
    word: str | None = None
    line: int | None = None
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Components:
    """All columns, in their order: `len`, iteration and indices as of a tuple.

    `edges` are the segments' borders in seconds from the track's first frame, () without audio. `timeline` has the segments'
    names, and beats and bars, where they were asked for.
    """

    items: tuple[Component, ...]
    n_stems: int
    edges: tuple[float, ...]
    timeline: Timeline | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Component]:
        return iter(self.items)

    @overload
    def __getitem__(self, column: SupportsIndex) -> Component: ...
    @overload
    def __getitem__(self, column: slice) -> tuple[Component, ...]: ...
    def __getitem__(self, column: SupportsIndex | slice) -> Component | tuple[Component, ...]:
        return self.items[column]

    @property
    def n_segments(self) -> int:
        """Number of time segments."""
        return max(len(self.edges) - 1, 0)

    @property
    def n_audio(self) -> int:
        """Number of audio columns; those of the lyrics and of a question come after them."""
        return self.n_stems * self.n_segments

    @property
    def lyric_spans(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Characters of each column of lyrics and question, in column order."""
        return tuple(item.spans for item in self.items[self.n_audio :])

    def borders(self, sample_rate: int, frames: int) -> list[int]:
        """The segments' borders in frames of a track of so many; see `find_borders`."""
        return find_borders(self.edges, sample_rate, frames)

    def seen(self, unseen: Container[int]) -> tuple[int, ...]:
        """The columns that the model can notice, in order: all but the `unseen` ones."""
        return tuple(column for column in range(len(self)) if column not in unseen)


def list_components(
    track: Track, segments: Segments, units: Units, modalities: Sequence[str], asked: str = ""
) -> Components:
    """Lay the columns out for the modalities a model takes; lyrics that the track lacks give no columns. The words of
    `asked` are columns too.
    """
    check_name(units, Units, "lyric unit")
    items: list[Component] = []
    edges: tuple[float, ...] = ()
    timeline = None
    if "audio" in modalities:
        segments = place_segments(track, segments)
        timeline = segments if isinstance(segments, Timeline) else None
        edges = cut(track.seconds, segments, track.offset)
        named = _name_segments(edges, track.offset, timeline)
        items += [
            Component(
                name=f"{stem}{named[index]}",
                kind="audio",
                stem=stem,
                start=start + track.offset,
                end=end + track.offset,
            )
            for stem in track.stem_names
            for index, (start, end) in enumerate(pairwise(edges))
        ]
    if "lyrics" in modalities and track.lyrics is not None:
        items += _lyric_components(track.lyrics, units)
    items += _question_components(asked, 0 if track.lyrics is None else len(track.lyrics.text))
    # Said here, before anything is rendered: designs need more masks than components, and pairs grow with their square.
    if len(items) > MOST_COMPONENTS:
        raise InputError(
            f"{len(items)} components are more than can be told apart (up to {MOST_COMPONENTS}): use fewer segments, lines "
            f"or sections of the lyrics, or a part of the song."
        )
    return Components(tuple(items), len(track.stem_names) if edges else 0, edges, timeline)


def _name_segments(edges: tuple[float, ...], offset: float, timeline: Timeline | None) -> list[str]:
    """What follows a stem's name: a segment's own name, or its times."""
    shown = [_clock(edge + offset, _decimals(edges, offset)) for edge in edges]
    times = [f" {first}-{last}" for first, last in pairwise(shown)]
    if timeline is None:
        return times
    return [f", {name}" if name else clock for name, clock in zip(timeline.names, times, strict=True)]


def find_borders(edges: Sequence[float], sample_rate: int, frames: int) -> list[int]:
    """Segment borders in frames, from borders in seconds; the last one is the end of the track, however it was rounded.

    Everything that cuts a track rounds here, so that masks, mixes and feature masks never differ by a frame.

    >>> find_borders((0.0, 0.5, 1.0), 1001, 1001)
    [0, 500, 1001]
    """
    return [round(edge * sample_rate) for edge in edges[:-1]] + [frames]


def cut(seconds: float, segments: Segments, offset: float = 0.0) -> tuple[float, ...]:
    """Borders of the segments, from 0 to the track's length.

    >>> cut(10.0, 4)
    (0.0, 2.5, 5.0, 7.5, 10.0)
    >>> cut(10.0, "3s")
    (0.0, 3.0, 6.0, 10.0)
    >>> cut(10.0, [4, 5])
    (0.0, 4.0, 5.0, 10.0)
    """
    segments = read_segments(segments)
    if isinstance(segments, Timeline):
        segments = list(segments.edges[1:-1]) or 1
    if isinstance(segments, str):
        segments = _read_text(segments, seconds, offset)
    if isinstance(segments, int):
        _refuse_short(seconds / segments)
        # The last border is the length itself: segments × (seconds / segments) may be a rounding error off it.
        edges = (*(seconds * index / segments for index in range(segments)), seconds)
    else:
        inner = [point - offset for point in segments]
        outside = any(not 0 <= point <= seconds for point in inner)
        if outside or any(a >= b for a, b in pairwise(inner)):
            raise InputError(
                f"the segment borders {', '.join(f'{point + offset:g}' for point in inner)} must rise and be within "
                f"{offset:g} and {offset + seconds:g} seconds."
            )
        edges = (0.0, *(point for point in inner if 0 < point < seconds), seconds)
    _refuse_short(min(b - a for a, b in pairwise(edges)))
    return edges


def _refuse_short(seconds: float) -> None:
    # Borders are sums: 0.5 s in 25 parts leave one of them a rounding error short of 20 ms.
    if seconds < SHORTEST_SEGMENT * (1 - 1e-9):
        raise InputError(
            f"a segment of {1000 * seconds:.3g} ms is too short to be cut out (at least {1000 * SHORTEST_SEGMENT:.0f} ms): "
            f"use fewer segments, or longer ones."
        )


def _read_text(text: str, seconds: float, offset: float) -> int | list[float]:
    length = read_segments_text(text)
    if not isinstance(length, float):
        return length
    _refuse_short(length)
    # A rest shorter than the length joins the segment before it. 1e-9 keeps 10 s in pieces of 0.1 s at a hundred.
    return [offset + index * length for index in range(1, max(int(seconds / length + 1e-9), 1))]


def _lyric_components(lyrics: Lyrics, units: Units) -> list[Component]:
    if units == "word":
        # By lines: a word that occurs twice in its line is named by its place in it.
        lines: dict[int, list[Word]] = {}
        for word in lyrics.words:
            lines.setdefault(word.line, []).append(word)
        return [_word_component(word, place, line) for line in lines.values() for place, word in enumerate(line, 1)]
    if units == "type":
        # Case and the shape of the apostrophe don't make another word: "Don’t" is "don't".
        spans: dict[str, list[tuple[int, int]]] = {}
        for word in lyrics.words:
            spans.setdefault(word.text.casefold().replace("’", "'"), []).append((word.start, word.end))
        return [
            Component(f"{word} (all {len(where)})" if len(where) > 1 else word, "lyrics", word=word, spans=tuple(where))
            for word, where in spans.items()
        ]
    if units == "line":
        return [
            Component(
                name=f"line {number}: {shorten(lyrics.text[line.start : line.end])}",
                kind="lyrics",
                start=line.start_seconds,
                line=number,
                spans=((line.start, line.end),),
            )
            for number, line in enumerate(lyrics.lines, 1)
        ]
    names = [section.name for section in lyrics.sections]
    return [
        Component(
            name=name if names.count(name) == 1 else f"{name} ({names[: index + 1].count(name)})",
            kind="lyrics",
            spans=((section.start, section.end),),
        )
        for index, (name, section) in enumerate(zip(names, lyrics.sections, strict=True))
    ]


def _question_components(asked: str, before: int) -> list[Component]:
    """The words of a question, whose characters go on after so many of the lyrics and a line break."""
    words = list(re.finditer(r"\w+(?:['’]\w+)*", asked))
    texts = [word[0].casefold() for word in words]
    return [
        Component(
            name=f"{word[0]} (question" + (f", word {place})" if texts.count(text) > 1 else ")"),
            kind="question",
            word=word[0],
            spans=((before + 1 + word.start(), before + 1 + word.end()),),
        )
        for place, (word, text) in enumerate(zip(words, texts, strict=True), 1)
    ]


def _word_component(word: Word, place: int, line: list[Word]) -> Component:
    twins = sum(other.text.casefold() == word.text.casefold() for other in line)
    where = f"line {word.line + 1}" + (f", word {place}" if twins > 1 else "")
    return Component(
        name=f"{word.text} ({where})",
        kind="lyrics",
        start=word.start_seconds,
        end=word.end_seconds,
        word=word.text,
        line=word.line + 1,
        spans=((word.start, word.end),),
    )


def shorten(text: str) -> str:
    """A line's beginning, as names of components show it."""
    return text if len(text) <= 32 else text[:31].rstrip() + "…"


def _decimals(edges: tuple[float, ...], offset: float) -> int:
    """As few decimals as tell all borders apart exactly, at most two."""
    # Within 5 ms a border counts as shown exactly: two decimals couldn't show it better.
    for decimals in (0, 1):
        if all(abs(round(edge + offset, decimals) - (edge + offset)) < 5e-3 for edge in edges):
            return decimals
    return 2


def _clock(seconds: float, decimals: int) -> str:
    minutes, rest = divmod(round(seconds, decimals), 60)
    return f"{int(minutes)}:{rest:0{2 + (decimals and decimals + 1)}.{decimals}f}"


def read_components(fields: dict[str, Any]) -> Components:
    """Components from what JSON keeps of them."""
    items = [item | {"spans": tuple(tuple(span) for span in item["spans"])} for item in fields["items"]]
    # Older files have no timeline.
    known = fields.get("timeline") and {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields["timeline"].items()
    }
    timeline = Timeline(**known) if known else None
    return Components(tuple(Component(**item) for item in items), fields["n_stems"], tuple(fields["edges"]), timeline)
