"""Counting the packets of compressed sound, each by its own head: raw AAC, AC-3, the last one of flac, Matroska.

Decoders skip what is damaged and say nothing; a chain of packets that doesn't reach the end of the file gives it away.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float

Block = Float[np.ndarray, "channel frame"]

#: What taggers append to the sound.
TAGS = (b"TAG", b"APETAGEX", b"LYRICS", b"ID3", b"3DI")
#: Bytes of damage after which the first packet is still looked for, and packets in a row that confirm it.
REACH, _ENOUGH = 1 << 16, 3


class Packet(NamedTuple):
    """What a packet's head says: its bytes, its frames of sound, of which kind it is, and whether it opens a stream.

    Packets of one stream are of one `kind`: one version, rate and number of channels.
    """

    bytes: int
    frames: int
    kind: int = 0
    opens: bool = False


#: What the head of a packet at a position says, None if it isn't one.
_Measure = Callable[[bytes, int], Packet | None]


@dataclass(frozen=True)
class Span:
    """Packets in a row, without a tag between them: from byte `start` to `end`, past the file's where the last is cut."""

    start: int
    end: int
    packets: int
    frames: int


@dataclass(frozen=True)
class Chain:
    """All packets of a file; `broken` is the first byte that is neither a packet, a tag nor padding, None without one."""

    spans: tuple[Span, ...]
    broken: int | None = None

    @property
    def frames(self) -> int:
        """Frames in all packets."""
        return sum(span.frames for span in self.spans)


def chain_ac3(file: BinaryIO) -> Chain | None:
    """The frames of an AC-3 or E-AC-3 stream; None without one."""
    return follow(read_whole(file), _measure_ac3, b"\x0b")


def chain_adts(file: BinaryIO) -> Chain | None:
    """The frames of a raw AAC stream; None without one."""
    return follow(read_whole(file), _measure_adts)


def follow(data: bytes, measure: _Measure, sync: bytes = b"\xff") -> Chain | None:
    """All packets in the data, in streams of which each begins behind a tag or with a packet that opens it."""
    start = _skip_tags(data, 0)
    first = _find_first(data, start, measure, sync)
    if first is None:
        return None
    spans: list[Span] = []
    here: int | None = first
    while here is not None:
        spans += _follow_spans(data, here, measure)
        behind = _skip_tags(data, spans[-1].end)
        here = behind if behind > spans[-1].end and _is_confirmed(data, behind, measure) else None
    # The chain has ended. What follows may be tags or zeros; anything else is damage, and the decoder may have skipped it.
    rest = data[behind : behind + 4096]
    junk = len(rest) > 4 and bool(rest.strip(b"\0")) and not rest.startswith(TAGS)
    return Chain(tuple(spans), start if first > start else behind if junk else None)


def _follow_spans(data: bytes, here: int, measure: _Measure) -> list[Span]:
    spans, start, packets, frames, kind = [], here, 0, 0, None
    while packet := measure(data, here):
        if packets and (packet.opens or (packet.kind != kind and _is_confirmed(data, here, measure, packet.kind))):
            spans.append(Span(start, here, packets, frames))
            start, packets, frames = here, 0, 0
        kind = packet.kind if not packets else kind
        here, packets, frames = here + packet.bytes, packets + 1, frames + packet.frames
    return [*spans, Span(start, here, packets, frames)]


def _find_first(data: bytes, start: int, measure: _Measure, sync: bytes) -> int | None:
    here = start
    while (here := data.find(sync, here, start + REACH)) >= 0:
        if _is_confirmed(data, here, measure):
            return here
        here += 1
    return None


def _is_confirmed(data: bytes, here: int, measure: _Measure, kind: int | None = None) -> bool:
    # A byte 0xFF is no proof: compressed sound is full of them. Three packets whose lengths lead from one to the next are,
    # and so is a shorter chain that ends with the file.
    count = 0
    while count < _ENOUGH and (packet := measure(data, here)) and kind in (None, packet.kind):
        here, count = here + packet.bytes, count + 1
    return count == _ENOUGH or (count > 0 and here >= len(data))


def _skip_tags(data: bytes, here: int) -> int:
    """Where the tags that begin at a position end, and the zeros that taggers leave between them."""
    while here < len(data):
        head = data[here : here + 32]
        if head[:1] == b"\0":
            here += len(data[here : here + REACH]) - len(data[here : here + REACH].lstrip(b"\0"))
        elif head.startswith(b"APETAGEX") and len(head) == 32:
            # The size leaves out a header, and counts a footer; where only that is there, the items were before it.
            here += 32 + (int.from_bytes(head[12:16], "little") if head[23] & 0x20 else 0)
        elif head.startswith(b"LYRICSBEGIN"):
            end = max(data.find(mark, here, here + REACH) for mark in (b"LYRICS200", b"LYRICSEND"))
            here = end + 9 if end > 0 else len(data)
        elif head.startswith(b"TAG"):
            here += 227 if head.startswith(b"TAG+") else 128
        elif (end := skip_id3(data[here : here + 10], here)) > here:
            here = end
        else:
            break
    return min(here, len(data))


