"""What sites add to lyrics, taken out again: models learn it as readily as what is sung.

The published pipeline's classes had "You might also like" among their top words, and nobody had noticed.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import regex

# Runs of blanks and digits are bounded: a search tries every start, and a megabyte of either would take hours.
#: By name: what a site puts above, between and below the lines; never part of a line that may have been sung.
PATTERNS = {
    "contributors": regex.compile(r"(?i)\A\s*\d+[ \t]*contributors?\b(?:[^\n\[]*?\blyrics\b[ \t]*|[^\n]*)"),
    "title line": regex.compile(r"\A\s*[^\n\[]{1,200}[ \t]Lyrics[ \t]*(?=\[|\n|\Z)"),
    "you might also like": regex.compile(
        r"(?m)^[ \t]*(?i:you might also like)[ \t]*(?=\[|$)|(?<=\S)You might also like[ \t]*(?=\[|$)"
    ),
    "tickets": regex.compile(r"(?im)^[ \t]{0,20}(?:see [^\n]{1,80} live)?[ \t]{0,20}get tickets as low as[^\n]*$"),
    "embed": regex.compile(
        r"(?:\s{0,20}\d[\d.]{0,20}[KM]?(?i:embed)|\s{0,20}\d{0,20}Embed)(?i:share[^\n]{0,40})?\s{0,200}\Z"
    ),
    "notice": regex.compile(r"(?im)^[ \t*.]*this lyrics is not for commercial use[^\n]*$(?:\n[ \t]*\(?\d{6,}\)?[ \t]*$)?"),
    "licence": regex.compile(r"(?im)^[^\n]*\blyrics (?:licensed|provided|powered) by\b[^\n]*$"),
    "corrections": regex.compile(r"(?im)^[ \t]*(?:submit corrections|thanks to [^\n]{1,80} for [^\n]{1,40}lyrics\W*)$"),
}


@dataclass(frozen=True)
class Cleaned:
    """Lyrics without boilerplate, and how often each kind was found."""

    text: str
    found: Counter[str] = field(default_factory=Counter)


def find_boilerplate(text: str) -> str | None:
    """The first thing in the lyrics that a site has added, None for none."""
    matches = [match for pattern in PATTERNS.values() if (match := pattern.search(text)) is not None]
    return min(matches, key=lambda match: match.start())[0].strip() if matches else None


def strip_boilerplate(text: str) -> Cleaned:
    r"""Take a site's additions out; section headers in brackets stay, for they are read as such.

    >>> strip_boilerplate("3 ContributorsHome Lyrics[Verse 1]\nHold on\nYou might also like[Chorus]\nStay12Embed").text
    '[Verse 1]\nHold on\n[Chorus]\nStay'
    """
    found: Counter[str] = Counter()
    for name, pattern in PATTERNS.items():
        text, count = pattern.subn("", text)
        if count:
            found[name] = count
    return Cleaned(text.strip("\n") if found else text, found)


def describe_stripped(songs: Iterable[Cleaned]) -> str:
    """One sentence on a whole data set; empty where nothing was found."""
    kinds: Counter[str] = Counter()
    touched = 0
    for song in songs:
        touched += bool(song.found)
        kinds.update(song.found.keys())
    if not touched:
        return ""
    parts = ", ".join(f"{name!r} in {count}" for name, count in kinds.most_common())
    return f"A lyrics site's additions were taken out of {touched} songs: {parts}."
