"""Stems that are late by an encoder's delay."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from soundfiles import encode, encode_lame, make_noise, write

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.track import load_track

RATE = 44100


def write_lame(path: Path, samples: np.ndarray) -> None:
    path.write_bytes(encode_lame(samples, RATE, 256))


def write_aac(path: Path, samples: np.ndarray) -> None:
    encode(path, samples, RATE, "aac", "adts")


def write_mp2(path: Path, samples: np.ndarray) -> None:
    encode(path, samples, RATE, "mp2", "mp2")


def write_ac3(path: Path, samples: np.ndarray) -> None:
    encode(path, samples, RATE, "ac3", "ac3").rename(path)


def write_late(path: Path, samples: np.ndarray) -> None:
    """By a number of frames that no encoder is known for."""
    write(path, np.pad(samples, ((0, 0), (777, 0))), RATE, subtype="FLOAT")


def make(folder: Path, suffix: str, writer: Callable[[Path, np.ndarray], None], seconds: float = 2) -> Path:
    (folder / "stems").mkdir()
    stems = [make_noise(seconds, RATE, seed=seed) for seed in (1, 2)]
    for name, samples in zip(("drums", "vocals"), stems, strict=True):
        writer(folder / "stems" / f"{name}{suffix}", samples)
    return write(folder / "song.wav", sum(stems), RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("suffix", "writer", "frames", "named"),
    [
        (".mp3", write_lame, 1105, ", by the delay of an mp3 encoder (LAME, as demucs --mp3 uses it)"),
        (".aac", write_aac, 1024, ", by the delay of an AAC encoder (FFmpeg's)"),
        (".mp3", write_mp2, 481, ", by the delay of an MP2 encoder"),
        (".wav", write_late, 777, ""),
    ],
)
def test_an_encoders_delay_is_named_and_taken_back_on_request(
    tmp_path: Path, suffix: str, writer: Callable[[Path, np.ndarray], None], frames: int, named: str
):
    song = make(tmp_path, suffix, writer)
    late = load_track(song, stems=tmp_path / "stems")
    said = f"the stems in 'stems' are {frames} frames ({1000 * frames / RATE:.0f} ms) later than the song{named}"
    assert any(warning.startswith(said) and "set align_stems" in warning for warning in late.warnings)
    assert not any("are they this song's" in warning for warning in late.warnings)
    moved = load_track(song, stems=tmp_path / "stems", align_stems=True)
    assert any(warning == f"{said}, and were moved." for warning in moved.warnings)
    assert late.stem_names == ("drums", "vocals", "residual")
    original = torch.from_numpy(make_noise(2, RATE, seed=1) + make_noise(2, RATE, seed=2))
    assert moved.stems.shape[-1] == original.shape[-1]
    assert (moved.stems.sum(0) - original).abs().max() < 1e-6
    # Where nothing is left but rounding, there is no residual.
    left = original - moved.stems[:2].sum(0)
    assert left.square().mean() < 0.05 * original.square().mean()
    assert late.stems[-1].square().mean() > original.square().mean()


def test_a_late_song_with_stems_in_time(tmp_path: Path):
    song = make(tmp_path, ".wav", lambda path, samples: write(path, samples, RATE, subtype="FLOAT"))
    total = make_noise(2, RATE, seed=1) + make_noise(2, RATE, seed=2)
    write_lame(tmp_path / "song.mp3", total)
    track = load_track(tmp_path / "song.mp3", stems=tmp_path / "stems", align_stems=True)
    assert "1105 frames (25 ms) earlier than the song" in track.warnings[0]
    assert track.stems[-1].square().mean() < 0.05 * np.square(total).mean()
    assert load_track(song, stems=tmp_path / "stems", align_stems=True).warnings == ()


def test_other_songs_stems_and_missing_stems_are_not_moved(tmp_path: Path):
    song = make(tmp_path, ".wav", lambda path, samples: write(path, samples, RATE, subtype="FLOAT"))
    other = write(tmp_path / "other.wav", make_noise(2, RATE, seed=9), RATE, subtype="FLOAT")
    assert "are they this song's" in load_track(other, stems=tmp_path / "stems", align_stems=True).warnings[0]
    (tmp_path / "stems" / "drums.wav").unlink()
    assert load_track(song, stems=tmp_path / "stems", align_stems=True).warnings == ()


def test_a_delay_that_is_too_long_to_make_up_is_named_too(tmp_path: Path):
    (tmp_path / "stems").mkdir()
    samples = make_noise(2, 22050, seed=1)
    (tmp_path / "stems" / "vocals.mp3").write_bytes(encode_lame(samples, 22050, 96))
    song = write(tmp_path / "song.wav", samples, 22050)
    with pytest.raises(InputError, match=r"are 1105 frames \(50 ms\) later than the song.* set align_stems to move them"):
        load_track(song, stems=tmp_path / "stems")
    assert load_track(song, stems=tmp_path / "stems", align_stems=True).seconds == 2


def test_a_part_is_moved_too(tmp_path: Path):
    song = make(tmp_path, ".mp3", write_lame)
    track = load_track(song, stems=tmp_path / "stems", align_stems=True, start=0.5, end=1.5)
    # The part's last 25 ms come from behind it, which isn't read.
    kept = track.stems[-1][:, : RATE - 1105]
    assert kept.square().mean() < 0.05 * track.stems.sum(0).square().mean()


@pytest.mark.parametrize("kinds", [("a.wav", "b.wav"), ("a.mp3", "b.mp3"), ("a.ogg", "b.flac"), ("mix.wav", "b.wav")])
def test_a_folder_of_songs_is_refused_as_such_before_it_is_decoded(tmp_path: Path, kinds: tuple[str, str]):
    for seconds, name in zip((2, 4), kinds, strict=True):
        write(tmp_path / name, make_noise(seconds, 8000), 8000)
    for part in ({}, {"start": 0.5, "end": 1.5}):
        with pytest.raises(InputError, match=r"is a folder of 2 sound files of different lengths .*: give one of the files"):
            load_track(tmp_path, **part)


def test_a_folder_without_sound_is_refused_as_such(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("la")
    with pytest.raises(InputError, match="no stems in"):
        load_track(tmp_path)
