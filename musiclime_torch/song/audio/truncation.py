"""Whether a file holds what its own headers say: decoders return a shorter song without a warning.

Files that end too soon (`cut_short`) are distinguished from those whose numbers contradict each other (`contradicts`): a
wrong header, or a packet that was damaged and skipped. Each format is checked by what it offers: sizes of chunks, chains of
packets, checksums of pages (`chunks`, `packets`). Sizes that writers to a pipe put in for "unknown" don't count as a cut.
Files that hold several streams one behind the other, and streams whose header is wrong or missing, are taken apart here.
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
from musiclime_torch.song.audio.chunks import find_second, goes_on, lay_out
from musiclime_torch.song.audio.mpeg import Stream, Streams, read_mp3, rewrite
from musiclime_torch.song.audio.packets import (
    REACH,
    TAGS,
    Block,
    chain_ac3,
    chain_adts,
    last_flac_frame,
    measure_matroska,
    read_whole,
    skip_id3,
)

#: Frames by which an mp3 may be shorter than its packets: the delay and the padding that a LAME tag has room for.
_GAPLESS = 2 * 4095
_PACKET = 4096
#: Writers to a pipe promise 2^32 - 1 or about 2^31 bytes.
_STREAMING = 0x7FFF_0000
#: How an asf begins, and the object in it that holds the file's size (ASF 3.2).
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def cut_short(path: str | Path) -> str | None:
    """A sentence if the file was cut short, else None: intact, another format, or no way to tell."""
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) == b"OggS":
            pages = read_ogg(file, size)
            if pages.broken is not None or all(link.ended for link in pages.links):
                return None
            streams = "its Ogg stream has no end" if len(pages.links) == 1 else "one of its Ogg streams has no end"
            return f"{path.name!r} was cut short: {streams}. What is there was read."
        promised = _measure(file)
    if promised <= size:
        return None
    if promised - size < _PACKET:
        return f"{path.name!r} was cut short: at least {promised - size} bytes are missing. What is there was read."
    return f"{path.name!r} was cut short: {size} of {promised} bytes are there ({100 * size / promised:.0f}%) and were read."


def contradicts(path: str | Path, kind: str, frames: int | None) -> str | None:
    """A sentence if headers of a file that wasn't cut contradict each other, its packets or the frames that it is read as.

    `kind` is the format that the decoder takes it for.
    """
    path = Path(path)
    with path.open("rb") as file:
        reason = _find_contradiction(file, path.stat().st_size, kind, frames)
        if reason is not None:
            return f"{path.name!r} is damaged: {reason}. What can be read was read; get it again."
        second = find_second(file, path.stat().st_size)
        if second is not None:
            return f"{path.name!r} holds another file from byte {second} on, which wasn't read: split them, or convert both."
        found = read_mp3(file) if kind in ("MP3", "mp3") else None
    doubt = None if found is None else _doubt_header(found)
    return None if doubt is None else f"{path.name!r} {doubt}."


def _measure(file: BinaryIO) -> int:
    """Bytes that the headers promise, 0 where they don't say."""
    file.seek(0)
    promised = _read_promise(file.read(4096))
    if promised is not None:
        return promised
    layout = lay_out(file)
    if layout is not None:
        # A padding byte, which one writer counts and another doesn't, isn't sound.
        return max((layout.whole or 1) - 1, layout.end or 0)
    return _measure_packets(file) or measure_matroska(file) or 0


def _read_promise(head: bytes) -> int | None:
    """Bytes that an avi or an asf (wma) says it has, 0 for those of a pipe, None for other files."""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        size = int.from_bytes(head[4:8], "little")
        return size + 8 if size < _STREAMING else 0
    if head[:16] == _ASF and (at := head.find(_ASF_FILE)) > 0 and len(head) >= at + 92:
        # Its size, of 8 bytes, follows a name and a length; flag 1 is that of a broadcast, whose size isn't known.
        return 0 if head[at + 88] & 1 else int.from_bytes(head[at + 40 : at + 48], "little")
    return None


def _measure_packets(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(1 << 16)
    start = skip_id3(head)
    file.seek(start)
    # Both kinds of stream begin with eleven or twelve ones; the layer bits tell raw AAC (00) from mp3 (01).
    first = file.read(4096).lstrip(b"\0")[:2] if start else head.lstrip(b"\0")[:2]
    if first == b"\x0b\x77":
        chain = chain_ac3(file)
        return chain.spans[-1].end if chain is not None else 0
    if head[:1] == b"G" and head[188:189] == head[376:377] == b"G":
        size = file.seek(0, 2)
        return size + -size % 188
    if len(first) < 2 or first[0] != 0xFF:
        return 0
    if first[1] & 0xF6 == 0xF0:
        chain = chain_adts(file)
        return chain.spans[-1].end if chain is not None else 0
    found = read_mp3(file) if first[1] & 0xE0 == 0xE0 and first[1] & 6 else None
    return 0 if found is None else max(found.streams[-1].end, _promise(found.streams[-1]))


def _promise(stream: Stream) -> int:
    """Where a stream ends by its header, 0 where that doesn't say; one with all its packets isn't missing any bytes."""
    return stream.start + stream.header.bytes if stream.header and stream.header.bytes and stream.missing else 0


def _find_contradiction(file: BinaryIO, size: int, kind: str, frames: int | None) -> str | None:
    head = file.read(4)
    if head == b"OggS":
        broken = read_ogg(file, size).broken
        return None if broken is None else f"a page at byte {broken} fails its checksum"
    if head == b"fLaC":
        last = last_flac_frame(file)
        if frames and last is not None and last != frames and not split_flac(file):
            return f"its header says {frames} frames and its last packet {last}"
        return None
    layout = lay_out(file)
    if layout is not None:
        if goes_on(file, layout, size):
            return "it goes on beyond the sound that its header declares"
        if frames and layout.frames is not None and frames != layout.frames:
            return f"one number in its header makes it {layout.frames:g} frames, another {frames}"
        return None
    found = read_mp3(file) if kind in ("MP3", "mp3") else chain_adts(file) if kind == "aac" else None
    if found is None:
        return None
    if found.broken is not None and not (isinstance(found, Streams) and found.begins_within):
        return f"there is no packet of sound at byte {found.broken}"
    # A decoder takes delay and padding off at both ends, and never adds anything.
    if frames and isinstance(found, Streams) and not found.frames - _GAPLESS * len(found.streams) <= frames <= found.frames:
        return f"it holds {found.frames} frames and is read as {frames}"
    return None


def _doubt_header(found: Streams) -> str | None:
    """What is odd about an mp3 whose packets are in order: that the sound is damaged doesn't follow."""
    if found.begins_within:
        return "begins within a packet, as recordings of a stream do: its sound was read from the next one on"
    for stream in found.streams:
        if stream.header is None:
            continue
        # A wrong number of packets beside the right number of bytes is but that.
        if stream.missing and stream.start + stream.header.bytes != stream.end:
            parts = f"{stream.header.packets} packets and it holds {stream.frames // stream.size}"
            return f"may be a part of a longer song: its header says {parts}, which were all read"
        if not stream.header.intact:
            return "has an Info header that fails its checksum: its beginning and its end may be off by up to 0.2 s"
    return None


# Ogg calls streams one behind the other chaining (RFC 3533, section 4, whose pages, checksums and ends are read here);
# joined mp3 and flac files are the same. libsndfile reads the first stream as if that were all, and an mp3 without a header
# as far as it guesses. Here each stream becomes a file of its own, in memory, which soundfile reads.

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
