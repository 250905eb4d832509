"""Streams that lie one behind the other in one file."""

from pathlib import Path

import numpy as np
import pytest
from soundfiles import encode, make_noise, write

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.recording import read_audio

TAG = b"TAG" + bytes(125)


def write_ogg(path: Path, seconds: float, subtype: str, rate: int = 48000, channels: int = 1) -> bytes:
    if subtype == "ffmpeg":
        return encode(path, make_noise(seconds, rate, channels), rate, "libopus", "ogg").read_bytes()
    if subtype == "flac":
        return encode(path, make_noise(seconds, rate, channels), rate, "flac", "ogg").read_bytes()
    return write(path, make_noise(seconds, rate, channels), rate, format="OGG", subtype=subtype).read_bytes()


@pytest.mark.parametrize("between", [b"", TAG], ids=["bare", "tagged"])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS", "ffmpeg", "flac"])
def test_every_link_of_a_chained_ogg_is_read(tmp_path: Path, subtype: str, between: bytes):
    parts = [write_ogg(tmp_path / f"{seconds}.ogg", seconds, subtype) for seconds in (1.0, 0.5, 1.5)]
    (tmp_path / "chained.ogg").write_bytes(between.join(parts))
    found = read_audio(tmp_path / "chained.ogg", max_seconds=9)
    assert (found.warnings, found.samples.shape) == ((), (1, 3 * 48000))
    alone = [read_audio(tmp_path / f"{seconds}.ogg", max_seconds=9).samples for seconds in (1.0, 0.5, 1.5)]
    assert np.array_equal(found.samples, np.concatenate(alone, 1))
    if subtype != "flac":
        part = read_audio(tmp_path / "chained.ogg", max_seconds=9, start=0.9, end=1.6).samples
        np.testing.assert_allclose(part, found.samples[:, 43200:76800], atol=2e-2)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_chain_that_lacks_an_end_is_told(tmp_path: Path, subtype: str):
    whole = write_ogg(tmp_path / "a.ogg", 1, subtype)
    last = whole.rindex(b"OggS")
    for data in (whole + whole[:-40], whole + whole[:last], whole[:last] + whole):
        (tmp_path / "b.ogg").write_bytes(data)
        assert (
            "was cut short: one of its Ogg streams has no end" in read_audio(tmp_path / "b.ogg", max_seconds=9).warnings[0]
        )
    damaged = bytearray(whole + whole)
    damaged[-1] ^= 1
    (tmp_path / "b.ogg").write_bytes(damaged)
    assert "fails its checksum" in read_audio(tmp_path / "b.ogg", max_seconds=9).warnings[0]


def test_links_of_other_channels_and_rates(tmp_path: Path):
    mono, stereo, slow = (
        write_ogg(tmp_path / "a.ogg", 1, "VORBIS", rate, channels) for rate, channels in ((48000, 1), (48000, 2), (24000, 1))
    )
    (tmp_path / "b.ogg").write_bytes(mono + stereo)
    assert read_audio(tmp_path / "b.ogg", max_seconds=9).samples.shape == (2, 96000)
    (tmp_path / "c.ogg").write_bytes(mono + slow)
    with pytest.raises(InputError, match="changes its sample rate midway"):
        read_audio(tmp_path / "c.ogg", max_seconds=9)
    (tmp_path / "d.ogg").write_bytes(mono * 20)
    with pytest.raises(InputError, match=r"20\.0 s, and 9 s are allowed"):
        read_audio(tmp_path / "d.ogg", max_seconds=9)


def test_joined_flac_files_are_read_one_behind_the_other(tmp_path: Path):
    whole = write(tmp_path / "a.flac", make_noise(1, 8000), 8000).read_bytes()
    (tmp_path / "b.flac").write_bytes(whole + TAG + whole)
    found = read_audio(tmp_path / "b.flac", max_seconds=9)
    assert (found.warnings, found.samples.shape) == ((), (2, 16000))
    (tmp_path / "b.flac").write_bytes(whole + whole[:-100])
    with pytest.raises(InputError, match="cut short"):
        read_audio(tmp_path / "b.flac", max_seconds=9)


@pytest.mark.parametrize("kind", ["wav", "aiff", "m4a", "mka"])
def test_of_other_joined_files_the_second_is_mentioned(tmp_path: Path, kind: str):
    samples = make_noise(1, 44100)
    path = tmp_path / f"a.{kind}"
    if kind in ("wav", "aiff"):
        write(path, samples, 44100)
    else:
        encode(path, samples, 44100, "aac", "mp4" if kind == "m4a" else "matroska")
    assert read_audio(path, max_seconds=9).warnings == ()
    path.write_bytes(2 * path.read_bytes())
    assert "holds another file from byte" in read_audio(path, max_seconds=9).warnings[0]


@pytest.mark.parametrize(
    ("kind", "codec", "muxer"), [("aac", "aac", "adts"), ("ts", "aac", "mpegts"), ("ac3", "ac3", "ac3")]
)
def test_joined_streams_without_a_header_are_read_to_the_end(tmp_path: Path, kind: str, codec: str, muxer: str):
    path = encode(tmp_path / f"a.{kind}", make_noise(1, 44100), 44100, codec, muxer)
    frames = read_audio(path, max_seconds=9).samples.shape[1]
    path.write_bytes(2 * path.read_bytes())
    found = read_audio(path, max_seconds=9)
    assert (found.samples.shape[1], found.warnings) == (2 * frames, ())
