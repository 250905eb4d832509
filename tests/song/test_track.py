"""From a song file to a track."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from passes import Noting
from soundfiles import id3, make_noise, write
from warm import run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.track import Track, fold_quiet, load_track

RATE = 16000


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write(tmp_path / "My Song.wav", make_noise(3, RATE), RATE, subtype="FLOAT")


def test_a_song_file_and_its_lyrics(song: Path, tmp_path: Path):
    (tmp_path / "words.lrc").write_text("[00:01.00]don't go")
    track = load_track(str(song), lyrics=tmp_path / "words.lrc", max_seconds=10)
    assert track.stem_names == ("harmonic", "percussive")
    assert (track.stems.sum(0) - torch.from_numpy(make_noise(3, RATE))).abs().max() < 1e-6
    assert (track.title, track.sample_rate, track.seconds, track.offset, track.warnings) == ("My Song", RATE, 3.0, 0.0, ())
    assert track.lyrics is not None
    assert [word.text for word in track.lyrics.words] == ["don't", "go"]
    assert "hpss" in track.source
    assert len(track.audio_hash) == 64


def test_a_part_is_a_slice_with_an_offset_and_a_hash_of_its_own(song: Path):
    whole = load_track(song, separator="none", max_seconds=10)
    part = load_track(song, separator="none", start=1.0, end=2.5, max_seconds=2)
    assert torch.equal(part.stems, whole.stems[..., RATE : 5 * RATE // 2])
    assert (part.offset, part.seconds) == (1.0, 1.5)
    assert part.audio_hash != whole.audio_hash


def test_lyrics_in_tags_are_used_and_mentioned_unless_others_are_given(tmp_path: Path):
    sound = write(tmp_path / "a.mp3", make_noise(1, 44100), 44100)
    sound.write_bytes(id3((b"USLT", b"\0eng\0" + b"sung here")) + sound.read_bytes())
    (tmp_path / "b.txt").write_text("given")
    track = load_track(sound, separator="none", max_seconds=10)
    assert track.lyrics is not None
    assert track.lyrics.text == "sung here"
    assert "in the tags of 'a.mp3'" in track.warnings[0]
    given = load_track(sound, separator="none", lyrics=tmp_path / "b.txt", max_seconds=10)
    assert given.lyrics is not None
    assert (given.lyrics.text, given.warnings) == ("given", ())


def test_without_lyrics_there_are_none_and_a_cut_song_says_so(song: Path):
    data = song.read_bytes()
    song.write_bytes(data[: len(data) // 2])
    track = load_track(song, separator="none", max_seconds=10)
    assert track.lyrics is None
    assert "was cut short" in track.warnings[0]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_length_allowed_must_be_positive(song: Path, seconds: float):
    with pytest.raises(InputError, match="max_seconds"):
        load_track(song, max_seconds=seconds)


def test_bad_lyrics_are_told_before_the_song_is_read(tmp_path: Path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match=r"no words in the lyrics .* leave lyrics out for an instrumental"):
        load_track(tmp_path / "none.wav", lyrics=tmp_path / "a.txt", max_seconds=10)


def test_silence_is_a_song(tmp_path: Path):
    track = load_track(write(tmp_path / "a.wav", np.zeros((1, RATE)), RATE), max_seconds=10)
    assert track.stems.shape == (2, 1, RATE)
    assert track.stems.abs().max() == 0


def test_random_states_stay(song: Path):
    random.seed(0)
    before = np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
    track = load_track(song, max_seconds=10)
    assert isinstance(track, Track)
    assert (np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()) == before


def test_length_is_frames_over_rate():
    assert Track(torch.zeros(1, 2, 1000), ("a",), 500).seconds == 2.0


@pytest.mark.parametrize(
    ("stems", "names", "rate", "said"),
    [
        (torch.zeros(2, 1, 10), ("a",), 8000, "2 stems don't fit 1 names (a): give each stem one."),
        (
            torch.zeros(1, 1, 0),
            ("a",),
            8000,
            "stems of shape (1, 1, 0) hold no sound: give one or more of (stem, channel, frame).",
        ),
        (
            torch.zeros(0, 1, 10),
            (),
            8000,
            "stems of shape (0, 1, 10) hold no sound: give one or more of (stem, channel, frame).",
        ),
        (torch.zeros(1, 3, 10), ("a",), 8000, "stems of shape (1, 3, 10) have 3 channels: give one or two, as (stem,"),
        (
            torch.zeros(1, 1, 10),
            ("a",),
            0,
            "sample_rate must be positive, got 0: give the stems' own, such as 44100.",
        ),
        (torch.zeros(2, 1, 10), ("a", "a"), 8000, "the stem names a, a are not all different: give each stem its own."),
        (torch.full((1, 1, 10), torch.nan), ("a",), 8000, "the stems hold NaN or infinite samples: repair or leave out"),
    ],
)
def test_what_is_no_track_is_told_one_by_one(stems: torch.Tensor, names: tuple[str, ...], rate: int, said: str):
    with pytest.raises(InputError) as caught:
        Track(stems, names, rate)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("stems", "said"),
    [
        ("torch.zeros(2, 10)", "stems are of shape (2, 10): give (stem, channel, frame)"),
        (
            "torch.zeros(2, 1, 10).double()",
            "stems are float64 of shape (2, 1, 10): give float32 (stem, channel, frame), such",
        ),
        ("torch.zeros(2, 1, 10).numpy()", "stems are a ndarray: give a float32 tensor (stem, channel, frame), such as"),
    ],
)
def test_stems_of_another_kind_are_named(tmp_path: Path, stems: str, said: str):
    """In a process of its own: under tests the shape annotation would refuse it first."""
    script = f"import torch; from musiclime_torch import Track; Track({stems}, ('a', 'b'), 8000)"
    done = run_warm([], tmp_path, script)
    assert f"InputError: {said}" in done.stderr


def test_a_part_has_the_lyrics_that_are_sung_in_it(song: Path, tmp_path: Path):
    (tmp_path / "words.lrc").write_text("[00:00.00]hold me\n[00:01.00]now\n[00:02.50]love")
    part = load_track(song, separator="none", lyrics=tmp_path / "words.lrc", start=1, end=2)
    assert part.lyrics is not None
    assert [word.text for word in part.lyrics.words] == ["now"]
    said = "of the lyrics, 1 of 3 lines are sung between 1 and 2 s, and only these are kept."
    assert part.warnings == (said,)
    assert (part.file, part.lyrics_file) == ("My Song.wav", "words.lrc")
    (tmp_path / "late.lrc").write_text("[00:02.50]love")
    empty = load_track(song, separator="none", lyrics=tmp_path / "late.lrc", end=2)
    assert empty.lyrics is None
    assert empty.warnings == ("no line of the lyrics is sung between 0 and 2 s: this part has none.",)
    (tmp_path / "words.txt").write_text("hold me\nnow")
    kept = load_track(song, separator="none", lyrics=tmp_path / "words.txt", start=1, end=2)
    assert kept.lyrics is not None
    assert len(kept.lyrics.words) == 3
    assert "the lyrics have no times: those of the whole song are kept" in kept.warnings[0]


def make_quiet(levels: dict[str, float], offset: float = 0.0) -> Track:
    """Stems of noise at these levels in dB."""
    generator = torch.Generator().manual_seed(0)
    stems = torch.stack([10 ** (level / 20) * torch.randn(1, 8000, generator=generator) for level in levels.values()])
    return Track(stems, tuple(levels), 8000, title="quiet", source="made by hand")


def test_a_stem_forty_decibels_down_stays_with_the_loudest():
    track = make_quiet({"drums": -3.0, "bass": 0.0, "residual": -40.0})
    folded = fold_quiet(track)
    assert folded.stem_names == ("drums", "bass")
    assert torch.equal(folded.stems[0], track.stems[0])
    assert torch.allclose(folded.stems.sum(0), track.stems.sum(0), atol=1e-6)
    assert folded.warnings == (
        "residual (42 dB below the song) is too quiet to be explained by itself, and stays with bass: ask for residual to "
        "explain it too.",
    )
    assert folded.source == "made by hand; residual (42 dB below the song) with bass"
    assert fold_quiet(folded) is folded


def test_stems_that_are_heard_and_bands_are_left_alone():
    heard = make_quiet({"drums": 0.0, "vocals": -20.0})
    assert fold_quiet(heard) is heard
    bands = make_quiet({"low (0-2000 Hz)": 0.0, "high (above 2000 Hz)": -50.0})
    assert fold_quiet(bands) is bands
    # Nothing is quieter than a silent song.
    silent = Track(torch.zeros(2, 1, 800), ("a", "b"), 8000)
    assert fold_quiet(silent) is silent


def test_several_quiet_stems_are_told_together():
    folded = fold_quiet(make_quiet({"drums": 0.0, "vocals": -60.0, "residual": -45.0}))
    assert folded.stem_names == ("drums",)
    assert "vocals (60 dB below the song) and residual (45 dB below the song) are too quiet" in folded.warnings[0]
    assert folded.warnings[0].endswith("stay with drums: ask for residual to explain them too.")


def test_reading_and_separating_have_a_bar_each(song: Path):
    stages = Noting()
    load_track(song, separator="hpss", progress=stages)
    assert stages.begun == [(f"reading {song.name}", None), (f"separating {song.name}", 1.0)]
    assert sum(stages.done) == pytest.approx(1.0)
