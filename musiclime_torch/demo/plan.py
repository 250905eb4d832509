"""What a song will be, before a sample of it exists: its tags, their causes, and the swaps of cause-and-effect.

A tag needs all of its causes: a cue played on one stem for one half-bar, one word of a small set, or both (AND). Time
is counted in steps (sixteenth notes, a whole number of frames): 8 steps are a half-bar, 10 half-bars a song, so that
ten equal segments are the half-bars. Everything ordinary follows from ``SongPlan.seed``; every cause from its own
``form``. No draw for the one is ever used for the other: swapping one leaves the other bit-identical.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

#: Stems of every demo song.
STEMS = ("drums", "bass", "other", "vocals")

#: What the songs are otherwise sung in: none of these words says anything about a tag.
_FILLER = """
a about across again ago air all along and any around as at away back before behind below beside between blue
bridge but by call can carry city clear close cloud cold come corner could country day deep did distance don't
door down drive early east even ever every eyes face far feel few field find fire first floor follow for found
from garden get give go gold gone gray green ground had hand has have hear here hill hold home hours house how
i i'm i'll if in into is it it's just keep know last later leaves left light line little long look made make
many maybe me middle mile minute morning most mountain much my near never new next no nothing now of off old on
once one only open or our out over paper past place quiet radio rain read red remember ride right river road
room round run same sand say sea see seven shadow she show side silver sky slow small snow so some somewhere
song soon sound south stand star start station stay still stone street summer sun take talk tell that the their
them then there these they thing this those through time to today town train tree turn two under until up us
wait walk wall want was water way we we're weather went were west what when where white who why wide will wind
window winter with wonder words world year yellow yes you you're your
"""

FILLER = tuple(_FILLER.split())

#: Hz of the demo songs; a song has ten half bars, each of eight steps.
SAMPLE_RATE = 16000
STEPS = 8
HALF_BARS = 10

#: Chance that a song without an AND tag has one of the tag's two causes all the same.
HALF_CAUSES = 0.7


@dataclass(frozen=True)
class Tag:
    """A class; ``stem`` is where its cue is played, None where sound doesn't matter; so with ``words``."""

    name: str
    stem: str | None
    words: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cause it needs: "audio", "word" or both."""
        return ("audio",) * (self.stem is not None) + ("word",) * bool(self.words)


TAGS = {
    tag.name: tag
    for tag in (
        Tag("drum fill", "drums", ()),
        Tag("bass drop", "bass", ()),
        Tag("synth solo", "other", ()),
        Tag("love song", None, ("love", "darling", "kiss", "sweetheart", "adore", "honey", "beloved", "embrace")),
        Tag("heartbreak", None, ("tears", "goodbye", "lonely", "crying", "broken", "sorrow", "farewell", "weep")),
        # The last two need a sound and a word together: what crossed masks and interactions are there to find.
        Tag("anthem", "vocals", ("together", "tonight", "everybody", "united", "forever", "champions", "glory", "rise")),
        Tag("lullaby", "other", ("sleep", "dream", "pillow", "hush", "slumber", "drowsy", "cradle", "moonlight")),
    )
}


@dataclass(frozen=True)
class Cause:
    """One cause in its place: a half-bar (0 to 9) of the tag's stem, or a position among the lyrics' words.

    ``form`` is the seed of what it looks like: which word of the set, which notes.
    """

    tag: str
    kind: str
    place: int
    form: int

    @property
    def stem(self) -> str | None:
        """Stem it is played on, None for a word."""
        return TAGS[self.tag].stem if self.kind == "audio" else None

    @property
    def word(self) -> str | None:
        """Word it is, None for a cue."""
        words = TAGS[self.tag].words
        return words[self.form % len(words)] if self.kind == "word" else None


@dataclass(frozen=True)
class SongPlan:
    """A song: one line of lyrics a half-bar, ``line_lengths`` words each; ``step`` frames a sixteenth note.

    The second section begins at line ``section_break``. ``causes`` may include one half of an AND tag.
    """

    seed: int
    step: int
    line_lengths: tuple[int, ...]
    section_break: int
    causes: tuple[Cause, ...]

    @property
    def half_bar(self) -> int:
        """Frames of a half-bar."""
        return STEPS * self.step

    @property
    def frames(self) -> int:
        """Frames of the song."""
        return HALF_BARS * self.half_bar

    @property
    def tags(self) -> frozenset[str]:
        """The tags all of whose causes are there."""
        return frozenset(name for name, tag in TAGS.items() if len(find_causes(self, name)) == len(tag.kinds))

    @property
    def words(self) -> tuple[str, ...]:
        """The lyrics' words: ordinary ones, and those that are causes in their places."""
        words = [str(word) for word in spawn(self.seed, "words").choice(FILLER, sum(self.line_lengths))]
        for cause in self.causes:
            if cause.word is not None:
                words[cause.place] = cause.word
        return tuple(words)


def spawn(seed: int, part: str) -> np.random.Generator:
    """The generator of one part of a song: parts share a seed and no draws."""
    return np.random.default_rng([seed, *part.encode()])


