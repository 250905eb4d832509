"""Lyrics in the tags of audio files, under the many names that they have there.

ID3v2 (mp3, aac, wav, aiff, ...), APEv2 (mp3, ape, wavpack) and the free-form atoms of m4a are read here; the comments of
flac, Ogg and Opus, ©lyr and WM/Lyrics by tinytag.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import regex

from musiclime_torch.song.lyrics.id3 import Timed, read_frames

#: Lyrics, unsynced lyrics, lyrics-eng, synchronised lyrics, ...: what is left of a name without blanks and signs.
_NAMED = regex.compile(
    r"(?:un)?(?:sync(?:h|hroni[sz])?(?:ed)?)?(?:lyrics(?:[a-z]{3})?|lyric)|lyrics?(?:un)?sync(?:ed)?|uslt|sylt"
)
#: Bytes of a tag at the end of a file that are read.
_MOST = 1 << 22
#: Share of pieces of four letters that two texts of the same words have in common.
_SAME = 0.75


def read_tags(path: Path) -> list[str | Timed]:
    """Everything in a file's tags that is called lyrics; an unreadable tag has none."""
    with path.open("rb") as file:
        is_mp4 = file.read(12)[4:8] == b"ftyp"
    tagged = list(_read_id3(path))
    own = [*itertools.chain(*tagged), *_read_ape(path), *(_read_freeform(path) if is_mp4 else ())]
    named = [content for name, content in own if is_lyrics(name)]
    # tinytag makes lines of SYLT's pieces: where there is an ID3v2 tag, it has been read here.
    return named if tagged else [*named, *_read_others(path)]


def is_lyrics(name: str) -> bool:
    """Whether a tag of this name holds lyrics.

    >>> [is_lyrics(name) for name in ("UNSYNCEDLYRICS", "Synced Lyrics", "lyrics-eng", "LYRICIST")]
    [True, True, True, False]
    """
    return _NAMED.fullmatch(regex.sub(r"[^a-z]", "", name.lower().removeprefix("other."))) is not None


def say_the_same(one: str, other: str) -> bool:
    """Whether two texts have the same letters, whatever separates them, but for a few."""
    first, second = (_count(text) for text in (one, other))
    shared = sum((first & second).values())
    return 2 * shared >= _SAME * (sum(first.values()) + sum(second.values()))


def _count(text: str) -> Counter[str]:
    letters = regex.sub(r"[^\p{L}\p{N}]", "", text).casefold()
    return Counter(letters[at : at + 4] for at in range(max(1, len(letters) - 3)))


def _read_id3(path: Path) -> Iterator[list[tuple[str, str | Timed]]]:
    """The frames of each ID3v2 tag: at the start of a file, or in a chunk of a wav or aiff."""
    from musiclime_torch.song.audio.chunks import find_chunks

    with path.open("rb") as file:
        starts = [start for name, start, _ in find_chunks(file) if name.lower() == b"id3 "] or [0]
        for start in starts:
            file.seek(start)
            head = file.read(10)
            if head[:3] == b"ID3" and len(head) == 10:
                size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
                yield list(read_frames(head + file.read(min(size, 1 << 26))))


def _read_ape(path: Path) -> Iterator[tuple[str, str]]:
    """Items of an APEv2 tag at the end, before an ID3v1 tag or not."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _MOST))
        data = file.read()
    end = data.rfind(b"APETAGEX")
    if end < 0 or len(data) - end > 32 + 227 + 128 or len(data) < end + 32:
        return
    length, count = (int.from_bytes(data[end + at : end + at + 4], "little") for at in (12, 16))
    here = end + 32 - length
    for _ in range(min(count, 1000)):
        stop = data.find(b"\0", here + 8, here + 8 + 256)
        if here < 0 or stop < 0 or stop > end:
            return
        size, flags = (int.from_bytes(data[here + at : here + at + 4], "little") for at in (0, 4))
        if not flags & 6:
            yield (
                data[here + 8 : stop].decode("ascii", "replace"),
                data[stop + 1 : stop + 1 + size].decode("utf-8", "replace"),
            )
        here = stop + 1 + size


def _read_freeform(path: Path) -> list[tuple[str, str]]:
    """The `----` atoms of an mp4, whose name is text: com.apple.iTunes:SYNCEDLYRICS."""
    data = _find_atoms(path)
    found = []
    for match in regex.finditer(rb"(?s)name(?=.{4})", data):
        start = match.start() - 4
        name = data[match.end() + 4 : start + int.from_bytes(data[start : start + 4], "big")]
        at = start + 12 + len(name)
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"data" and len(name) < 100:
            found.append((name.decode("utf-8", "replace"), data[at + 16 : at + length].decode("utf-8", "replace")))
    return found


def _find_atoms(path: Path) -> bytes:
    """The `moov` atom of an mp4, where its tags are; empty without one."""
    with path.open("rb") as file:
        size, here = file.seek(0, 2), 0
        while here + 8 <= size:
            file.seek(here)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:], "big") if length == 1 else length or size - here
            if length < 8:
                break
            if head[4:8] == b"moov":
                file.seek(here)
                return file.read(min(length, 1 << 26))
            here += length
    return b""


def _read_others(path: Path) -> list[str | Timed]:
    from tinytag import TinyTag

    try:
        tags = TinyTag.get(str(path.absolute())).other
    # Somebody else's parser for files from anywhere: whatever it trips over, the sound may still be right.
    except Exception:
        return []
    return [str(text) for name, texts in tags.items() if is_lyrics(name) for text in texts]
