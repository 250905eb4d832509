"""mp3 of several encoders and muxers: their packets say how long they are, and whole files are never called damaged."""

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from soundfiles import encode, encode_lame, find_lag, make_noise, write

from musiclime_torch.song.audio.recording import Recording, read_audio

RATE = 44100
FRAMES = RATE


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One second with a LAME header."""
    return write(tmp_path_factory.mktemp("mp3") / "a.mp3", make_noise(1, RATE, 1), RATE).read_bytes()


def read(path: Path, data: bytes, **part: float) -> Recording:
    path.write_bytes(data)
    return read_audio(path, max_seconds=60, **part)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [48000, 44100, 32000, 24000, 22050, 16000])
def test_ffmpegs_header_is_intact_whatever_its_checksum_is_taken_over(tmp_path: Path, rate: int, channels: int):
    samples = make_noise(1, rate, channels)
    # At other bit rates the header's packet is shorter than what the checksum is taken over.
    for bits in (None, 64_000, 128_000):
        found = read_audio(encode(tmp_path / "a.mp3", samples, rate, "libmp3lame", "mp3", bits=bits), max_seconds=9)
        assert (found.warnings, found.samples.shape) == ((), samples.shape)
        assert find_lag(found.samples[0].numpy(), samples[0]) == 0


@pytest.mark.parametrize("bit_rate", [128, 64, None])
@pytest.mark.parametrize(("rate", "channels"), list(itertools.product((48000, 44100, 22050, 16000), (1, 2))))
def test_without_a_header_all_packets_are_read_as_ffmpeg_reads_them(
    tmp_path: Path, rate: int, channels: int, bit_rate: int | None
):
    import av

    found = read(tmp_path / "a.mp3", encode_lame(make_noise(1, rate, channels), rate, bit_rate))
    with av.open(str(tmp_path / "a.mp3")) as container:
        resampler = av.AudioResampler(format="flt")
        blocks = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    expected = np.concatenate(blocks, 1).reshape(-1, channels).T
    assert (found.warnings, found.samples.shape) == ((), expected.shape)
    assert np.abs(found.samples.numpy() - expected).max() < 1e-5
    part = read_audio(tmp_path / "a.mp3", max_seconds=9, start=0.5).samples
    assert np.abs(part.numpy() - expected[:, rate // 2 :]).max() < 1e-5


@pytest.mark.parametrize("mux", [{"write_xing": "0"}, {"write_xing": "0", "id3v2_version": "0"}, {"write_id3v1": "1"}])
def test_muxers_options_change_nothing(tmp_path: Path, mux: dict[str, str]):
    found = read_audio(encode(tmp_path / "a.mp3", make_noise(1, RATE), RATE, "libmp3lame", "mp3", **mux), max_seconds=9)
    assert found.warnings == ()
    assert found.samples.shape[-1] in (FRAMES, 40 * 1152)


@pytest.mark.parametrize("count", [0, 20, 137_813])
@pytest.mark.parametrize("size", [None, 0, 57_000_000])
def test_a_header_of_nothing_or_of_an_hour_is_overruled_by_the_packets(
    tmp_path: Path, tagged: bytes, count: int, size: int | None
):
    at = tagged.index(b"Xing")
    data = bytearray(tagged)
    data[at + 8 : at + 12] = struct.pack(">I", count)
    if size is not None:
        data[at + 12 : at + 16] = struct.pack(">I", size)
    found = read(tmp_path / "a.mp3", bytes(data))
    assert found.samples.shape[-1] == FRAMES
    assert found.warnings == ()


def test_a_part_of_a_longer_song_that_keeps_its_header_is_told(tmp_path: Path, tagged: bytes):
    # Without the number of bytes, and cut between two packets: the number of packets alone is left to tell.
    at = tagged.index(b"Xing")
    data = bytearray(tagged[: tagged.rindex(b"\xff\xfb")])
    del data[at + 12 : at + 16]
    data[at + 7] &= ~2
    data[417 - 4 : 417 - 4] = bytes(4)
    found = read(tmp_path / "a.mp3", bytes(data))
    assert "may be a part of a longer song" in found.warnings[0]
    # LAME's delay is 576 frames, and the padding went with the last packet.
    assert found.samples.shape[-1] == 39 * 1152 - 576 - 529


def test_a_header_without_lames_extension_takes_nothing_off(tmp_path: Path):
    body = encode_lame(make_noise(1, RATE, 1), RATE)
    head = body[:2] + bytes([body[2] & ~2]) + body[3:4]
    header = (head + bytes(17) + b"Xing" + struct.pack(">II", 1, len(body) // 417)).ljust(417, b"\0")
    found = read(tmp_path / "a.mp3", header + body)
    assert (found.warnings, found.samples.shape[-1]) == ((), len(read(tmp_path / "b.mp3", body).samples[0]))


def test_a_delay_that_was_changed_is_doubted_and_not_called_damage(tmp_path: Path, tagged: bytes):
    data = bytearray(tagged)
    data[tagged.index(b"Xing") + 141] ^= 0x40
    warning = read(tmp_path / "a.mp3", bytes(data)).warnings[0]
    assert "fails its checksum" in warning
    assert "damaged" not in warning


def tag_id3() -> bytes:
    return b"ID3\x04\0\0\0\0\x02\x10" + bytes(2 * 128 + 16)


TAGS = {
    "nothing": b"",
    "id3v2": tag_id3(),
    "id3v1": b"TAG" + bytes(125),
    "ape": b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 9, 1, 0xA000_0000) + bytes(8) + b"x" * 9
    + b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 9, 1, 0x8000_0000) + bytes(8),
    "lyrics3": b"LYRICSBEGINLYR00005hello000024LYRICS200TAG" + bytes(125),
    "id3v1 enhanced": b"TAG+" + b"x" * 223 + b"TAG" + bytes(125),
    "zeros": bytes(700),
    "several": b"TAG" + bytes(125) + tag_id3(),
}  # fmt: skip


@pytest.mark.parametrize("tag", TAGS.values(), ids=TAGS)
def test_joined_files_are_read_one_behind_the_other_whatever_lies_between(tmp_path: Path, tagged: bytes, tag: bytes):
    bare = encode_lame(make_noise(1, RATE, 1), RATE)
    one, other = (read(tmp_path / "a.mp3", data).samples for data in (tagged, bare))
    # Without a header or a tag nothing tells where a stream begins, but that it has another rate or more channels.
    found = read(tmp_path / "b.mp3", tag_id3() + bare + tag + tagged + tag + tagged + tag)
    assert found.warnings == ()
    assert np.array_equal(found.samples, np.concatenate([other, one, one], 1))
    part = read_audio(tmp_path / "b.mp3", max_seconds=9, start=0.75, end=2.25).samples
    np.testing.assert_allclose(part, found.samples[:, 3 * RATE // 4 : 9 * RATE // 4], rtol=0, atol=1e-6)
    cut = read(tmp_path / "b.mp3", tagged + tag + tagged[:-50])
    assert "was cut short" in cut.warnings[0]


def test_mono_behind_stereo_is_in_both_channels(tmp_path: Path):
    parts = [encode_lame(make_noise(1, RATE, channels), RATE) for channels in (2, 1)]
    found = read(tmp_path / "a.mp3", b"".join(parts))
    assert found.warnings == ()
    half = found.samples.shape[1] // 2
    assert found.samples.shape == (2, 2 * len(read(tmp_path / "b.mp3", parts[1]).samples[0]))
    assert np.array_equal(found.samples[0, half:], found.samples[1, half:])


def test_layer_two_and_the_first_packets_of_a_radio_are_read_to_their_end(tmp_path: Path):
    path = encode(tmp_path / "a.mp2", make_noise(1, RATE), RATE, "mp2", "mp2")
    assert read_audio(path, max_seconds=9).warnings == ()
    assert soundfile.info(path).format == "MP3"


@pytest.mark.parametrize("bit_rate", [128, None])
def test_a_recording_that_begins_within_a_packet_is_not_called_damaged(tmp_path: Path, bit_rate: int | None):
    whole = encode_lame(make_noise(1, RATE), RATE, bit_rate)
    frames = read(tmp_path / "a.mp3", whole).samples.shape[-1]
    found = read(tmp_path / "a.mp3", whole[100:])
    assert "begins within a packet" in found.warnings[0]
    assert "damaged" not in found.warnings[0]
    assert found.samples.shape[-1] == frames - 1152