def plan_song(seed: int, tags: Collection[str] | None = None) -> SongPlan:
    """Plan a song with exactly these tags; None, one or two drawn ones for ``tags=None``.

    >>> plan = plan_song(7, {"anthem"})
    >>> sorted(plan.tags), [cause.kind for cause in find_causes(plan, "anthem")]
    (['anthem'], ['audio', 'word'])
    """
    rng = spawn(seed, "plan")
    drawn = {str(name) for name in rng.choice(list(TAGS), rng.integers(0, 3), replace=False)}
    wanted = drawn if tags is None else set(tags)
    unknown = wanted - set(TAGS)
    if unknown:
        raise ValueError(f"songs can't be tagged {', '.join(sorted(unknown))}: use {', '.join(TAGS)}.")
    plan = SongPlan(
        seed=seed,
        step=round(SAMPLE_RATE * 15 / rng.integers(95, 126)),
        line_lengths=tuple(int(length) for length in rng.integers(3, 6, HALF_BARS)),
        section_break=int(rng.integers(4, 7)),
        causes=(),
    )
    complete = [(name, kind) for name in TAGS if name in wanted for kind in TAGS[name].kinds]
    return _add_causes(plan, complete + _draw_halves(wanted, rng), rng)


def find_causes(plan: SongPlan, tag: str) -> tuple[Cause, ...]:
    """The tag's causes that the song has, the audible one first."""
    return tuple(cause for cause in plan.causes if cause.tag == tag)


def without_cause(plan: SongPlan, tag: str, kind: str) -> SongPlan:
    """Put ordinary material in place of the tag's cause of this kind: "audio" or "word". Nothing else changes."""
    return replace(plan, causes=tuple(c for c in plan.causes if c is not _get_cause(plan, tag, kind)))


def swap_cause(plan: SongPlan, tag: str, kind: str, other: str) -> SongPlan:
    """Put another tag's cause of the same kind in the place of this one's.

    Where the other's cue is played on another stem, that stem changes in the half-bar too.
    """
    if kind not in TAGS[other].kinds or any(c.kind == kind for c in find_causes(plan, other)):
        raise ValueError(f"{other} has no {kind} cause, or the song has it already: choose another tag.")
    cause = _get_cause(plan, tag, kind)
    return replace(plan, causes=tuple(replace(c, tag=other) if c is cause else c for c in plan.causes))


def swap_background(plan: SongPlan, seed: int) -> SongPlan:
    """Draw everything again from ``seed`` except the causes of the song's tags, its tempo and the lengths of its lines.

    Chords, patterns, melody, ordinary words, and halves of causes that make no tag.
    """
    kept = replace(plan, seed=seed, causes=tuple(cause for cause in plan.causes if cause.tag in plan.tags))
    rng = spawn(seed, "plan")
    return _add_causes(kept, _draw_halves(plan.tags, rng), rng)


def locate_cause(plan: SongPlan, cause: Cause) -> tuple[float, float]:
    """Start and end in seconds, of a word the time it is sung."""
    if cause.kind == "audio":
        first, last = cause.place * STEPS, (cause.place + 1) * STEPS
    else:
        first, last = place_words(plan)[cause.place]
    return first * plan.step / SAMPLE_RATE, last * plan.step / SAMPLE_RATE


def find_column(cause: Cause) -> int:
    """The cause's component where a song is cut into 10 segments and single words: 4 stems × 10, then the words.

    >>> find_column(Cause("bass drop", "audio", place=3, form=0)), find_column(Cause("love song", "word", 5, 0))
    (13, 45)
    """
    if cause.stem is not None:
        return STEMS.index(cause.stem) * HALF_BARS + cause.place
    return len(STEMS) * HALF_BARS + cause.place


def place_words(plan: SongPlan) -> list[tuple[int, int]]:
    """First step and end step of every word: a line fills its half-bar."""
    places: list[tuple[int, int]] = []
    for line, length in enumerate(plan.line_lengths):
        borders = [line * STEPS + round(index * STEPS / length) for index in range(length + 1)]
        places += pairwise(borders)
    return places


def _get_cause(plan: SongPlan, tag: str, kind: str) -> Cause:
    matching = [cause for cause in find_causes(plan, tag) if cause.kind == kind]
    if not matching:
        raise ValueError(f"the song has no {kind} cause of {tag!r}: it has {[(c.tag, c.kind) for c in plan.causes]}.")
    return matching[0]


def _draw_halves(tags: Collection[str], rng: np.random.Generator) -> list[tuple[str, str]]:
    halves = [
        (name, TAGS[name].kinds[rng.integers(2)], rng.random() < HALF_CAUSES) for name in TAGS if len(TAGS[name].kinds) == 2
    ]
    return [(name, kind) for name, kind, there in halves if there and name not in tags]


def _add_causes(plan: SongPlan, wanted: list[tuple[str, str]], rng: np.random.Generator) -> SongPlan:
    """Place causes where none is yet: never in the first or last half-bar, never two in one."""
    causes = list(plan.causes)
    for tag, kind in wanted:
        places = range(1, HALF_BARS - 1) if kind == "audio" else range(sum(plan.line_lengths))
        free = sorted(set(places) - {cause.place for cause in causes if cause.kind == kind})
        causes.append(Cause(tag, kind, place=int(rng.choice(free)), form=int(rng.integers(2**31))))
    return replace(plan, causes=tuple(causes))
