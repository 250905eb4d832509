"""What is wrong with a catalogue's model or its texts, found in its explanations: each finding with size and examples."""

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from musiclime_torch.components import shorten
from musiclime_torch.corpus.aggregation import MIN_SONGS, Global, open_tables
from musiclime_torch.corpus.control_results import EXAMPLES

#: A word, line or section that is told from zero in this share of a class's songs that have it, and is in this share of its
#: songs, carries the class whatever the song is about, if it speaks for it.
CARRIES, SPREAD = 0.8, 0.5
#: Share of a song's words past which too much of it is unseen.
UNSEEN = 0.1
#: Share of the sound's squared attributions below which a position at the songs' end seems unheard, and how many such
#: positions make an end: one alone may fade out.
LITTLE, TAIL = 0.01, 2
#: How far the outermost position may lie above the mean of the others, in times, in the median song.
EDGE = 2.0
#: Share of a rotated song's attributions that stays at its positions, in standard errors at least that many.
STAYS, SURE = 0.25, 3.0
#: How large decoys may be beside real components.
NOISY = 0.25


@dataclass(frozen=True)
class Finding:
    """`kind` is "boilerplate", "position", "rotation", "noise", "unseen" or "few songs"; `share` is of the attribution
    concerned, None where no attribution is; `examples` are words, classes or ids of songs.
    """

    kind: str
    said: str
    songs: int
    share: float | None
    examples: tuple[str, ...]


def audit(out: str | Path, found: Global, *, min_songs: int = MIN_SONGS) -> tuple[Finding, ...]:
    """Everything that stands out, the gravest kinds first."""
    tables = open_tables(Path(out))
    return (
        *_find_boilerplate(tables, found, min_songs),
        *_find_position_bias(tables, found, min_songs),
        *_find_what_stays(found, min_songs),
        *_find_noise(tables, found, min_songs),
        *_find_unseen(tables),
        *_find_unheard_end(tables, min_songs),
        *_find_small_classes(found, min_songs),
    )


def _find_boilerplate(tables: Any, found: Global, min_songs: int) -> list[Finding]:
    """Words, lines or sections that carry a class in nearly every one of its songs.

    What it is about may do so too: somebody has to look.
    """
    findings = []
    for one in found.classes:
        if one.songs < min_songs:
            continue
        rows = tables.execute(
            """with words as (
                    select id, replace(lower(coalesce(word, text)), '’', '''') as word, bool_or(told_from_zero) as told,
                        sum(abs(attribution)) as size, sum(attribution) as w
                    from attributions
                    where class = $of and predicted and kind = 'lyrics' and coalesce(word, text) is not null group by all),
                whole as (select sum(size) as size from words)
                select word, count(*) as songs, avg(told::int) as carries, sum(words.size) / any_value(whole.size) as share
                from words, whole group by word having count(*) >= $least and avg(told::int) >= $carries
                    and avg(w) > 0
                order by share desc, word""",
            {"of": one.name, "least": max(SPREAD * one.songs, min_songs), "carries": CARRIES},
        ).fetchall()
        if rows:
            share = sum(row[3] for row in rows)
            words = tuple(row[0] for row in rows)
            shown = ", ".join(shorten(word) for word in words[:6])
            said = (
                f"{one.name}: {shown} stand out in nearly every song that has them, and most have; they "
                f"carry {share:.0%} of the lyrics' attribution: are they sung?"
            )
            findings.append(Finding("boilerplate", said, rows[0][1], share, words))
    return findings


# A song's first and last position, and the mean of those between: its stems' sizes added up, silent ones left out.
_EDGES = """
    with rows as (
        select id, position, max(position) over (partition by id) as final, abs(attribution) as size, unseen
        from attributions where class = $of and predicted and kind = 'audio')
    select id, sum(size) filter (position = 0) as first, sum(size) filter (position = final) as last,
        sum(size) filter (0 < position and position < final)
            / count(distinct position) filter (0 < position and position < final) as inner_one,
        sum(size) as whole
    from rows where final >= 3 and not unseen group by id
"""


def _find_position_bias(tables: Any, found: Global, min_songs: int) -> list[Finding]:
    """The first or last position far above the others, in every stem together: models hear edges, songs don't end there."""
    findings = []
    for one in found.classes:
        for place in ("first", "last"):
            songs, times, share = tables.execute(
                f"select count(*), median({place} / inner_one), avg({place} / whole) from ({_EDGES}) "
                f"where {place} is not null and inner_one > 0",
                {"of": one.name},
            ).fetchall()[0]
            if songs >= min_songs and times > EDGE:
                said = f"{one.name}: the {place} position weighs {times:.1f} times the inner ones, in the median song."
                query = f"select id from ({_EDGES}) where {place} is not null order by {place} desc, id limit {EXAMPLES}"
                examples = tuple(row[0] for row in tables.execute(query, {"of": one.name}).fetchall())
                findings.append(Finding("position", said, songs, share, examples))
    return findings


