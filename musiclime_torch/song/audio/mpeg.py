"""The packets of MPEG audio, Layer III (mp3) and II (mp2), and what their Xing, Info or VBRI headers say of them.

A file may hold several streams, one behind the other: joined files, recordings of a radio. Each has a header of its own, or
none, and only the packets tell how long it is. A header's checksum is LAME's, over what is before it, or FFmpeg's, over the
packet's first 190 bytes; they differ unless the stream is stereo MPEG-1.
"""

import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from musiclime_torch.song.audio.packets import Packet, Span, follow, read_whole

_KBITS = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
#: Of Layer II, which shares Layer III's below MPEG-1.
_KBITS_2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_RATES = (44100, 48000, 32000)
#: Frames by which every decoder of Layer III is late; gapless decoders take them off with the encoder's own delay.
_DECODER_DELAY = 529
#: Bytes of the longest packet, and of its padding: 320 kbit/s at 32 kHz.
_LONGEST = 1441


@dataclass(frozen=True)
class Header:
    """What the packet in front of the sound says: the number of packets and of bytes (0 where it doesn't).

    `delay` and `padding` are the frames that the encoder put in front and behind, said by a `gapless` header only;
    `intact` is whether its checksum holds, which stands `at` a position in the packet.
    """

    packets: int
    bytes: int
    gapless: bool = False
    delay: int = 0
    padding: int = 0
    intact: bool = True
    at: int = 0


