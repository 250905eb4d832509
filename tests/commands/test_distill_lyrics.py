"""`musiclime corpus --distill` on a model of sound and lyrics: its student hears and reads."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from pyarrow import parquet
from smooth import RATE, STEMS, make_song

from musiclime_torch.commands import cli
from musiclime_torch.models.students import load_student
from musiclime_torch.training import distilling

SONGS, TAUGHT = 9, 8


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs as folders of stems, each with nine words of its own."""
    root = tmp_path_factory.mktemp("catalogue")
    lines = ["id,audio,stems,lyrics"]
    for seed in range(SONGS):
        folder = root / f"song{seed}"
        folder.mkdir()
        for name, stem in zip(STEMS, make_song(seed).stems, strict=True):
            soundfile.write(folder / f"{name}.wav", stem.T.numpy(), RATE, subtype="FLOAT")
        letters = torch.randint(97, 123, (9, 3), generator=torch.Generator().manual_seed(seed)).tolist()
        (root / f"{seed}.txt").write_text(" ".join("".join(map(chr, word)) for word in letters) + "\n")
        lines.append(f"{seed},,song{seed},{seed}.txt")
    (root / "songs.csv").write_text("\n".join(lines) + "\n")
    return root / "songs.csv"


def explain_all(songs: Path, name: str, *more: Any) -> Result:
    model = ("--model", "models:Late", "--segments", 4, "--device", "cpu", "--workers", 0, "--n-samples", 192)
    arguments = ("corpus", songs, *model, "--out", songs.parent / name, *more)
    done = CliRunner().invoke(cli.cli, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done


def read(songs: Path, name: str, table: str) -> list[dict[str, Any]]:
    return parquet.read_table(songs.parent / name / table).to_pylist()


def test_a_catalogues_own_masks_teach_both_sides(catalogue: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distilling, "Training", partial(distilling.Training, epochs=30))
    done = explain_all(catalogue, "taught", "--distill", TAUGHT)
    assert f"{SONGS} songs explained, 0 failed" in done.stderr
    for side in ("sound's", "lyrics'"):
        assert f"of what the {side} main effects leave over" in done.stderr
    explain_all(catalogue, "plain")
    print(done.stderr)
    recipe = load_student(catalogue.parent / "taught" / "student").recipe
    assert (recipe.hears, recipe.reads) == (True, 4)
    assert len(recipe.taught) == 6  # two are held out
    assert 4 <= len(recipe.taught_lyrics) <= 6  # a song whose own masks of the lyrics are few doesn't teach these
    songs, plain = read(catalogue, "taught", "songs"), read(catalogue, "plain", "songs")
    # Those that teach are explained as without a student, to the last number; the others ask the model as often.
    assert [song["proxy_gain"] is None for song in songs] == TAUGHT * [True] + (SONGS - TAUGHT) * [False]
    for passes in ("audio_passes", "lyrics_passes"):
        assert [song[passes] for song in songs] == [song[passes] for song in plain]
    guided, alone = read(catalogue, "taught", "attributions"), read(catalogue, "plain", "attributions")
    taught = {str(number) for number in range(TAUGHT)}
    assert [row for row in guided if row["id"] in taught] == [row for row in alone if row["id"] in taught]
    assert [row for row in guided if row["id"] not in taught] != [row for row in alone if row["id"] not in taught]
