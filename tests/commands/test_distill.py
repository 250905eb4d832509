"""`musiclime distill`, and --proxy on what it wrote."""

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
from click.testing import CliRunner, Result
from pyarrow import parquet
from smooth import RATE, SEGMENTS, STEMS, make_song

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands import cli

MODEL = ("--model", "smooth:Smooth", "--segments", SEGMENTS, "--device", "cpu")


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli.cli, list(map(str, arguments)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs as folders of stems, and a student of the first eight."""
    root = tmp_path_factory.mktemp("distilled")
    lines = ["id,audio,stems"]
    for seed in range(9):
        track, own = make_song(seed), root / f"song{seed}"
        own.mkdir()
        for name, stem in zip(STEMS, track.stems, strict=True):
            soundfile.write(own / f"{name}.wav", stem.T.numpy(), RATE, subtype="FLOAT")
        lines.append(f"{seed},,song{seed}")
    (root / "songs.csv").write_text("\n".join(lines) + "\n")
    done = run("distill", root / "songs.csv", *MODEL, "--out", root / "student", "--most", 8, "--masks", 96, "--epochs", 20)
    assert done.exit_code == 0, done.output
    assert "On held-out songs the student explains" in done.stdout
    assert "loud: " in done.stdout
    return root


def test_a_song_is_explained_with_it(folder: Path):
    asked = ("explain", folder / "song8", *MODEL, "--n-samples", 96, "--design", "joint", "--format", "json")
    done = run(*asked, "--proxy", folder / "student", "--proxy-samples", 4096)
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["provenance"]["proxy"]["masks"] == 4096
    assert min(record["provenance"]["proxy"]["gain"]) > 1.2


def test_a_model_is_a_proxy_by_its_name(folder: Path):
    asked = ("explain", folder / "song8", *MODEL, "--n-samples", 96, "--design", "joint", "--format", "json")
    done = run(*asked, "--proxy", "smooth:Smooth", "--proxy-samples", 512)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["provenance"]["proxy"]["name"] == "smooth"


def test_songs_that_share_batches_have_it_too(folder: Path):
    few = ("--n-samples", 32, "--batch-size", 128, "--workers", 0, "--out", folder / "shared", "--proxy", folder / "student")
    done = run("corpus", folder / "songs.csv", *MODEL, *few)
    assert done.exit_code == 0, done.output
    gains = [row["proxy_gain"] for row in parquet.read_table(folder / "shared" / "songs").to_pylist()]
    assert sum(gain is not None for gain in gains) == 3  # two that judged it, and one that it never saw


def test_a_catalogue_is_explained_with_it_and_resumed(folder: Path):
    asked = ("corpus", folder / "songs.csv", *MODEL, "--n-samples", 96, "--workers", 0, "--out", folder / "run")
    done = run(*asked, "--proxy", folder / "student")
    assert done.exit_code == 0, done.output
    assert "9 songs explained, 0 failed" in done.stderr
    assert "9 done before" in run(*asked, "--proxy", folder / "student").stderr
    with pytest.raises(InputError, match="holds a run with other settings, proxy"):
        cli.cli(list(map(str, asked)), standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("explain", "song8", "--proxy", "songs"), "holds neither a student nor a model"),
        (("explain", "song8", "--proxy-samples", "9"), "--proxy-samples needs a proxy"),
        (("corpus", "songs.csv", "--out", "other", "--proxy", "songs.csv"), "holds no student"),
        (("corpus", "songs.csv", "--out", "other", "--proxy-samples", "9"), "--proxy-samples needs a proxy"),
        (("distill", "songs.csv", "--out", "other", "--most", "3"), "3 songs are too few to learn from"),
        (("distill", "songs.csv", "--out", "other", "--masks", "4"), "masks of 12 cells are too few"),
        (("distill", "songs.csv", "--out", "songs.csv"), "is a file"),
        (("distill", "nowhere.csv", "--out", "other"), "nowhere.csv"),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    (folder / "songs").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=message):
        cli.cli([*arguments[:2], *map(str, MODEL), *arguments[2:]], standalone_mode=False)


def test_a_student_needs_a_model(folder: Path):
    with pytest.raises(InputError, match="a student needs a model to learn from"):
        cli.cli(["distill", str(folder / "songs.csv"), "--out", str(folder / "x")], standalone_mode=False)


def test_a_catalogue_teaches_its_own_student(folder: Path):
    asked = ("corpus", folder / "songs.csv", *MODEL, "--n-samples", 96, "--workers", 0, "--out", folder / "taught")
    done = run(*asked, "--distill", 7)
    assert done.exit_code == 0, done.output
    assert "On held-out songs the student explains" in done.stderr
    table = parquet.read_table(folder / "taught" / "songs").to_pylist()
    gains = [row["proxy_gain"] for row in table]
    assert all(gain is None or gain > 1 for gain in gains)
    assert sum(gain is None for gain in gains) == 5  # seven taught, of which two judged
    again = run(*asked, "--distill", 7)
    assert "9 done before" in again.stderr
    assert "On held-out songs" not in again.stderr


def test_a_student_that_would_not_pay_is_told_once(folder: Path):
    asked = (
        "corpus",
        folder / "songs.csv",
        *MODEL,
        "--n-samples",
        96,
        "--workers",
        0,
        "--out",
        folder / "alone",
        "--distill",
        2,
    )
    first, again = run(*asked), run(*asked)
    assert "No student guides this run: 2 songs are too few to learn from" in first.stderr
    assert "No student guides this run" in again.stderr
    assert "9 done before" in again.stderr


@pytest.mark.parametrize(
    ("more", "environment", "message"),
    [
        (("--proxy", "student"), {}, "--distill trains a student of its own"),
        ((), {"WORLD_SIZE": "2"}, "--distill trains in one process"),
    ],
)
def test_distilling_within_a_run_has_its_limits(
    folder: Path, more: tuple[str, ...], environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        cli.cli(["corpus", "songs.csv", *map(str, MODEL), "--out", "x", "--distill", "4", *more], standalone_mode=False)
