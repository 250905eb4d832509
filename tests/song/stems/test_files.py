"""Stems that come with a song: folders and stem files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from soundfiles import make_noise, write, write_mp4

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.stems.files import is_stem_file, read_stems
from musiclime_torch.song.track import load_track

RATE = 8000


def write_folder(folder: Path, mix: str | None = None, residue: float = 0.0, **frames: int) -> Path:
    folder.mkdir(exist_ok=True)
    total = np.zeros((2, RATE), np.float32)
    for seed, name in enumerate(frames):
        samples = make_noise(1.2, RATE, seed=seed)[:, : frames[name]]
        write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
        total[:, : samples.shape[1]] += samples[:, :RATE]
    if mix:
        write(folder / f"{mix}.wav", total + residue * make_noise(1, RATE, seed=9), RATE, subtype="FLOAT")
    (folder / "lyrics.txt").write_text("not a stem")
    (folder / "._drums.wav").write_text("not a stem either")
    return folder


@pytest.mark.parametrize("mix", ["mix", "mixture", "song", "Master"])
def test_a_folder_with_its_mix(tmp_path: Path, mix: str):
    track = load_track(write_folder(tmp_path / "a", mix, 0.1, vocals=RATE, Drums=RATE), max_seconds=10)
    assert track.stem_names == ("Drums", "vocals", "residual")
    song = torch.from_numpy(__import__("soundfile").read(tmp_path / "a" / f"{mix}.wav", dtype="float32")[0].T)
    assert (track.stems.sum(0) - song).abs().max() < 1e-6
    assert (track.title, track.sample_rate, track.warnings) == ("a", RATE, ())
    assert track.source.startswith("2 stems from 'a', and what they leave of the song (-")


def test_a_folder_without_a_mix_and_one_whose_mix_is_the_sum(tmp_path: Path):
    alone = load_track(write_folder(tmp_path / "a", None, vocals=RATE, drums=RATE), max_seconds=10)
    exact = load_track(write_folder(tmp_path / "b", "mix", vocals=RATE, drums=RATE), max_seconds=10)
    assert alone.stem_names == exact.stem_names == ("drums", "vocals")
    assert torch.equal(alone.stems, exact.stems)
    assert "sum is the song" in alone.source
    assert alone.audio_hash != exact.audio_hash


def test_stems_beside_a_song_file(tmp_path: Path):
    folder = write_folder(tmp_path / "stems", "mix", 0.1, vocals=RATE, drums=RATE)
    song = write(tmp_path / "hit.wav", make_noise(1, RATE, seed=5), RATE, subtype="FLOAT")
    track = load_track(song, stems=folder, max_seconds=10)
    assert track.stem_names == ("drums", "vocals", "residual")
    assert (track.stems.sum(0) - torch.from_numpy(make_noise(1, RATE, seed=5))).abs().max() < 1e-6
    assert "are they this song's" in track.warnings[0]
    # A song that lies among its stems is none of them.
    inside = write(folder / "hit.wav", make_noise(1, RATE, seed=5), RATE, subtype="FLOAT")
    assert load_track(inside, stems=folder, max_seconds=10).stem_names == ("drums", "vocals", "residual")


def test_lengths_within_fifty_milliseconds_are_made_up_with_silence(tmp_path: Path):
    track = load_track(write_folder(tmp_path / "a", None, vocals=RATE - 300, drums=RATE), max_seconds=10)
    assert track.stems.shape == (2, 2, RATE)
    assert track.stems[1, :, -300:].abs().max() == 0
    assert "'vocals'" in track.warnings[0] or "vocals end" in track.warnings[0]
    longer = load_track(write_folder(tmp_path / "b", "mix", vocals=RATE, drums=RATE + 300), max_seconds=10)
    assert longer.stems.shape[-1] == RATE + 300
    assert longer.stem_names == ("drums", "vocals", "residual")


def refuse(path: Path, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        load_track(path, max_seconds=10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mix", [True, False])
def test_stems_at_another_rate_are_resampled_and_told(tmp_path: Path, mix: bool):
    folder = write_folder(tmp_path / "b", "mix" if mix else None, vocals=RATE)
    write(folder / "bass.wav", make_noise(1, 2 * RATE), 2 * RATE)
    track = load_track(folder, max_seconds=10)
    rate, changed, other = (RATE, "bass", 2 * RATE) if mix else (2 * RATE, "vocals", RATE)
    assert (track.sample_rate, track.seconds) == (rate, 1.0)
    assert f"{changed} was resampled from {other} Hz to {rate} Hz, the rate of the others." in track.warnings
    assert track.stem_names[:2] == ("bass", "vocals")
    # What lies below both rates is there still.
    assert float(track.stems[track.stem_names.index(changed)].square().mean()) > 0


def test_stems_that_do_not_fit(tmp_path: Path):
    refuse(write_folder(tmp_path / "a", None, vocals=RATE - 500, drums=RATE), "'vocals' is 0.94 s long and 'drums' 1.00 s")
    folder = write_folder(tmp_path / "c", None, vocals=RATE)
    write(folder / "bass.wav", make_noise(1, RATE, 1), RATE)
    refuse(folder, r"'vocals' has 2 channel\(s\) and 'bass' has 1")
    write(folder / "Vocals.flac", make_noise(1, RATE), RATE)
    refuse(folder, "'Vocals.flac' and 'vocals.wav' in .* have the same name")
    refuse(write_folder(tmp_path / "d", "mix"), "no stems")
    (tmp_path / "e").mkdir()
    refuse(tmp_path / "e", "no stems")
    refuse(tmp_path / "f", "can't be read")


def test_stems_and_a_separator_exclude_each_other(tmp_path: Path):
    folder = write_folder(tmp_path / "a", "mix", vocals=RATE)
    for song, stems in ((folder, None), (folder / "mix.wav", folder)):
        with pytest.raises(InputError, match="leave one out"):
            load_track(song, stems=stems, separator="hpss", max_seconds=10)


def make_streams(count: int) -> list[np.ndarray]:
    stems = [make_noise(1, 44100, seed=seed) for seed in range(count)]
    return [np.sum(stems, axis=0).astype(np.float32), *stems]


@pytest.mark.parametrize(
    ("count", "titles", "names", "expected"),
    [
        (4, (), ("Kick", "Bass", "Synth", "Synth"), ("Kick", "Bass", "Synth", "Synth 2")),
        (4, ("All", "Kick", "Pad", "Lead", "Voice"), (), ("Kick", "Pad", "Lead", "Voice")),
        (4, (), (), ("drums", "bass", "other", "vocals")),
        (2, (), (), ("stem 1", "stem 2")),
        (2, (), ("Kick", ""), ("stem 1", "stem 2")),
    ],
)
def test_names_in_a_stem_file(
    tmp_path: Path, count: int, titles: tuple[str, ...], names: tuple[str, ...], expected: tuple[str, ...]
):
    path = write_mp4(tmp_path / "a.stem.mp4", make_streams(count), 44100, titles, names)
    assert read_stems(path, max_seconds=10).names == expected
    track = load_track(path, max_seconds=10, start=0.25, end=0.75)
    assert track.stem_names == (*expected, "residual")
    assert (track.stems.shape, track.offset) == ((count + 2 - 1, 2, 22050), 0.25)
    mix = load_track(path, separator="none", max_seconds=10, start=0.25, end=0.75)
    assert (track.stems.sum(0) - mix.stems[0]).abs().max() < 1e-6
    # What AAC loses of noise, and no more: the stems lie where the song has them.
    assert track.stems[-1].square().mean() < 0.1 * mix.stems[0].square().mean()


def test_stem_files_are_known_by_name_or_atom(tmp_path: Path):
    streams = make_streams(2)
    assert is_stem_file(write_mp4(tmp_path / "b.mp4", streams, 44100, (), ("Kick", "Voice")))
    assert not is_stem_file(write_mp4(tmp_path / "c.mp4", streams, 44100))
    assert not is_stem_file(tmp_path / "none.stem.mp4")
    assert not is_stem_file(tmp_path)
    refuse(write_mp4(tmp_path / "d.stem.mp4", streams[:1], 44100), "1 audio streams, so no stems")


def test_a_damaged_stem_atom_names_nothing(tmp_path: Path):
    path = write_mp4(tmp_path / "a.stem.mp4", make_streams(4), 44100, (), ("A", "B", "C", "D"))
    whole = path.read_bytes()
    for broken in (whole.replace(b'"stems"', b'"stomp"'), whole.replace(b'{"version"', b'["version"')):
        path.write_bytes(broken)
        assert read_stems(path, max_seconds=10).names == ("drums", "bass", "other", "vocals")
    (tmp_path / "b.mp4").write_bytes(whole[: len(whole) - 60])
    assert not is_stem_file(tmp_path / "b.mp4")
