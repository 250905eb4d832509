"""Lyrics in the tags of audio files, under the many names that they have there.

ID3v2.2 to 2.4 (id3.org), APEv2 and the free-form atoms of m4a are read here; the comments of flac, Ogg and Opus, ©lyr and
WM/Lyrics by tinytag. tinytag drops the kind of content of ID3's timed text (SYLT) and puts each of its pieces on a line of
its own, so that chords are lyrics and syllables are lines: therefore frames are read here too.
"""

import itertools
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import regex

_NAMES = {b"ULT": b"USLT", b"SLT": b"SYLT", b"TXX": b"TXXX"}
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
#: Kinds of timed text that are sung: lyrics, and their transcription. Others are movements, events, chords, trivia, ...
_SUNG = (1, 2)
_MOST_INFLATED = 1 << 26


@dataclass(frozen=True)
class Timed:
    """The pieces of a SYLT frame and their times in seconds, None where they count packets instead of time."""

    pieces: tuple[tuple[str, float | None], ...]


def read_frames(data: bytes) -> Iterator[tuple[str, str | Timed]]:
    """Names (USLT, SYLT, or what a TXXX frame is called) and contents of the frames that may be lyrics; damage ends them."""
    if data[:3] != b"ID3" or len(data) < 10 or data[3] not in (2, 3, 4):
        return
    version, flags, size = data[3], data[5], _read_synchsafe(data[6:10])
    body = data[10 : 10 + min(size, _MOST_INFLATED)]
    # Unsynchronisation puts a zero behind every 0xFF, so that no player takes a tag for sound. In 2.4 each frame says so.
    if flags & 0x80 and version < 4:
        body = body.replace(b"\xff\x00", b"\xff")
    here = _skip_extension(body, version) if flags & 0x40 else 0
    head = 6 if version == 2 else 10
    while here + head <= len(body) and body[here] != 0:
        name = body[here : here + (3 if version == 2 else 4)]
        length = _read_length(body[here + len(name) : here + 2 * len(name)], version)
        content = _unpack(body[here + head : here + head + length], body[here + head - 2 : here + head], version)
        here += head + length
        found = _read_frame(_NAMES.get(name, name), content) if content else None
        if found is not None:
            yield found


def _read_length(data: bytes, version: int) -> int:
    return _read_synchsafe(data) if version == 4 and max(data, default=0) < 128 else int.from_bytes(data, "big")


def _read_synchsafe(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value << 7 | byte & 127
    return value


def _skip_extension(body: bytes, version: int) -> int:
    # 2.3 leaves the four bytes of the size out of it, 2.4 counts them.
    return 4 + int.from_bytes(body[:4], "big") if version == 3 else _read_synchsafe(body[:4])


def _unpack(content: bytes, flags: bytes, version: int) -> bytes | None:
    """A frame's content as it was before compression; None for an encrypted one."""
    if version == 2:
        return content
    packed, locked, grouped, extra = (0x80, 0x40, 0x20, 4) if version == 3 else (0x08, 0x04, 0x40, 0)
    if flags[1] & locked:
        return None
    at = (1 if flags[1] & grouped else 0) + (extra if flags[1] & packed else 0)
    if version == 4:
        at += 4 if flags[1] & 1 else 0
        content = content.replace(b"\xff\x00", b"\xff") if flags[1] & 2 else content
    try:
        return zlib.decompressobj().decompress(content[at:], _MOST_INFLATED) if flags[1] & packed else content[at:]
    except zlib.error:
        return None


def _read_frame(name: bytes, content: bytes) -> tuple[str, str | Timed] | None:
    if name not in (b"USLT", b"SYLT", b"TXXX") or content[0] >= len(_ENCODINGS):
        return None
    encoding = _ENCODINGS[content[0]]
    if name == b"TXXX":
        described, text = _split(content[1:], encoding)
        return described, _decode(text, encoding)
    if name == b"USLT":
        return "USLT", _decode(_split(content[4:], encoding)[1], encoding)
    # Encoding, language (3), kind of time stamps, kind of content, then what describes it.
    if len(content) < 7 or content[5] not in _SUNG:
        return None
    return "SYLT", Timed(tuple(_read_pieces(_split(content[6:], encoding)[1], encoding, content[4] == 2)))


def _read_pieces(data: bytes, encoding: str, milliseconds: bool) -> Iterator[tuple[str, float | None]]:
    while data:
        text, data = _split(data, encoding)
        if len(data) < 4:
            return
        yield text, int.from_bytes(data[:4], "big") / 1000 if milliseconds else None
        data = data[4:]


def _split(data: bytes, encoding: str) -> tuple[str, bytes]:
    """A text up to its zero, of two bytes in UTF-16, and what follows it."""
    wide = encoding.startswith("utf-16")
    end = data.find(b"\0\0" if wide else b"\0")
    while wide and end % 2 and end >= 0:
        end = data.find(b"\0\0", end + 1)
    if end < 0:
        return _decode(data, encoding), b""
    return _decode(data[:end], encoding), data[end + (2 if wide else 1) :]


def _decode(data: bytes, encoding: str) -> str:
    # Texts behind the first often lack the mark that says how UTF-16 is ordered: it is little-endian, as on Windows.
    if encoding == "utf-16" and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16-le"
    return data.decode(encoding, errors="replace").replace("\ufeff", "").rstrip("\0")


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
