"""ID3v2 as far as lyrics need it: text frames and the timed text of SYLT, in versions 2.2 to 2.4 (id3.org).

tinytag drops a SYLT frame's kind of content and puts each of its pieces on a line of its own, so that chords are lyrics and
syllables are lines.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_NAMES = {b"ULT": b"USLT", b"SLT": b"SYLT", b"TXX": b"TXXX"}
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
#: Kinds of timed text that are sung: lyrics, and their transcription. Others are movements, events, chords, trivia, ...
_SUNG = (1, 2)
_MOST = 1 << 26


@dataclass(frozen=True)
class Timed:
    """The pieces of a SYLT frame and their times in seconds, None where they count packets instead of time."""

    pieces: tuple[tuple[str, float | None], ...]


def read_frames(data: bytes) -> Iterator[tuple[str, str | Timed]]:
    """Names (USLT, SYLT, or what a TXXX frame is called) and contents of the frames that may be lyrics; damage ends them."""
    if data[:3] != b"ID3" or len(data) < 10 or data[3] not in (2, 3, 4):
        return
    version, flags, size = data[3], data[5], _read_synchsafe(data[6:10])
    body = data[10 : 10 + min(size, _MOST)]
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
        return zlib.decompressobj().decompress(content[at:], _MOST) if flags[1] & packed else content[at:]
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
