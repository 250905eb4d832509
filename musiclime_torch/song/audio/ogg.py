"""The pages of Ogg files (RFC 3533): their checksums, their ends, and the streams that lie one behind the other."""

import zlib
from dataclasses import dataclass
from typing import BinaryIO

from musiclime_torch.song.audio.packets import REACH, TAGS

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
