"""What is wrong with a catalogue's model or its texts, as its explanations show it: findings with sizes and examples.

Every finding is an effect size beyond a fixed limit in enough songs, not a test: in a large catalogue anything is
significant.
"""

import math
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from musiclime_torch.corpus.findings.aggregation import MIN_SONGS
from musiclime_torch.corpus.findings.parts import SPREAD, STEP, UNSEEN, reading, sum_for_audit
from musiclime_torch.corpus.findings.summaries import EXAMPLES, Global
from musiclime_torch.variants.components import shorten

#: A word, line or section that is significant in this share of a class's songs that have it, and is in half of its songs,
#: carries the class whatever the song is about, if it speaks for it.
CARRIES = 0.8
#: A position at the songs' end seems to be cut off below this share of the sound's squared attributions; and how many such
#: positions it takes: a single one may be a fade-out.
LITTLE, TAIL = 0.01, 2
#: The largest ratio of the outermost position to the mean of the inner ones, in the median song.
EDGE = 2.0
#: Share of a rotated song's attributions that stays at its positions, and the least number of standard errors of it.
STAYS, SURE = 0.25, 3.0
#: The largest ratio of decoys to real components.
NOISY = 0.25


@dataclass(frozen=True)
class Finding:
    """`kind` is "boilerplate", "position", "rotation", "noise", "unseen" or "few songs"; `share` is of the attribution
    concerned, None where there is none. `about` are the words or classes concerned, empty where it concerns all songs;
    `examples` are ids of songs to look at.
    """

    kind: str
    message: str
    songs: int
    share: float | None
    about: tuple[str, ...]
    examples: tuple[str, ...]


def audit(out: str | Path, catalogue: Global, *, min_songs: int = MIN_SONGS) -> tuple[Finding, ...]:
    """Everything that stands out, the most serious kinds first. InputError where the folder holds no run, or a damaged
    one.
    """
    with reading(Path(out)):
        sums = sum_for_audit(Path(out))
        return (
            *_find_boilerplate(sums, catalogue, min_songs),
            *_find_position_bias(sums, min_songs),
            *_find_what_stays(catalogue, min_songs),
            *_find_noise(sums, catalogue, min_songs),
            *_find_unseen(sums),
            *_find_unheard_end(sums, min_songs),
            *_find_small_classes(sums, catalogue, min_songs),
        )


def _find_boilerplate(sums: Any, catalogue: Global, min_songs: int) -> list[Finding]:
    """Words, lines or sections that carry a class in nearly every one of its songs.

    A word that the class is about may do so too: somebody has to look.
    """
    findings = []
    sizes = dict(sums.execute("select class, size from lyrics").fetchall())
    for summary in catalogue.classes:
        if summary.songs < min_songs:
            continue
        given = {"class_name": summary.name, "least": max(SPREAD * summary.songs, min_songs), "carries": CARRIES}
        chosen = "class = $class_name and songs >= $least and significant >= $carries * songs and w > 0"
        rows = sums.execute(
            f"select word, songs, size from carried where {chosen} order by size desc, word", given
        ).fetchall()
        if rows:
            words = tuple(row[0] for row in rows)
            shown = ", ".join(shorten(word) for word in words[:6])
            share = sum(row[2] for row in rows) / sizes[summary.name]
            message = (
                f"{summary.name}: {shown}: in most songs ({rows[0][1]} of {summary.songs} have the first) and significant "
                f"in nearly all of these, with {share:.0%} of the lyrics' attribution. Is this sung?"
            )
            examples = _name_songs(sums, f"carried_songs semi join (from carried where {chosen}) using (class, word)", given)
            findings.append(Finding("boilerplate", message, rows[0][1], share, words, examples))
    return findings


def _find_position_bias(sums: Any, min_songs: int) -> list[Finding]:
    """The first or last position far above the others, all stems together: some models react to the input's edges."""
    findings = []
    bins: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
    for class_name, place, *rest in sums.execute(
        "select class, place, bin, songs, share from edges order by all"
    ).fetchall():
        bins.setdefault((class_name, place), []).append(tuple(rest))
    for (class_name, place), rows in bins.items():
        songs = sum(row[1] for row in rows)
        times, share = _find_median(rows), sum(row[2] for row in rows) / songs
        if songs >= min_songs and times > EDGE:
            message = (
                f"{class_name}: the {place} position weighs {times:.1f} times the inner ones, in the median of {songs} "
                f"songs, and carries {share:.0%} of the sound's attribution."
            )
            given = {"class_name": class_name, "place": place}
            query = "select id from edge_songs where class = $class_name and place = $place order by size desc, id"
            examples = tuple(row[0] for row in sums.execute(query, given).fetchall())
            findings.append(Finding("position", message, songs, share, (class_name,), examples))
    return findings


