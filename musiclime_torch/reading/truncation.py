"""Whether a file ends before its own headers say: decoders return a shorter song and keep quiet about it.

wav by the sizes of RIFF and data chunk, aiff by its FORM size, ogg by the end-of-stream flag of the last page, mp3 by
the byte count of the Xing/Info header. Sizes that writers to a pipe put in for "unknown" are no cut.
"""

import struct
from pathlib import Path
from typing import BinaryIO

#: Writers to a pipe promise 0, 2^32 - 1 (ffmpeg) or about 2^31 bytes (sox).
_STREAMING = 0x7FFF_0000


def cut_short(path: str | Path) -> str | None:
    """A sentence if the file was cut short, else None: intact, another format, or no way to tell."""
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            promised = _measure_wav(file, head)
        elif head[:4] == b"FORM" and head[8:11] == b"AIF":
            promised = 8 + int(struct.unpack(">I", head[4:8])[0])
        elif head[:4] == b"OggS":
            whole = _reaches_end(file, size)
            return None if whole else f"{path.name!r} was cut short: its Ogg stream has no end. What is there was read."
        else:
            promised = _measure_mp3(file, head)
    # A padding byte that one writer counts and another doesn't is no sound.
    if promised <= size + 1:
        return None
    return f"{path.name!r} was cut short: {size} of {promised} bytes are there ({100 * size / promised:.0f}%) and were read."


def _measure_wav(file: BinaryIO, head: bytes) -> int:
    """Bytes that the headers promise, 0 where they don't say."""
    riff = struct.unpack("<I", head[4:8])[0]
    promised = 0 if riff >= _STREAMING else riff + 8
    wide = 0
    while len(chunk := file.read(8)) == 8:
        name, length = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            wide = struct.unpack("<Q", sizes[8:])[0]
            length -= 16
        if name == b"data":
            length = wide if wide and length == 0xFFFF_FFFF else 0 if length >= _STREAMING else length
            return int(max(promised, file.tell() + length))
        file.seek(max(0, length + length % 2), 1)
    return promised


def _reaches_end(file: BinaryIO, size: int) -> bool:
    """Whether the last page of an Ogg file is whole and has the end-of-stream flag (RFC 3533)."""
    here, last = 0, 0
    while True:
        file.seek(here)
        page = file.read(27)
        if len(page) < 27 or page[:4] != b"OggS":
            # After the last page come tags, zeros or nothing.
            return bool(last & 4) and not page.startswith(b"OggS")
        length = 27 + page[26] + sum(file.read(page[26]))
        if here + length > size:
            return False
        here, last = here + length, page[5]


def _measure_mp3(file: BinaryIO, head: bytes) -> int:
    """Bytes up to the end of the last frame by the Xing/Info header, 0 without one."""
    start = 0
    while head[:3] == b"ID3":
        file.seek(start)
        tag = file.read(10)
        if len(tag) < 10 or max(tag[6:]) > 127:
            return 0
        start += 10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]) + (10 if tag[5] & 16 else 0)
        file.seek(start)
        head = file.read(10)
    file.seek(start)
    frame = file.read(4096)
    # Taggers leave zeros between the tag and the first frame.
    skipped = len(frame) - len(frame.lstrip(b"\0"))
    frame = frame[skipped:]
    if len(frame) < 200 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:
        return 0
    # The header follows the side information, whose length hangs on MPEG version and channels.
    first_version, mono = frame[1] & 0x18 == 0x18, frame[3] & 0xC0 == 0xC0
    at = 4 + (17 if mono else 32) if first_version else 4 + (9 if mono else 17)
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        return 0
    flags = struct.unpack(">I", frame[at + 4 : at + 8])[0]
    if not flags & 2:
        return 0
    at += 12 if flags & 1 else 8
    return int(start + skipped + struct.unpack(">I", frame[at : at + 4])[0])
