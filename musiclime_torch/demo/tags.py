"""What the demonstration songs can be tagged with, and the one or two causes each tag has.

A tag needs all of its causes: a cue played on one stem for one half-bar, one word of a small set, or both (AND).
"""

from dataclasses import dataclass

STEMS = ("drums", "bass", "other", "vocals")


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
        Tag("anthem", "vocals", ("together", "tonight", "everybody", "united", "forever", "champions", "glory", "rise")),
        Tag("lullaby", "other", ("sleep", "dream", "pillow", "hush", "slumber", "drowsy", "cradle", "moonlight")),
    )
}

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