def _find_median(rows: list[tuple[int, int, float]]) -> float:
    """The median of sizes that were counted by their logarithms, to within a step."""
    half, below = sum(row[1] for row in rows) / 2, 0
    for number, count, _ in rows:
        below += count
        if below >= half:
            return math.exp(number * STEP)
    raise AssertionError("some row holds the median")


def _find_what_stays(catalogue: Global, min_songs: int) -> list[Finding]:
    """Attribution that stays at its position when the music is rotated."""
    rotation = catalogue.rotation
    if rotation is None or rotation.songs < min_songs:
        return []
    total = abs(rotation.position) + abs(rotation.music)
    if rotation.position < SURE * rotation.error or rotation.position < STAYS * total:
        return []
    share = rotation.position / total
    message = (
        f"in {rotation.songs} songs with rotated segments {share:.0%} of the attribution stays at its position instead of "
        f"going with the music (slopes {rotation.position:.2f} and {rotation.music:.2f}): the model listens to places."
    )
    return [Finding("rotation", message, rotation.songs, share, (), rotation.examples)]


def _find_noise(sums: Any, catalogue: Global, min_songs: int) -> list[Finding]:
    """Decoys, known to be irrelevant, that weigh as much as real components."""
    findings = []
    for floor in catalogue.floors:
        if floor.songs >= min_songs and floor.ratio > NOISY:
            what, named = ("an inaudible hiss", "sound") if floor.kind == "audio" else ("a line of filler words", "lyrics")
            message = (
                f"{what} weighs {floor.ratio:.0%} of what real components of the {named} do, in {floor.songs} songs: "
                f"{floor.hidden:.0%} of what is significant there is no larger than {floor.size:.3g}, the floor below "
                f"which 19 of 20 irrelevant components lie."
            )
            query = "(select id, abs(attribution) as size from controls where decoy and kind = $kind)"
            examples = _name_songs(sums, query, {"kind": floor.kind})
            findings.append(Finding("noise", message, floor.songs, floor.ratio, (), examples))
    return findings


def _name_songs(sums: Any, rows: str, given: dict[str, Any]) -> tuple[str, ...]:
    """Ids of the songs with the largest attributions among some rows."""
    query = f"select id from {rows} group by id order by sum(size) desc, id limit {EXAMPLES}"
    return tuple(row[0] for row in sums.execute(query, given).fetchall())


def _find_unseen(sums: Any) -> list[Finding]:
    """Songs whose lyrics are longer than the model's input. Silent stems are unseen too, and nothing is wrong with them."""
    ((songs, share),) = sums.execute("select songs, share from late").fetchall()
    if not songs:
        return []
    message = (
        f"{songs} {'song has' if songs == 1 else 'songs have'} more than {UNSEEN:.0%} words that the model can't notice, "
    )
    message += f"up to {share:.0%}."
    examples = tuple(row[0] for row in sums.execute("select id from late_songs order by share desc, id").fetchall())
    return [Finding("unseen", message, songs, None, (), examples)]


def _find_unheard_end(sums: Any, min_songs: int) -> list[Finding]:
    """Positions at the end that carry nothing, in all classes together: the model may cut songs off without saying so."""
    rows = sums.execute(
        """select songs, share / songs, sqrt(greatest(share2 - share * share / songs, 0) / greatest(songs - 1, 1) / songs)
            from ends order by back"""
    ).fetchall()
    tail = list(takewhile(lambda row: row[0] >= max(min_songs, 2) and row[1] + 2 * row[2] < LITTLE, rows))
    if not TAIL <= len(tail) < len(rows):
        return []
    message = (
        f"the last {len(tail)} of {len(rows)} positions carry less than {LITTLE:.0%} each of the sound's squared "
        f"attributions, in {tail[0][0]} songs: does the model cut songs off?"
    )
    share = max(sum(row[1] for row in tail), 0.0)
    return [Finding("unseen", message, tail[0][0], share, (), _name_songs(sums, "sound_songs", {}))]


def _find_small_classes(sums: Any, catalogue: Global, min_songs: int) -> list[Finding]:
    small = [summary for summary in catalogue.classes if summary.songs < min_songs]
    if not small:
        return []
    names = tuple(summary.name for summary in small)
    songs = sum(summary.songs for summary in small)
    more = f" and {len(names) - 6} more classes" if len(names) > 6 else ""
    message = (
        f"fewer than {min_songs} songs each, too few to rank, were given {', '.join(names[:6])}{more}: "
        f"{songs} {'song' if songs == 1 else 'songs'} in all."
    )
    query = f"select id from songs where predicted in $names order by id limit {EXAMPLES}"
    examples = tuple(row[0] for row in sums.execute(query, {"names": list(names)}).fetchall())
    return [Finding("few songs", message, songs, None, names, examples)]
