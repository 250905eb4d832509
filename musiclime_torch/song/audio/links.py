"""Files that hold several streams one behind the other, and streams whose header is wrong or missing, read by soundfile.

Ogg calls this chaining (RFC 3533, section 4, whose pages, checksums and ends are read here); joined mp3 and flac files
are the same. libsndfile reads the first stream as if that were all, and an mp3 without a header as far as it guesses.
Here each stream becomes a file of its own, in memory.
"""

import io
import mmap
import re
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from jaxtyping import Float

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.mpeg import read_mp3, rewrite
from musiclime_torch.song.audio.packets import REACH, TAGS, Block, read_whole

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Link:
    """One of the streams that an Ogg file holds one behind the other: its bytes, and whether it has its end."""

    start: int
    end: int
    ended: bool


@dataclass(frozen=True)
class Pages:
    """The pages of an Ogg file in links; `broken` is the first byte of a page whose checksum fails, None without one."""

    links: tuple[Link, ...]
    broken: int | None = None


def read_ogg(file: BinaryIO, size: int) -> Pages:
    """The pages of an Ogg file (RFC 3533) up to one that is incomplete or whose checksum fails.

    A stream that begins after pages of another opens a link (section 4: chaining); several may begin together.
    """
    links: list[Link] = []
    here, start, inside, flags, going = 0, 0, False, 0, set[bytes]()
    while (found := _find_page(file, here)) is not None:
        begin, page = found
        lengths = file.read(page[26])
        body = file.read(sum(lengths))
        end = begin + 27 + page[26] + sum(lengths)
        if end > size:
            return Pages((*links, Link(start, size, False)))
        if _checksum(page[:22] + bytes(4) + page[26:] + lengths + body) != int.from_bytes(page[22:26], "little"):
            return Pages((*links, Link(start, size, False)), begin)
        if page[5] & 2 and inside:
            links.append(Link(start, here, bool(flags & 4) or not going))
            start, going = begin, set()
        inside, flags = not page[5] & 2, page[5]
        going = going - {page[14:18]} if flags & 4 else going | {page[14:18]}
        here = end
    file.seek(here)
    ended = (bool(flags & 4) or not going) and not file.read(4).startswith(b"OggS")
    return Pages((*links, Link(start, here, ended)))


def _find_page(file: BinaryIO, here: int) -> tuple[int, bytes] | None:
    """Position and head of the next page, which may lie behind a tag; None where tags, zeros or nothing follow the last."""
    file.seek(here)
    head = file.read(27)
    if head[:4] != b"OggS":
        behind = head + file.read(REACH)
        at = behind.find(b"OggS\0") if behind.startswith((*TAGS, b"\0")) else -1
        if at < 0:
            return None
        here += at
        file.seek(here)
        head = file.read(27)
    return (here, head) if len(head) == 27 else None


def _checksum(page: bytes) -> int:
    """Ogg's CRC: that of zlib with the bits of every byte, and of the result, the other way round."""
    # zlib reads bits from the lowest, starts from all ones and inverts the result; Ogg does none of that. Undoing all three
    # is a hundred times faster than a loop over the bytes.
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2)


_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")


def list_streams(path: Path, kind: str, frames: int) -> tuple[tuple[bytes, ...], int]:
    """The streams of a file, each as a file; none where soundfile reads the file itself right, and its frames.

    `frames` are what soundfile says that it will read.
    """
    with path.open("rb") as file:
        if kind == "OGG":
            links = read_ogg(file, path.stat().st_size).links
            whole = read_whole(file) if len(links) > 1 else b""
            return tuple(whole[link.start : link.end] for link in links) if whole else (), frames
        if kind == "FLAC":
            return split_flac(file), frames
        found = read_mp3(file) if kind == "MP3" else None
    # Of damaged packets the decoder makes what it can.
    if (
        found is None
        or (found.broken is not None and not found.begins_within)
        or (len(found.streams) == 1 and found.streams[0].heard == frames)
    ):
        return (), frames
    if found.layer == 2:
        return (), found.frames
    return tuple(rewrite(found.data, stream) for stream in found.streams if stream.frames), frames


def is_chained(path: Path) -> bool:
    """Whether an Ogg file holds streams one behind the other."""
    with path.open("rb") as file:
        return len(read_ogg(file, path.stat().st_size).links) > 1


def split_flac(file: BinaryIO) -> tuple[bytes, ...]:
    """The files that a joined flac consists of; () for a single one."""
    # The mark, and a STREAMINFO block of 34 bytes, the last of the header or not: 64 bits that don't occur by chance.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        starts = [match.start() for match in _FLAC.finditer(data)]
        return tuple(data[start:stop] for start, stop in pairwise([*starts, len(data)])) if len(starts) > 1 else ()


def open_streams(path: Path, streams: tuple[bytes, ...]) -> list[soundfile.SoundFile]:
    """The streams as open files; InputError where one can't be read, or has another rate than the first."""
    files = []
    for number, data in enumerate(streams, 1):
        try:
            files.append(soundfile.SoundFile(io.BytesIO(data)))
        except soundfile.LibsndfileError as error:
            raise InputError(
                f"{str(path)!r} holds {len(streams)} streams, and stream {number} can't be decoded: convert it to wav."
            ) from error
        if files[-1].samplerate != files[0].samplerate:
            raise InputError(f"{str(path)!r} changes its sample rate midway: convert it to wav or flac.")
    return files


def widen(block: Block, channels: int) -> Float[np.ndarray, "channel_out frame"]:
    """A block with more channels: a mono stream among stereo ones is in all of them."""
    return block if len(block) == channels else np.repeat(block.mean(0, keepdims=True), channels, 0)
