"""Files cut short are told from whole ones."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from soundfiles import encode, make_noise, write, write_mp4

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.recording import read_audio
from musiclime_torch.song.audio.truncation import cut_short

SILENT = {
    "wav": {},
    "aiff": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
    "rf64": {"format": "RF64"},
}


@pytest.fixture(scope="module", params=SILENT)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cut") / f"song.{request.param}"
    return write(path, make_noise(4, 48000), 48000, **SILENT[request.param])


def test_whole_files_are_whole(whole: Path):
    assert cut_short(whole) is None
    assert read_audio(whole, max_seconds=10).warnings == ()


@given(kept=st.floats(0.35, 0.999))
@settings(max_examples=15, deadline=None)
def test_files_cut_anywhere_are_read_with_a_warning(whole: Path, kept: float):
    data = whole.read_bytes()
    path = whole.with_name(f"cut{whole.suffix}")
    path.write_bytes(data[: int(kept * len(data))])
    assert "was cut short" in (cut_short(path) or "")
    recording = read_audio(path, max_seconds=10)
    assert len(recording.warnings) == 1
    # An Ogg page holds up to a second, and what isn't whole isn't read.
    assert 4 * kept - 1.2 < recording.seconds < 4 * kept + 0.6


@pytest.mark.parametrize("name", ["ogg", "opus"])
def test_an_ogg_that_ends_with_a_whole_page_too_soon(tmp_path: Path, name: str):
    path = write(tmp_path / f"a.{name}", make_noise(4, 48000), 48000, **SILENT[name])
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])
    assert "was cut short" in (cut_short(path) or "")


def test_tags_behind_the_sound_are_no_cut(whole: Path):
    path = whole.with_name(f"tagged{whole.suffix}")
    path.write_bytes(whole.read_bytes() + b"TAG" + bytes(125))
    assert cut_short(path) is None


@pytest.mark.parametrize("mono", [True, False])
@pytest.mark.parametrize("rate", [44100, 22050])
def test_mp3_of_both_versions_and_channel_numbers_behind_a_tag(tmp_path: Path, mono: bool, rate: int):
    path = write(tmp_path / "a.mp3", make_noise(2, rate, 1 if mono else 2), rate)
    sound = path.read_bytes()
    tag = b"ID3\x04\0\0\0\0\x02\x10" + bytes(2 * 128 + 16)
    path.write_bytes(tag + sound)
    assert cut_short(path) is None
    path.write_bytes(tag + sound[:-700])
    assert "was cut short" in (cut_short(path) or "")


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_F000, 0])
def test_sizes_of_a_pipe_are_no_cut(tmp_path: Path, size: int):
    path = write(tmp_path / "a.wav", make_noise(1, 8000), 8000)
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", size)
    if size:
        at = data.index(b"data") + 4
        data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    assert cut_short(path) is None
    assert read_audio(path, max_seconds=10).warnings == ()


@given(kept=st.floats(0.1, 0.99))
@settings(max_examples=15, deadline=None)
def test_a_cut_flac_is_refused(tmp_path_factory: pytest.TempPathFactory, kept: float):
    path = write(tmp_path_factory.mktemp("flac") / "a.flac", make_noise(3, 44100), 44100)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match="cut short"):
        read_audio(path, max_seconds=10)


def test_a_cut_m4a_with_its_header_in_front_is_refused_but_its_whole_part_is_read(tmp_path: Path):
    import av

    path = write_mp4(tmp_path / "a.m4a", [make_noise(4, 44100)], 44100)
    front = tmp_path / "front.m4a"
    with av.open(str(path)) as source, av.open(str(front), "w", format="mp4", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = front.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    front.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut short or damaged after [12]\.\d\d s"):
        read_audio(front, max_seconds=10)
    assert read_audio(front, max_seconds=10, end=1.5).seconds == 1.5


@pytest.mark.parametrize(
    ("kind", "codec", "muxer"),
    [
        ("ac3", "ac3", "ac3"),
        ("eac3", "eac3", "eac3"),
        ("mp2", "mp2", "mp2"),
        ("aac", "aac", "adts"),
        ("wma", "libmp3lame", "asf"),
        ("wma", "wmav2", "asf"),
        ("avi", "pcm_s16le", "avi"),
        ("avi", "libmp3lame", "avi"),
        ("mka", "libmp3lame", "matroska"),
        ("mka", "flac", "matroska"),
        ("flv", "aac", "flv"),
    ],
)
@pytest.mark.parametrize("rate", [44100, 48000])
def test_what_ffmpeg_writes_is_whole_and_a_part_of_it_never_passes_for_that(
    tmp_path: Path, kind: str, codec: str, muxer: str, rate: int
):
    path = encode(tmp_path / f"a.{kind}", make_noise(2, rate), rate, codec, muxer)
    whole = path.read_bytes()
    assert read_audio(path, max_seconds=10).warnings == ()
    for kept in (0.31, 0.62, 0.93, 0.99):
        path.write_bytes(whole[: int(kept * len(whole))])
        try:
            assert read_audio(path, max_seconds=10).warnings, kept
        except InputError as error:
            assert "cut short or damaged" in str(error) or "isn't audio" in str(error)  # noqa: PT017


@given(
    data=st.binary(max_size=300),
    head=st.sampled_from([b"", b"RIFF\x10\0\0\0WAVE", b"OggS", b"ID3\x03\0\0\0\0\0\x01", b"FORM\0\0\0\1AIFF"]),
)
@settings(max_examples=150, deadline=None)
def test_any_bytes_get_an_answer(tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(head + data)
    assert cut_short(path) is None or "cut short" in (cut_short(path) or "")