def skip_id3(data: bytes, here: int = 0) -> int:
    """Where ID3v2 tags end that begin with the data, which lies at position `here`."""
    at = 0
    while data[at : at + 3] in (b"ID3", b"3DI") and len(tag := data[at : at + 10]) == 10 and max(tag[6:]) <= 127:
        # Sizes in ID3 are "synchsafe": seven bits a byte. Flag 16 announces a footer as long as the header.
        size = (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]) + (10 if tag[5] & 16 else 0)
        at += 10 + (size if tag[:3] == b"ID3" else 0)
    return here + at


def _measure_adts(data: bytes, at: int) -> Packet | None:
    head = data[at : at + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    # The 13 bits of a packet's length lie across three bytes; the last two bits count further blocks of 1024 samples.
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return Packet(length, 1024 * ((head[6] & 3) + 1)) if length >= 7 else None


def _measure_ac3(data: bytes, at: int) -> Packet | None:
    head = data[at : at + 6]
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return None
    rate, code, version = head[4] >> 6, head[4] & 63, head[5] >> 3
    if version > 10:
        # E-AC-3 (ATSC A/52, annex E): the number of words of two bytes, less one; blocks of 256 samples.
        blocks = 6 if rate == 3 else (1, 2, 3, 6)[head[4] >> 4 & 3]
        return Packet(2 * ((head[2] & 7) << 8 | head[3]) + 2, 256 * blocks)
    if rate == 3 or code >= 38:
        return None
    # 1,536 samples of a bit rate in kbit/s (A/52, table 5.18): at 44.1 kHz every other packet is a word longer.
    kbits = _AC3_KBITS[code >> 1]
    words = (2 * kbits, 96_000 * kbits // 44_100 + (code & 1), 3 * kbits)[rate]
    return Packet(2 * words, 1536)


_AC3_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def last_flac_frame(file: BinaryIO) -> int | None:
    """The frame after the last that a flac holds, by the head of its last packet; None if it can't be determined."""
    file.seek(0)
    head = file.read(42)
    if head[:4] != b"fLaC" or len(head) < 42:
        return None
    block = struct.unpack(">H", head[8:10])[0]
    file.seek(0, 2)
    # The last 256 KiB hold the last packet: at most 65,535 samples, of which most writers put 4,096 into one.
    file.seek(max(file.tell() - (1 << 18), 42))
    data = file.read()
    here = len(data)
    while (here := data.rfind(b"\xff", 0, here)) >= 0:
        frame = _read_flac_head(data[here : here + 16], block)
        # Sync bits occur by chance; a head and a whole packet whose checksums both hold do not.
        if frame is not None and _crc(data[here:-2], 0x8005, 16) == int.from_bytes(data[-2:], "big"):
            return frame
    return None


def _read_flac_head(head: bytes, block: int) -> int | None:
    """First frame after a packet (RFC 9639, 9.1)."""
    if len(head) < 8 or head[1] & 0xFE != 0xF8 or head[3] & 1 or not head[2] >> 4:
        return None
    # The frame or sample number is coded as in UTF-8: the leading ones of its first byte count the bytes.
    extra = max(8 - (head[4] ^ 0xFF).bit_length() - 1, 0)
    number = head[4] & (0x7F >> extra)
    for byte in head[5 : 5 + extra]:
        number = number << 6 | byte & 0x3F
    at, size, rate = 5 + extra, head[2] >> 4, head[2] & 15
    if size in (6, 7):
        width = size - 5
        length = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    else:
        # Block sizes by code (RFC 9639, 9.1.1): 192; 576 × 2^(code − 2); 256 × 2^(code − 8).
        length = 192 if size == 1 else 144 << size if size < 6 else 1 << size
    at += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if at >= len(head) or _crc(head[:at], 0x07, 8) != head[at]:
        return None
    return (number if head[1] & 1 else number * block) + length


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    crc, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ (polynomial if crc & top else 0)) & mask
    return crc


def measure_matroska(file: BinaryIO) -> int | None:
    """Bytes that a Matroska or WebM file promises, None where it doesn't say."""
    file.seek(0)
    head = file.read(4096)
    if head[:4] != b"\x1a\x45\xdf\xa3":
        return None
    size, at = _read_length(head, 4)
    if size is None or head[at + size : at + size + 4] != b"\x18\x53\x80\x67":
        return None
    length, start = _read_length(head, at + size + 4)
    return None if length is None else start + length


def _read_length(data: bytes, at: int) -> tuple[int | None, int]:
    """An EBML length and where it ends; None for the reserved "unknown"."""
    # The leading zeros of the first byte count the bytes that follow it, as in UTF-8 its leading ones do.
    width = 9 - data[at].bit_length() if at < len(data) and data[at] else 0
    if not width or at + width > len(data):
        return None, at
    value = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), at + width


def read_whole(file: BinaryIO) -> bytes:
    """All of a file: what is compressed is small."""
    file.seek(0)
    return file.read()
