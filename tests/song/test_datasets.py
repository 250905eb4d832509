"""Other people's folders: Music4All, the splits of MusicLIME's authors, and moods from valence and arousal."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.datasets import EMOTIONS, name_emotion, read_dataset
from musiclime_torch.song.manifest import find_bad


def music4all(folder: Path) -> Path:
    (folder / "audios").mkdir(parents=True)
    (folder / "lyrics").mkdir()
    for name in ("aa", "bb"):
        soundfile.write(folder / "audios" / f"{name}.mp3", np.zeros(8000), 16000, format="MP3")
    (folder / "lyrics" / "aa.txt").write_text("la la")
    (folder / "id_genres.csv").write_text("id\tgenres\naa\tHeavy Metal,rock\nbb\tpop\n")
    (folder / "id_metadata.csv").write_text("id\tspotify_id\tenergy\tvalence\naa\tx\t0.9\t0.1\nbb\ty\t\t0.5\n")
    return folder


def test_music4all_is_read_as_its_folder_comes(tmp_path: Path):
    folder = music4all(tmp_path / "m4a")
    one, two = read_dataset(folder, "genre")
    assert (one.id, one.audio, one.lyrics) == ("aa", folder / "audios" / "aa.mp3", folder / "lyrics" / "aa.txt")
    assert (one.labels, two.labels, two.lyrics, two.place) == (("heavy metal",), ("pop",), None, "id_genres.csv, line 3")
    assert [(entry.id, entry.labels) for entry in read_dataset(folder, "emotion")] == [("aa", ("angry",))]
    assert find_bad([one, two], ("audio", "label")) == ()


def test_splits_in_json_are_read_with_either_label(tmp_path: Path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "yt1.wav", np.zeros(800), 8000)
    rows = [
        {"id": "yt1", "lyrics": "la", "primary_short": "Pop", "emotion": "Sad"},
        {"id": "yt2", "lyrics": None, "primary_short": None, "valence": 0.9, "energy": 0.9},
    ]
    for name in ("train", "val", "test"):
        here = [{**row, "id": f"{row['id']}"} for row in rows] if name == "train" else []
        (tmp_path / f"{name}.json").write_text(json.dumps(here))
    (entry,) = read_dataset(tmp_path, "genre")
    assert (entry.labels, entry.split, entry.lyrics, entry.audio) == (
        ("pop",),
        "train",
        "la",
        tmp_path / "audio" / "yt1.wav",
    )
    assert [one.labels for one in read_dataset(tmp_path, "emotion")] == [("sad",), ("excited",)]
    (tmp_path / "train.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="not a list of objects"):
        read_dataset(tmp_path, "genre")
    with pytest.raises(InputError, match="not a known data set"):
        read_dataset(tmp_path / "audio", "genre")


def test_emotions_are_a_grid_of_nine():
    steps = (0.0, 0.5, 1.0)
    assert tuple(tuple(name_emotion(valence, energy) for energy in steps) for valence in steps) == EMOTIONS
    assert len({name for row in EMOTIONS for name in row}) == 9
