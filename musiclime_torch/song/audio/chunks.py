"""Where the sound is in a file made of chunks, by the sizes that the file gives: wav, rf64, w64, aiff, caf and au.

Decoders believe one number of a header and ignore the others. Here all are read, so that they can be compared with each
other and with the file. Sizes that writers to a pipe put in for "unknown" say nothing.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from musiclime_torch.song.audio.packets import measure_matroska

#: Writers to a pipe promise 0, 2^32 - 1 (ffmpeg) or about 2^31 bytes (sox).
_STREAMING = 0x7FFF_0000
#: Sizes may be wrong; no file is larger than this.
_FARTHEST = 1 << 43
#: Whole numbers, floats, A-law, µ-law, and whichever of these the extended header says.
_PLAIN = (1, 3, 6, 7, 0xFFFE)
_AIFC_PLAIN = (b"NONE", b"twos", b"sowt", b"in24", b"in32", b"fl32", b"fl64", b"FL32", b"FL64")


@dataclass(frozen=True)
class Layout:
    """Byte positions by the headers, None where they don't say: the `end` of the sound, and of the `whole` file.

    `frames` is their number by a header other than the sound's size. Behind the sound a file may go on with chunks, whose
    heads are packed by `code`.
    """

    end: int | None
    whole: int | None
    frames: float | None
    code: str | None = None


def lay_out(file: BinaryIO) -> Layout | None:
    """Read the sizes; None for another kind of file, and where no sound is found."""
    file.seek(0)
    head = file.read(40)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _lay_wav(file, struct.unpack("<I", head[4:8])[0])
    if head[:4] == b"riff" and head[24:28] == b"wave" and len(head) == 40:
        return _lay_w64(file, struct.unpack("<Q", head[16:24])[0])
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return _lay_aiff(file, 8 + struct.unpack(">I", head[4:8])[0], head[8:12] == b"AIFC")
    if head[:4] == b"caff":
        return _lay_caf(file)
    if head[:4] in (b".snd", b"dns.") and len(head) >= 24:
        first, length = struct.unpack(">II" if head[:4] == b".snd" else "<II", head[4:12])
        return Layout(None if length >= _STREAMING else first + length, None, None)
    return None


def find_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, position and length of each chunk of a wav or aiff; none of another file."""
    file.seek(0)
    head = file.read(12)
    code = {b"RIFF": "<4sI", b"RF64": "<4sI", b"FORM": ">4sI"}.get(head[:4])
    return iter(()) if code is None else _walk(file, 12, code, align=2)


def goes_on(file: BinaryIO, layout: Layout, size: int) -> bool:
    """Whether something follows the sound that is neither a chunk, a tag nor padding: sound that the header omits."""
    end = layout.end
    if end is None or end >= size or (layout.whole is not None and abs(layout.whole - end) <= 1):
        return False
    file.seek(end)
    rest = file.read(1 << 16)
    # Chunks begin at even positions, in w64 at multiples of 8: the next head may follow up to seven bytes of padding.
    if layout.code is not None and any(_is_head(rest[pad:], layout.code, size - end) for pad in range(8)):
        return False
    return bool(rest.strip(b"\0")) and not rest.startswith((b"TAG", b"ID3"))


def find_second(file: BinaryIO, size: int) -> int | None:
    """Where another file begins behind the first (wav, aiff, mp4, Matroska), as joining them leaves it; None without one."""
    file.seek(0)
    head = file.read(12)
    if head[:4] in (b"RIFF", b"FORM"):
        layout = lay_out(file)
        end = layout.whole if layout is not None else None
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        end = measure_matroska(file)
    else:
        return _find_atom(file, size) if head[4:8] == b"ftyp" else None
    if end is None or end >= size:
        return None
    file.seek(end)
    at = file.read(8).find(head[:4])
    return end + at if at >= 0 else None


def _find_atom(file: BinaryIO, size: int) -> int | None:
    """Where an mp4 has a second `ftyp` (ISO 14496-12, 4.3: one, as early as possible)."""
    here = 0
    while here + 8 <= size:
        file.seek(here)
        head = file.read(16)
        length, name = struct.unpack(">I4s", head[:8])
        if name == b"ftyp" and here:
            return here
        length = struct.unpack(">Q", head[8:])[0] if length == 1 and len(head) == 16 else length
        if length < 8:
            return None
        here += length
    return None


