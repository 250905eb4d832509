"""Opening files: names that look like something else, and decoders that drop what they should keep."""

from pathlib import Path

import numpy as np
import pytest
from soundfiles import encode, find_lag, make_noise, write

from musiclime_torch.song.audio.recording import read_audio
from musiclime_torch.song.lyrics.files import read_lyrics
from musiclime_torch.song.stems.files import is_stem_file


@pytest.mark.parametrize("name", ["Re:Zero.m4a", "12:30 am.m4a", "http:x", "-i.m4a", "-", "pipe:0", "file:a.m4a", "a?b#c"])
@pytest.mark.parametrize("form", ["m4a", "wav"])
def test_relative_names_are_files_and_neither_protocols_nor_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str
):
    monkeypatch.chdir(tmp_path)
    samples = make_noise(0.5, 44100)
    made = tmp_path / f"made.{form}"
    if form == "wav":
        write(made, samples, 44100)
    else:
        encode(made, samples, 44100, "aac", "mp4")
    made.rename(name)
    assert read_audio(name, max_seconds=9).seconds == 0.5
    assert read_audio(Path(name), max_seconds=9).warnings == ()
    assert not is_stem_file(name)


def test_lyrics_with_such_names_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("Re:Zero.lrc", "-x.lrc", "-.srt"):
        Path(name).write_text("[00:01.00]la" if name.endswith("lrc") else "1\n00:00:01,000 --> 00:00:02,000\nla\n")
        assert read_lyrics(name).lines[0].start_seconds == 1


@pytest.mark.parametrize("codec", ["wmav1", "wmav2"])
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (22050, 2)])
def test_wma_lies_where_the_song_has_it(tmp_path: Path, codec: str, rate: int, channels: int):
    samples = make_noise(1, rate, channels)
    path = encode(tmp_path / "a.wma", samples, rate, codec, "asf")
    found = read_audio(path, max_seconds=9)
    assert found.warnings == ()
    assert find_lag(found.samples[0].numpy(), samples[0]) == 0
    # The first block is there, and isn't silence.
    first = found.samples[:, :1024].numpy() - samples[:, :1024]
    assert np.square(first).mean() < 0.2 * np.square(samples).mean()
    part = read_audio(path, max_seconds=9, start=0.6).samples
    assert np.array_equal(part, found.samples[:, round(0.6 * rate) :])


def test_an_average_of_bytes_a_second_contradicts_nothing(tmp_path: Path):
    path = encode(tmp_path / "a.wav", make_noise(1, 22050), 22050, "adpcm_ms", "wav")
    assert read_audio(path, max_seconds=9).warnings == ()
