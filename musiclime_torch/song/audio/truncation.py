"""Whether a file holds what its own headers say: decoders return a shorter song without a warning.

Files that end too soon (`cut_short`) are distinguished from those whose numbers contradict each other (`contradicts`): a
wrong header, or a packet that was damaged and skipped. Each format is checked by what it offers: sizes of chunks, chains of
packets, checksums of pages (`chunks`, `packets`). Sizes that writers to a pipe put in for "unknown" don't count as a cut.
"""

from pathlib import Path
from typing import BinaryIO

from musiclime_torch.song.audio.chunks import find_second, goes_on, lay_out
from musiclime_torch.song.audio.links import read_ogg, split_flac
from musiclime_torch.song.audio.mpeg import Stream, Streams, read_mp3
from musiclime_torch.song.audio.packets import chain_ac3, chain_adts, last_flac_frame, measure_matroska, skip_id3

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