def _find_what_stays(found: Global, min_songs: int) -> list[Finding]:
    """Attribution that stays at its position when the music is rotated."""
    seen = found.rotation
    if seen is None or seen.songs < min_songs:
        return []
    total = abs(seen.position) + abs(seen.music)
    if seen.position < SURE * seen.error or seen.position < STAYS * total:
        return []
    share = seen.position / total
    said = (
        f"in {seen.songs} songs with rotated segments {share:.0%} of the attribution stays at its position instead of going "
        f"with the music (slopes {seen.position:.2f} and {seen.music:.2f}): the model listens to places."
    )
    return [Finding("rotation", said, seen.songs, share, seen.examples)]


def _find_noise(tables: Any, found: Global, min_songs: int) -> list[Finding]:
    """Decoys, known to be irrelevant, that weigh like what is there."""
    findings = []
    for floor in found.floors:
        if floor.songs >= min_songs and floor.ratio > NOISY:
            what, named = ("an inaudible hiss", "sound") if floor.kind == "audio" else ("words that mean nothing", "lyrics")
            said = (
                f"{what} weighs {floor.ratio:.0%} of what real components of the {named} do, in {floor.songs} songs: "
                f"{floor.hidden:.0%} of what is told from zero there is no larger than {floor.size:.3g}, the floor below "
                f"which 19 of 20 irrelevant components lie."
            )
            songs = _name_songs(tables, "controls where decoy and kind = $kind", {"kind": floor.kind})
            findings.append(Finding("noise", said, floor.songs, floor.ratio, songs))
    return findings


def _name_songs(tables: Any, rows: str, values: dict[str, Any]) -> tuple[str, ...]:
    """Ids of the songs with the largest attributions among some rows."""
    query = f"select id from {rows} group by id order by sum(abs(attribution)) desc, id limit {EXAMPLES}"
    return tuple(row[0] for row in tables.execute(query, values).fetchall())


def _find_unseen(tables: Any) -> list[Finding]:
    """Songs whose lyrics go on past what the model reads. Silent stems are unseen too, and nothing is wrong with them."""
    rows = tables.execute(
        """select id, avg(unseen::int) as share from attributions where predicted and kind = 'lyrics' group by id
           having avg(unseen::int) > $least order by share desc, id""",
        {"least": UNSEEN},
    ).fetchall()
    if not rows:
        return []
    said = f"{len(rows)} songs have more than {UNSEEN:.0%} words that the model can't notice, up to {rows[0][1]:.0%}."
    return [Finding("unseen", said, len(rows), None, tuple(row[0] for row in rows[:EXAMPLES]))]


# Squared attributions at a song's positions, counted from its end, freed of sampling noise, as shares of all of them; songs
# whose noise is larger than what is left tell nothing.
_ENDS = """
    with rows as (
        select id, max(position) over (partition by id) - position as back, attribution ** 2 as size,
            standard_error ** 2 as noise
        from attributions where predicted and kind = 'audio' and not unseen),
    places as (select id, back, sum(size - noise) as heard, sum(noise) as noise from rows group by all),
    songs as (
        select id, back, heard, sum(heard) over (partition by id) as whole, sum(noise) over (partition by id) as noise,
            count(*) over (partition by id) as places
        from places)
    select back, count(*), avg(heard / whole), stddev_samp(heard / whole) / sqrt(count(*))
    from songs where whole > noise and places > 3 group by back order by back
"""


def _find_unheard_end(tables: Any, min_songs: int) -> list[Finding]:
    """Positions at the end that carry nothing, in all classes together: a model that cuts songs short doesn't say so."""
    rows = tables.execute(_ENDS).fetchall()
    tail = list(takewhile(lambda row: row[1] >= max(min_songs, 2) and row[2] + 2 * row[3] < LITTLE, rows))
    if not TAIL <= len(tail) < len(rows):
        return []
    said = (
        f"the last {len(tail)} of {len(rows)} positions carry less than {LITTLE:.0%} each of the sound's squared "
        f"attributions, in {tail[0][1]} songs: does the model hear songs to their end?"
    )
    share = max(sum(row[2] for row in tail), 0.0)
    songs = _name_songs(tables, "attributions where predicted and kind = 'audio'", {})
    return [Finding("unseen", said, tail[0][1], share, songs)]


def _find_small_classes(found: Global, min_songs: int) -> list[Finding]:
    small = [one for one in found.classes if one.songs < min_songs]
    if not small:
        return []
    names = tuple(one.name for one in small)
    said = f"{len(small)} classes were given to fewer than {min_songs} songs and aren't ranked: {', '.join(names[:6])}."
    return [Finding("few songs", said, sum(one.songs for one in small), None, names)]
