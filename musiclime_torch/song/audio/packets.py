"""Counting the packets of compressed sound, each by its own head: mp3, raw AAC, the last one of flac, Ogg pages, Matroska.

Decoders skip what is damaged and say nothing; a chain of packets that doesn't reach the end of the file gives it away.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

_KBITS = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_RATES = (44100, 48000, 32000)
#: What taggers append to the sound.
_TAGS = (b"TAG", b"APETAGEX", b"LYRICS", b"ID3", b"3DI")


#: Bytes of damage after which the first packet is still looked for, and packets in a row that confirm it.
_REACH, _ENOUGH = 1 << 16, 3

#: Head of a packet -> its bytes and its frames of sound, None if it isn't one.
_Measure = Callable[[bytes], tuple[int, int] | None]


@dataclass(frozen=True)
class Chain:
    """Packets in a row: `frames` they hold, and the bytes up to their `end`, past the file's own where the last is cut.

    `broken` is the first byte that is neither a packet, a tag nor padding, None without one. `declared` is a
    header's own number of frames, None without one, `promised` the bytes up to the end by that header, `sound` whether its
    checksum holds.
    """

    frames: int
    end: int
    broken: int | None = None
    declared: int | None = None
    promised: int = 0
    sound: bool = True


def chain_mp3(file: BinaryIO) -> Chain | None:
    """The frames of an MPEG Layer III stream and its Xing/Info header; None if there is no such stream."""
    data = _read(file)
    first, chain = _follow(data, _measure_mp3)
    return None if chain is None else _add_xing(chain, data, first)


def chain_adts(file: BinaryIO) -> Chain | None:
    """The frames of a raw AAC stream; None without one."""
    return _follow(_read(file), _measure_adts)[1]


def _follow(data: bytes, measure: _Measure) -> tuple[int, Chain | None]:
    """Where the first packet is, and all of them."""
    start = skip_id3(data)
    # Taggers leave zeros between the tag and the first packet.
    start = len(data) - len(data[start:].lstrip(b"\0"))
    first = _find_first(data, start, measure)
    if first is None:
        return start, None
    here, frames = first, 0
    while found := measure(data[here : here + 7]):
        here, frames = here + found[0], frames + found[1]
    # The chain has ended. What follows may be tags or zeros; anything else is damage, and the decoder may have skipped it.
    rest = data[here : here + 4096]
    junk = len(rest) > 4 and not rest.startswith(_TAGS) and bool(rest.strip(b"\0"))
    return first, Chain(frames, here, start if first > start else here if junk else None)


def _find_first(data: bytes, start: int, measure: _Measure) -> int | None:
    here = start
    # A byte 0xFF is no proof: compressed sound is full of them. Three packets whose lengths lead from one to the next are,
    # and so is a shorter chain that ends with the file.
    while (here := data.find(b"\xff", here, start + _REACH)) >= 0:
        there, count = here, 0
        while count < _ENOUGH and (found := measure(data[there : there + 7])):
            there, count = there + found[0], count + 1
        if count == _ENOUGH or (count and there >= len(data)):
            return here
        here += 1
    return None


def skip_id3(data: bytes) -> int:
    """Where the tags at the start of a file end."""
    here = 0
    while data[here : here + 3] == b"ID3" and len(tag := data[here : here + 10]) == 10 and max(tag[6:]) <= 127:
        # Sizes in ID3 are "synchsafe": seven bits a byte. Flag 16 announces a footer as long as the header.
        here += 10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]) + (10 if tag[5] & 16 else 0)
    return here


def _measure_mp3(head: bytes) -> tuple[int, int] | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[1] & 0x18 == 0x08:
        return None
    # 11 sync bits, version (3 is MPEG-1, 2 is MPEG-2, 0 is 2.5), layer 01 = III; then bit rate, sample rate and padding bit.
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    first = version == 3
    if bits in (0, 15) or rate == 3:
        return None
    hertz = _RATES[rate] // (1 if first else 2 if version == 2 else 4)
    # Layer III has 1152 samples a packet (576 below MPEG-1), so its bytes are samples / 8 × bit rate / sample rate.
    return (144 if first else 72) * _KBITS[first][bits] * 1000 // hertz + (head[2] >> 1 & 1), 1152 if first else 576


def _measure_adts(head: bytes) -> tuple[int, int] | None:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    # The 13 bits of a packet's length lie across three bytes; the last two bits count further blocks of 1024 samples.
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return (length, 1024 * ((head[6] & 3) + 1)) if length >= 7 else None


def _add_xing(chain: Chain, data: bytes, first: int) -> Chain:
    """What a Xing/Info header in the first packet says, which then holds no sound."""
    head = data[first : first + 400]
    # The header follows the side information, whose length depends on the MPEG version and the channels.
    mono, span = head[3] & 0xC0 == 0xC0, 1152 if head[1] & 0x18 == 0x18 else 576
    at = 4 + ((17 if mono else 32) if span == 1152 else (9 if mono else 17))
    if head[at : at + 4] not in (b"Xing", b"Info") or len(head) < at + 156:
        return chain
    # Flag 1 announces the number of packets, flag 2 that of bytes. LAME's CRC-16 stands at offset 154 of the header and is
    # taken over everything before it.
    flags, *numbers = struct.unpack(">III", head[at + 4 : at + 16])
    count = numbers.pop(0) if flags & 1 else None
    stored = int.from_bytes(head[at + 154 : at + 156], "big")
    return replace(
        chain,
        frames=chain.frames - span,
        declared=None if count is None else count * span,
        promised=first + numbers[0] if flags & 2 else 0,
        sound=not stored or stored == _crc16_arc(head[: at + 154]),
    )


def _crc16_arc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


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


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def chain_ogg(file: BinaryIO, size: int) -> Chain:
    """The pages of an Ogg file (RFC 3533) up to one that is incomplete or whose checksum fails; `sound` is its end flag."""
    here, last = 0, 0
    while True:
        file.seek(here)
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            # After the last page come tags, zeros or nothing.
            return Chain(0, here, sound=bool(last & 4) and not head.startswith(b"OggS"))
        lengths = file.read(head[26])
        body = file.read(sum(lengths))
        if here + 27 + head[26] + sum(lengths) > size:
            return Chain(0, here, sound=False)
        if _checksum(head[:22] + bytes(4) + head[26:] + lengths + body) != int.from_bytes(head[22:26], "little"):
            return Chain(0, here, broken=here)
        here, last = here + 27 + len(lengths) + len(body), head[5]


def _checksum(page: bytes) -> int:
    """Ogg's CRC: that of zlib with the bits of every byte, and of the result, the other way round."""
    # zlib reads bits from the lowest, starts from all ones and inverts the result; Ogg does none of that. Undoing all three
    # is a hundred times faster than a loop over the bytes.
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2)


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


def _read(file: BinaryIO) -> bytes:
    """All of a file: what is compressed is small."""
    file.seek(0)
    return file.read()