def _is_head(head: bytes, code: str, most: int) -> bool:
    if len(head) < struct.calcsize(code):
        return False
    name, length = struct.unpack_from(code, head)
    return all(32 <= letter < 127 for letter in name[:4]) and 0 <= length <= most


def _walk(
    file: BinaryIO, start: int, code: str, inclusive: bool = False, align: int = 1
) -> Iterator[tuple[bytes, int, int]]:
    """Name, position and length of one chunk after the other; `inclusive` lengths count the chunk's own head."""
    head = struct.calcsize(code)
    while start < _FARTHEST:
        file.seek(start)
        packed = file.read(head)
        if len(packed) < head:
            return
        name, length = struct.unpack(code, packed)
        length -= head if inclusive else 0
        yield name, start + head, length
        if length < 0:
            return
        # -length % align is the padding that brings the next head to a multiple of `align`.
        start += head + length + -length % align


def _lay_wav(file: BinaryIO, riff: int) -> Layout | None:
    # RIFF sizes leave out the eight bytes of the name and the size themselves.
    whole = None if riff >= _STREAMING or not riff else riff + 8
    wide, form = 0, b""
    for name, start, length in _walk(file, 12, "<4sI", align=2):
        file.seek(start)
        if name == b"ds64":
            wide = int.from_bytes(file.read(16)[8:], "little")
        if name == b"fmt ":
            form = file.read(16)
        if name == b"data":
            # RF64 puts 2^32 - 1 here, and the true length into its ds64 chunk.
            length = wide if wide and length == 0xFFFF_FFFF else 0 if length >= _STREAMING else length
            return _lay_sound(start, length, whole, form, "<4sI")
    return Layout(None, whole, None)


def _lay_w64(file: BinaryIO, riff: int) -> Layout | None:
    form = b""
    for name, start, length in _walk(file, 40, "<16sQ", inclusive=True, align=8):
        if name[:4] == b"fmt ":
            file.seek(start)
            form = file.read(16)
        if name[:4] == b"data":
            return _lay_sound(start, length, riff, form, "<16sQ")
    return Layout(None, riff, None)


def _lay_sound(start: int, length: int, whole: int | None, form: bytes, code: str) -> Layout:
    """The number of bytes per second gives the length of the sound; for compressed sound it is a guess, and often wrong."""
    kind, _, rate, byte_rate, align, _ = struct.unpack("<HHIIHH", form) if len(form) == 16 else (0,) * 6
    # fmt: coding, channels, frames a second, bytes a second, bytes a frame, bits a sample.
    # Compressed sound has many frames in a block; a block a frame is plain sound whose kind was damaged.
    is_plain = kind in _PLAIN or byte_rate == rate * align
    frames = length * rate / byte_rate if byte_rate and length and is_plain else None
    return Layout(start + length if length else None, whole, frames, code)


def _lay_aiff(file: BinaryIO, whole: int, packed: bool) -> Layout | None:
    frames = None
    for name, start, length in _walk(file, 12, ">4sI", align=2):
        file.seek(start)
        if name == b"COMM" and len(common := file.read(22)) >= 18 and (not packed or common[18:] in _AIFC_PLAIN):
            frames = struct.unpack(">I", common[2:6])[0]
        if name == b"SSND":
            return Layout(start + length, whole, frames, code=">4sI")
    return Layout(None, whole, None)


def _lay_caf(file: BinaryIO) -> Layout | None:
    width = 0
    for name, start, length in _walk(file, 8, ">4sq"):
        if name == b"desc":
            file.seek(start)
            form = file.read(32)
            if len(form) == 32 and form[8:12] == b"lpcm":
                channels, bits = struct.unpack(">II", form[24:32])
                width = channels * -(-bits // 8)
        if name == b"data":
            # Four bytes count the edits; a length of -1 is that of a pipe.
            frames = (length - 4) / width if width and length > 0 else None
            return Layout(None if length < 0 else start + length, None, frames, code=">4sq")
    return None
