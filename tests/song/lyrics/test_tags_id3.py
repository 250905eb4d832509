"""ID3v2 by hand, in the forms that mutagen doesn't write."""

import struct
import zlib

from musiclime_torch.song.lyrics.tags import Timed, read_frames


def tag(version: int, body: bytes, flags: int = 0) -> bytes:
    size = len(body)
    return b"ID3" + bytes([version, 0, flags, size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + body


def frame(name: bytes, content: bytes, flags: bytes = b"\0\0") -> bytes:
    return name + struct.pack(">I", len(content)) + flags + content


TEXT = b"\0eng\0" + "señor".encode("latin-1")


def test_version_2_2_has_shorter_names():
    body = b"ULT" + len(TEXT).to_bytes(3, "big") + TEXT
    assert list(read_frames(tag(2, body))) == [("USLT", "señor")]


def test_unsynchronisation_compression_and_extended_headers():
    whole = frame(b"USLT", b"\0eng\0" + b"\xff\xe0la")
    assert list(read_frames(tag(3, whole.replace(b"\xff", b"\xff\0"), 0x80))) == [("USLT", "ÿàla")]
    packed = frame(b"USLT", struct.pack(">I", len(TEXT)) + zlib.compress(TEXT), b"\0\x80")
    assert list(read_frames(tag(3, packed))) == [("USLT", "señor")]
    assert list(read_frames(tag(3, struct.pack(">I", 6) + bytes(6) + frame(b"USLT", TEXT), 0x40))) == [("USLT", "señor")]
    assert list(read_frames(tag(3, frame(b"USLT", TEXT, b"\0\x40") + frame(b"USLT", TEXT)))) == [("USLT", "señor")]


def test_utf_16_without_a_mark_behind_the_first_text():
    content = b"\x01eng\x02\x01" + b"\xff\xfe\0\0" + "la".encode("utf-16-le") + b"\0\0" + struct.pack(">I", 900)
    assert list(read_frames(tag(3, frame(b"SYLT", content)))) == [("SYLT", Timed((("la", 0.9),)))]


def test_sizes_of_old_writers_and_damage_end_the_tag():
    # iTunes wrote plain sizes into tags of version 2.4; a byte above 127 gives them away.
    text = b"\0eng\0" + b"x" * 200
    assert list(read_frames(tag(4, frame(b"USLT", text)))) == [("USLT", "x" * 200)]
    assert list(read_frames(b"ID3")) == []
    assert list(read_frames(tag(9, b""))) == []
