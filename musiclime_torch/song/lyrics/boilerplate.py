"""What sites and players add to lyrics, taken out again: models learn it as readily as what is sung.

The published pipeline's classes had "You might also like" among their top words, and nobody had noticed. Chinese players
put who wrote and mixed a song above its lines, and karaoke players who sings: these are never sung, so `LeftOut` takes them
out of every file that is read. What a site adds is only pointed out there: it is rarer, and may be sung.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import regex

#: Who did what: a role, a colon, names. "Lyrics by" needs no colon, "words" alone does.
_ROLES = (
    r"(?:原|总|總|执行|執行|联合|聯合|音乐|音樂|人声|人聲|配唱|弦乐|弦樂|混音|录音|錄音|母带|母帶|制作|製作|出品|后期|後期|和声|和聲){0,2}"
    r"(?:作?[词詞曲]|作词|作詞|填[词詞]|作曲|编曲|編曲|制作人?|製作人?|监制|監製|监督|監督|混音[师師]?|录音[师師室棚]?|錄音[師室]?|母[带帶](?:工程[师師])?"
    r"|和[声聲](?:编写|編寫)?|合[声聲]|[电電木]?吉他|貝斯|贝斯|鼓(?:手)?|键盘|鍵盤|钢琴|鋼琴|弦[乐樂](?:编写)?|小提琴|出品(?:人|方|公司)?|发行(?:方|公司)?"
    r"|發行|企划|企劃|统筹|統籌|策划|策劃|宣发|版权(?:方|公司)?|工程[师師]?|助理|编写|編寫|编辑|配唱|制作公司|演唱|歌手|歌名|专辑|專輯|OP|SP)"
)
_CREDIT = (
    rf"(?:(?:(?:{_ROLES})[ \t]*[/／、&和]?[ \t]*){{1,4}}[:：]"
    r"|(?i:(?:lyrics?|lyricist|music|words|composers?|compositions?|arrangers?|arrangements?|producers?|produced|written"
    r"|composed|arranged|mixed|mastered|recorded|mixing|mastering|recording|publishers?)(?:[ \t]*(?:and|&|/|,)[ \t]*"
    r"(?:music|words|lyrics|composed|produced|arranged|mixed|mastered))*(?:[ \t]+(?:by|engineers?|studio))?[ \t]*[:：]))"
)
#: Who sings a line: v1:, and the Chinese for man, woman, both, all, ...
_SINGER = r"(?:[vV]\d{1,2}|[男女合齐齊独獨众眾](?:[声聲唱])?|(?i:both|duet|all|male|female))[ \t]*[:：][ \t]*(?=\S)"
_WALAOKE = regex.compile(r"[FMD]:[ \t]*(?=\S)")
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
    "credits": regex.compile(rf"(?m)^[ \t]*{_CREDIT}[^\n]*$"),
    "singers' marks": regex.compile(rf"(?m)^[ \t]*{_SINGER}"),
    "corrections": regex.compile(r"(?im)^[ \t]*(?:submit corrections|thanks to [^\n]{1,80} for [^\n]{1,40}lyrics\W*)$"),
}


@dataclass(frozen=True)
class Cleaned:
    """Lyrics without boilerplate, and how often each kind was found."""

    text: str
    found: Counter[str] = field(default_factory=Counter)


@dataclass
class LeftOut:
    """What was left out of the rows of a file so far: rows of credits, and singers' marks."""

    credits: list[str] = field(default_factory=list)
    marks: dict[str, None] = field(default_factory=dict)

    def take(self, row: str, walaoke: bool = False) -> str | None:
        """A row without a singer's mark; None for credits."""
        if PATTERNS["credits"].match(row):
            self.credits.append(row)
            return None
        mark = PATTERNS["singers' marks"].match(row) or (_WALAOKE.match(row) if walaoke else None)
        if mark is None:
            return row
        self.marks[mark[0].strip()] = None
        return row[mark.end() :]

    def warn(self) -> list[str]:
        """What was left out, in a sentence, or nothing."""
        rows = len(self.credits)
        parts = [f"{rows} row{'s' * (rows > 1)} of credits ({self.credits[0][:40]!r})"] if rows else []
        if self.marks:
            parts.append(f"singers' marks ({', '.join(self.marks)})")
        return [f"of the lyrics, {' and '.join(parts)} were left out: they aren't sung."] if parts else []


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