@dataclass(frozen=True)
class Stream:
    """One stream of packets: its first byte, and those of its sound, which has `frames` frames in packets of `size`.

    A last packet that isn't there as a whole counts for `end`, not for `frames`.
    """

    start: int
    first: int
    end: int
    frames: int
    size: int
    header: Header | None

    @property
    def missing(self) -> int:
        """Packets that the header promises and that aren't there."""
        return max(0, (self.header.packets if self.header else 0) - self.frames // self.size)

    @property
    def heard(self) -> int:
        """Frames that a gapless decoder gives: without delay and padding, where a header says how long they are."""
        if self.header is None or not self.header.gapless:
            return self.frames
        # The padding includes the decoder's delay. Where the end is missing, so is the padding.
        behind = 0 if self.missing else max(self.header.padding - _DECODER_DELAY, 0)
        return max(0, self.frames - self.header.delay - _DECODER_DELAY - behind)


@dataclass(frozen=True)
class Streams:
    """All streams of a file; `broken` is the first byte that is neither a packet, a tag nor padding, None without one.

    `layer` is 3, or 2, which has neither headers nor delays.
    """

    streams: tuple[Stream, ...]
    data: bytes
    layer: int = 3
    broken: int | None = None

    @property
    def frames(self) -> int:
        """Frames in all packets."""
        return sum(stream.frames for stream in self.streams)

    @property
    def begins_within(self) -> bool:
        """Whether less than a packet lies before the first, as in recordings of a radio: nothing else is damaged."""
        return self.broken is not None and 0 < self.streams[0].start - self.broken < _LONGEST


def read_mp3(file: BinaryIO) -> Streams | None:
    """All streams of Layer III and II in a file; None if there is none."""
    data = read_whole(file)
    chain = follow(data, _measure)
    if chain is None:
        return None
    layer = 3 if data[chain.spans[0].start + 1] & 6 == 2 else 2
    return Streams(tuple(_read_stream(data, span) for span in chain.spans), data, layer, chain.broken)


def rewrite(data: bytes, stream: Stream) -> bytes:
    """One stream as a file whose header says how many packets there are, and what its own says of delay and padding.

    Without such a header libsndfile guesses the length from the first packets, and ends there.
    """
    body = data[stream.first : stream.end]
    count, header = stream.frames // stream.size, stream.header
    known = header is not None and header.gapless
    if header is not None and header.gapless:
        # A part that ends too soon has no padding to take off.
        delay, padding = header.delay, 0 if stream.missing else header.padding
    else:
        # mpg123 takes its own delay off any stream with a header. A silent packet in front, and a delay that fills it up,
        # leave exactly the sound of the packets, as they are without a header.
        count, delay, padding = count + 1, stream.size - _DECODER_DELAY, 0
    packet = _make_silence(body, roomy=True)
    numbers = b"Info" + struct.pack(">II", 1, count) + b"LAME3.100".ljust(21, b"\0")
    numbers += (delay << 12 | padding).to_bytes(3, "big")
    at = _place_header(packet)
    packet[at : at + len(numbers)] = numbers
    return bytes(packet if known else packet + _make_silence(body, roomy=False)) + body


def _make_silence(like: bytes, roomy: bool) -> bytearray:
    """A packet of silence of the same kind, with room for a header where it is `roomy`, else the shortest."""
    first = like[1] & 0x18 == 0x18
    # 128 or 64 kbit/s are long enough at every rate; index 1 is the lowest.
    bits = (9 if first else 8) if roomy else 1
    # The lowest bit of the second byte says that no checksum follows; the padding bit is left out.
    head = bytes([like[0], like[1] | 1, bits << 4 | like[2] & 0x0C, like[3] & 0xC0])
    packet = _measure(head, 0)
    assert packet is not None
    return bytearray(head.ljust(packet.bytes, b"\0"))


def _measure(data: bytes, at: int) -> Packet | None:
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[1] & 6 not in (2, 4) or head[1] & 0x18 == 0x08:
        return None
    # 11 sync bits, version (3 is MPEG-1, 2 is MPEG-2, 0 is 2.5), layer 01 = III, 10 = II; bit rate, rate, padding bit.
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    first = version == 3
    if bits in (0, 15) or rate == 3:
        return None
    hertz = _RATES[rate] // (1 if first else 2 if version == 2 else 4)
    if head[1] & 6 == 4:
        kbits = _KBITS_2[bits] if first else _KBITS[0][bits]
        return Packet(144_000 * kbits // hertz + (head[2] >> 1 & 1), 1152, 16 | version << 3 | rate << 1)
    # Layer III has 1152 samples a packet (576 below MPEG-1), so its bytes are samples / 8 × bit rate / sample rate.
    size = (144 if first else 72) * _KBITS[first][bits] * 1000 // hertz + (head[2] >> 1 & 1)
    named = data[at + 4 : at + 44]
    kind = version << 3 | rate << 1 | (head[3] & 0xC0 == 0xC0)
    return Packet(size, 1152 if first else 576, kind, b"Xing" in named or b"Info" in named or named[32:36] == b"VBRI")


def _place_header(packet: bytes | bytearray) -> int:
    """Where a Xing header is: behind the side information, whose length depends on the version and the channels."""
    mono, first = packet[3] & 0xC0 == 0xC0, packet[1] & 0x18 == 0x18
    return 4 + ((17 if mono else 32) if first else (9 if mono else 17))


def _read_stream(data: bytes, span: Span) -> Stream:
    size = span.frames // span.packets
    frames = span.frames - (size if span.end > len(data) else 0)
    first = _measure(data, span.start)
    packet = data[span.start : span.start + first.bytes] if first else b""
    header = _read_header(packet)
    if header is None:
        return Stream(span.start, span.start, span.end, frames, size, None)
    frames -= size
    if not header.intact:
        # Where the checksum holds for the numbers that are true, nothing but these was changed.
        true = _write_numbers(packet, frames // size, span.end - span.start)
        header = replace(header, packets=frames // size, bytes=0, intact=True) if _is_intact(true, header.at) else header
    return Stream(span.start, span.start + len(packet), span.end, frames, size, header)


def _write_numbers(packet: bytes, count: int, size: int) -> bytes:
    """A header's packet with other numbers of packets and of bytes, if it has both."""
    at = _place_header(packet) + 8
    return packet[:at] + struct.pack(">II", count, size) + packet[at + 8 :] if packet[at - 1] & 3 == 3 else packet


def _read_header(packet: bytes) -> Header | None:
    """A Xing, Info or VBRI header; its packet holds no sound."""
    at = _place_header(packet.ljust(4, b"\0"))
    if packet[36:40] == b"VBRI" and len(packet) >= 54:
        # Fraunhofer's: version, delay and quality of two bytes each, then the bytes and the packets.
        size, count = struct.unpack(">II", packet[46:54])
        return Header(count, size)
    if packet[at : at + 4] not in (b"Xing", b"Info") or len(packet) < at + 8:
        return None
    # Flag 1 announces the number of packets, flag 2 that of bytes, 4 a table of 100 bytes, 8 a quality: each in its turn.
    flags = packet[at + 7]
    here, numbers = at + 8, []
    for flag, size in ((1, 4), (2, 4), (4, 100), (8, 4)):
        numbers.append(int.from_bytes(packet[here : here + size], "big") if flags & flag else 0)
        here += size if flags & flag else 0
    # LAME's extension begins with the encoder's name (LAME, Lavf, ...); older headers have zeros or sound there.
    if len(packet) < here + 36 or not packet[here : here + 4].isalnum():
        return Header(numbers[0], numbers[1])
    # Twelve bits each: the encoder's delay, and what fills up the last packet, which includes the decoder's delay.
    both = int.from_bytes(packet[here + 21 : here + 24], "big")
    return Header(numbers[0], numbers[1], True, both >> 12, both & 0xFFF, _is_intact(packet, here + 34), here + 34)


def _is_intact(packet: bytes, at: int) -> bool:
    stored = int.from_bytes(packet[at : at + 2], "big")
    # LAME takes the sum over all in front of it; FFmpeg over 190 bytes wherever the header is, its own place still zero, and
    # over zeros behind a packet that is shorter.
    blank = (packet[:at] + b"\0\0" + packet[at + 2 :]).ljust(190, b"\0")[:190]
    return not stored or stored in (_sum(packet[:at]), _sum(blank))


def _sum(data: bytes) -> int:
    """CRC-16/ARC."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
