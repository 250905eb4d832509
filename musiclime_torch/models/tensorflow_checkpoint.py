"""TensorFlow's checkpoint bundles read without TensorFlow: an index of names (a LevelDB table) and a file of raw tensors.

Written after the formats' public descriptions: LevelDB's table_format.md, and tensor_bundle.proto of TensorFlow.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from musiclime_torch.basics.errors import InputError

#: The last eight bytes of every LevelDB table.
_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
#: Little-endian types by their number in TensorFlow's types.proto.
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}


def read_bundle(prefix: str) -> dict[str, np.ndarray]:
    """All tensors of `prefix`.index and `prefix`.data-00000-of-00001, by name. InputError where they are none."""
    index, data = (Path(f"{prefix}{end}") for end in (".index", ".data-00000-of-00001"))
    try:
        table, raw = index.read_bytes(), data.read_bytes()
        if table[-8:] != _MAGIC:
            raise ValueError("no table")
        return dict(_read_tensors(table, raw))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{prefix!r} can't be read as a TensorFlow checkpoint ({error}).") from error


def _read_tensors(table: bytes, raw: bytes) -> Iterator[tuple[str, np.ndarray]]:
    footer, place = table[-_FOOTER:], 0
    # A LevelDB footer holds two handles (offset and size): that of the meta index, then that of the index. The index's
    # values are the handles of the data blocks, and a data block's values are BundleEntry messages.
    for _ in range(2):  # past the handle of the meta index, of no use here
        _, place = _varint(footer, place)
    for _, handle in _read_block(table, footer[place:]):
        for key, value in _read_block(table, handle):
            if key:  # the empty one holds the bundle's header
                yield key.decode(), _read_tensor(_read_fields(value), raw)


def _read_tensor(entry: dict[int, list[int | bytes]], raw: bytes) -> np.ndarray:
    # BundleEntryProto: 1 dtype, 2 shape (of which 2 repeats dim, and of dim 1 is size), 4 offset, 5 size.
    dimensions = [_read_fields(part) for part in _read_fields(_bytes(entry.get(2, [b""])[0])).get(2, [])]
    shape = [_number(sizes.get(1, [0])[0]) for sizes in dimensions]
    start, size = (_number(entry.get(field, [0])[0]) for field in (4, 5))
    return np.frombuffer(raw[start : start + size], _TYPES[_number(entry[1][0])]).reshape(shape)


def _read_block(table: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block a handle points to. Keys share a beginning with the one before."""
    start, place = _varint(handle, 0)
    size, _ = _varint(handle, place)
    if table[start + size] != 0:
        raise ValueError("compressed blocks aren't supported")
    block = table[start : start + size]
    # Entries end where the restart points begin, an array of 32-bit offsets with its length as the last of them.
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    key, place = b"", 0
    while place < end:
        shared, place = _varint(block, place)
        fresh, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + fresh]
        place += fresh
        yield key, block[place : place + length]
        place += length


def _read_fields(message: int | bytes) -> dict[int, list[int | bytes]]:
    """A protocol buffer's fields by number: integers, and bytes of what is nested."""
    message, place = _bytes(message), 0
    fields: dict[int, list[int | bytes]] = {}
    while place < len(message):
        tag, place = _varint(message, place)
        value: int | bytes
        # The low three bits are the wire type: 0 a varint, 2 bytes with their length, 1 and 5 numbers of fixed width.
        if tag & 7 == 0:
            value, place = _varint(message, place)
        elif tag & 7 == 2:
            length, place = _varint(message, place)
            value, place = message[place : place + length], place + length
        else:
            width = {1: 8, 5: 4}[tag & 7]
            value, place = message[place : place + width], place + width
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("a number where a message should be")


def _number(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    raise ValueError("a message where a number should be")
