"""Reading sound: formats, parts, and what is refused."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings, strategies as st
from soundfiles import make_noise, write, write_mp4

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.recording import Recording, read_audio

RATE = 44100
#: Suffix, how to write it, and the largest error a codec may make on smooth noise.
FORMATS = {
    "wav": (".wav", {"subtype": "FLOAT"}, 1e-7),
    "wav16": (".wav", {"subtype": "PCM_16"}, 1e-4),
    "flac": (".flac", {}, 1e-4),
    "aiff": (".aiff", {}, 1e-4),
    "ogg": (".ogg", {}, 0.2),
    "opus": (".opus", {"format": "OGG", "subtype": "OPUS"}, 0.2),
    "mp3": (".mp3", {}, 0.2),
    "m4a": (".m4a", {}, 0.2),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    written = {}
    for name, (suffix, how, _) in FORMATS.items():
        samples = make_noise(3, 48000 if name == "opus" else RATE)
        path = folder / (name + suffix)
        written[name] = (
            write_mp4(path, [samples], RATE)
            if name == "m4a"
            else write(path, samples, 48000 if name == "opus" else RATE, **how)
        )
    return written


@pytest.mark.parametrize("name", FORMATS)
def test_formats_keep_rate_length_and_sound(files: dict[str, Path], name: str):
    rate = 48000 if name == "opus" else RATE
    recording = read_audio(files[name], max_seconds=10)
    assert (recording.sample_rate, recording.samples.shape) == (rate, (2, 3 * rate))
    assert (recording.samples.dtype, recording.offset, recording.warnings) == (torch.float32, 0.0, ())
    # In time to the frame: an encoder's delay would be noise against noise.
    error = recording.samples - torch.from_numpy(make_noise(3, rate))
    assert error.abs().max() < FORMATS[name][2]
    assert error.square().mean() < 0.04 * recording.samples.square().mean()


@pytest.mark.parametrize("name", FORMATS)
@given(start=st.floats(0, 2.9), length=st.floats(0.01, 3))
@settings(max_examples=12, deadline=None)
def test_a_part_is_a_slice_of_the_whole(files: dict[str, Path], name: str, start: float, length: float):
    whole = read_audio(files[name], max_seconds=10)
    end = min(3.0, start + length)
    part = read_audio(files[name], max_seconds=10, start=start, end=end)
    first, stop = round(start * whole.sample_rate), round(end * whole.sample_rate)
    # Opus settles on the exact values some way into a part; AAC fills bands with noise of its decoder's own.
    tolerance = {"opus": 2e-2, "m4a": 2e-2}.get(name, 1e-6)
    torch.testing.assert_close(part.samples, whole.samples[:, first:stop], rtol=0, atol=tolerance)
    assert part.offset == first / whole.sample_rate


def test_hashes_tell_samples_and_rates_apart(tmp_path: Path):
    samples = make_noise(0.1, 8000)
    one = read_audio(write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT"), max_seconds=1)
    same = read_audio(write(tmp_path / "b.aiff", samples, 8000, subtype="FLOAT"), max_seconds=1)
    faster = read_audio(write(tmp_path / "c.wav", samples, 16000, subtype="FLOAT"), max_seconds=1)
    samples[0, 5] += 1e-6
    other = read_audio(write(tmp_path / "d.wav", samples, 8000, subtype="FLOAT"), max_seconds=1)
    assert one.content_hash == same.content_hash
    assert len({one.content_hash, faster.content_hash, other.content_hash}) == 3


def refuse(path: Path, reason: str, **options: float) -> str:
    with pytest.raises(InputError, match=reason) as caught:
        read_audio(path, **{"max_seconds": 10.0, **options})
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def test_what_is_not_a_sound_file(tmp_path: Path):
    (tmp_path / "text.wav").write_text("no sound at all\n" * 100)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nother.m4a\n#EXT-X-ENDLIST\n")
    refuse(tmp_path / "none.wav", "can't be read: No such file")
    refuse(tmp_path, "is a folder")
    refuse(tmp_path / "text.wav", "isn't audio")
    refuse(tmp_path / "empty.wav", "0 bytes")
    refuse(tmp_path / "list.m3u8", "isn't audio")
    refuse(write(tmp_path / "none.wav2", np.zeros((2, 0)), 8000, format="WAV"), "0 frames")
    for name in ("stub.wav", "stub.flac", "stub.mp3", "stub.ogg", "stub.m4a"):
        for head in (b"RIFF", b"fLaC", b"ID3", b"OggS", b"\0\0\0\x18ftypM4A "):
            (tmp_path / name).write_bytes(head)
            refuse(tmp_path / name, repr(name)[1:-1])


def test_parts_outside_the_song(tmp_path: Path):
    path = write(tmp_path / "a.wav", make_noise(2, 8000), 8000)
    assert "5 s" in refuse(path, "start", start=5.0)
    refuse(path, "start .* outside", start=2.0)
    refuse(path, "end .* outside .* 2.00 s", end=3.0)
    refuse(path, "must be before", start=1.0, end=1.0)
    refuse(path, "0 or more", start=-1.0)
    refuse(path, "0 or more", end=float("nan"))
    # Rounded durations, as players show them, are let through.
    assert read_audio(path, max_seconds=10, end=2.04).seconds == 2


def test_the_part_used_counts_against_the_length_allowed(tmp_path: Path):
    path = write(tmp_path / "a.wav", make_noise(2, 8000), 8000)
    assert "2.0 s" in refuse(path, "max_seconds", max_seconds=1.0)
    assert read_audio(path, max_seconds=1, start=0.5, end=1.5).seconds == 1
    assert read_audio(path, max_seconds=1, start=1).seconds == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_sample_that_is_no_number_is_named(tmp_path: Path, bad: float):
    samples = make_noise(70, 8000)
    samples[0, 550_000] = samples[1, 540_000] = bad
    path = write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    refuse(path, "at 67.5000 s in channel 2 of 2", max_seconds=100)
    refuse(path, "at 68.7500 s in channel 1 of 2", max_seconds=100, start=68.0)
    assert read_audio(path, max_seconds=100, end=67.0).samples.isfinite().all()


@pytest.mark.parametrize("rate", [100, 3999, 400_000])
def test_rates_nobody_uses(tmp_path: Path, rate: int):
    refuse(write(tmp_path / "a.wav", make_noise(0.5, rate), rate), "implausible sample rate")


def test_more_than_two_channels_are_averaged(tmp_path: Path):
    samples = make_noise(1, 8000, channels=6)
    recording = read_audio(write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT"), max_seconds=10)
    torch.testing.assert_close(recording.samples, torch.from_numpy(samples.mean(0, keepdims=True)))
    assert "6 channels" in recording.warnings[0]


def test_mono_stays_mono_and_silence_is_sound(tmp_path: Path):
    recording = read_audio(write(tmp_path / "a.flac", np.zeros((1, 4000)), 8000), max_seconds=10)
    assert recording.samples.shape == (1, 4000)
    assert (recording.warnings, recording.samples.abs().max()) == ((), 0)


def test_an_hour_of_silence_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(60):
            file.write(np.zeros(60 * 8000))
    assert path.stat().st_size < 1_000_000
    assert read_audio(path, max_seconds=60, start=3500, end=3510).seconds == 10
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_: pytest.fail("decoded"))
    refuse(path, "3600.0 s")


def test_a_header_that_says_nothing_of_the_length_does_not_lift_the_cap(tmp_path: Path):
    """A flac whose STREAMINFO has 0 for its number of samples is decoded up to the cap, and not further."""
    path = write(tmp_path / "a.flac", make_noise(60, 8000, 1), 8000)
    whole = read_audio(path, max_seconds=60).samples
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert torch.equal(read_audio(path, max_seconds=61).samples, whole)
    refuse(path, "longer than its header says")
    part = read_audio(path, max_seconds=10, start=40.0, end=45.0)
    assert torch.equal(part.samples, whole[:, 320_000:360_000])


def test_a_header_that_promises_hours_costs_no_memory(tmp_path: Path):
    path = write(tmp_path / "a.wav", make_noise(1, 8000, 1), 8000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 2**31 - 100_000)
    path.write_bytes(data)
    assert read_audio(path, max_seconds=10).seconds == 1


def test_a_damaged_m4a_and_one_without_sound(tmp_path: Path):
    path = write_mp4(tmp_path / "a.m4a", [make_noise(2, RATE)], RATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refuse(path, "isn't audio, or is damaged")
    path.write_bytes(whole.replace(b"mp4a", b"zzzz").replace(b"esds", b"free"))
    refuse(path, "can't be decoded")
    import av

    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    refuse(tmp_path / "film.mp4", "no audio")


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_mp4(tmp_path / "a.m4a", [make_noise(0.2, RATE)], RATE)
    monkeypatch.setitem(sys.modules, "av", None)
    refuse(path, r'pip install "musiclime_torch\[av\]"')


def test_other_streams_of_a_container_are_mentioned(tmp_path: Path):
    path = write_mp4(tmp_path / "a.mp4", [make_noise(0.2, RATE), make_noise(0.2, RATE)], RATE)
    recording: Recording = read_audio(path, max_seconds=10)
    assert "2 audio streams" in recording.warnings[0]
