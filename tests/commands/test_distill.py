"""`musiclime distill`, and --proxy on what it wrote."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet
from smooth import SEGMENTS, Smooth, write_songs

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands import cli
from musiclime_torch.corpus.runs import job, running
from musiclime_torch.corpus.runs.shards import Shard
from musiclime_torch.corpus.runs.tables import Rows
from musiclime_torch.training import distilling

MODEL = ("--model", "smooth:Smooth", "--segments", SEGMENTS, "--device", "cpu")


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli.cli, list(map(str, arguments)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs as folders of stems, and a student of the first eight."""
    root = tmp_path_factory.mktemp("distilled")
    done = run(
        "distill", write_songs(root, 9), *MODEL, "--out", root / "student", "--most", 8, "--masks", 96, "--epochs", 20
    )
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rounds of training within runs."""
    monkeypatch.setattr(distilling, "Training", partial(distilling.Training, epochs=30))


def test_a_catalogue_teaches_its_own_student(folder: Path, quick: None):
    asked = ("corpus", folder / "songs.csv", *MODEL, "--n-samples", 96, "--workers", 0)
    done = run(*asked, "--out", folder / "taught", "--distill", 7)
    assert done.exit_code == 0, done.output
    assert "On held-out songs the student explains" in done.stderr
    assert "9 songs explained, 0 failed, 0 done before" in done.stderr
    table = parquet.read_table(folder / "taught" / "songs").to_pylist()
    # Seven taught it, and were explained before; two were guided.
    assert [row["proxy_gain"] is None for row in table] == 7 * [True] + 2 * [False]
    assert all(row["proxy_gain"] > 1 for row in table[7:])
    assert not (folder / "taught" / "student" / "lessons").exists()
    again = run(*asked, "--out", folder / "taught", "--distill", 7)
    assert "9 done before" in again.stderr
    assert "On held-out songs" not in again.stderr
    # No pass is made for it: the songs that teach are those of a run without a student, to the last number.
    assert run(*asked, "--out", folder / "plain").exit_code == 0
    plain = parquet.read_table(folder / "plain" / "songs").to_pylist()
    assert [row["audio_passes"] for row in table] == [row["audio_passes"] for row in plain]
    own, without = (
        parquet.read_table(folder / name / "attributions").to_pylist() for name in ("taught", "plain")
    )  # fmt: skip
    first = {str(number) for number in range(7)}
    assert [row for row in own if row["id"] in first] == [row for row in without if row["id"] in first]


def count_rows(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, *more: Any) -> int:
    """Rows that the model was asked about in a run."""
    rows: list[int] = []
    whole = Smooth.forward
    with monkeypatch.context() as patched:
        patched.setattr(Smooth, "forward", lambda model, audio: rows.append(len(audio)) or whole(model, audio))
        asked = ("corpus", folder / "songs.csv", *MODEL, "--n-samples", 96, "--workers", 0, "--out", folder / name)
        assert run(*asked, *more).exit_code == 0
    return sum(rows)


def test_a_student_of_the_runs_own_passes_costs_none(folder: Path, quick: None, monkeypatch: pytest.MonkeyPatch):
    alone = count_rows(folder, "counted", monkeypatch)
    assert count_rows(folder, "counted beside", monkeypatch, "--distill", 7) == alone


def test_a_run_that_is_stopped_while_it_teaches_goes_on(folder: Path, quick: None, monkeypatch: pytest.MonkeyPatch):
    asked = ("corpus", folder / "songs.csv", *MODEL, "--n-samples", 96, "--workers", 0, "--shard-size", 2, "--distill", 5)
    assert run(*asked, "--out", folder / "through").exit_code == 0
    songs: list[str] = []
    write = job.write_shard

    def stop(asked_for: job.Job, shard: Shard, rows: Rows) -> None:
        songs.extend(entry.id for entry in shard.entries)
        if shard.number == 1 and len(songs) == 4:
            raise KeyboardInterrupt
        write(asked_for, shard, rows)

    monkeypatch.setattr(running, "write_shard", stop)
    run(*asked, "--out", folder / "stopped")
    assert sorted(path.suffix for path in (folder / "stopped" / "student" / "lessons").iterdir()) == 4 * [".safetensors"]
    assert not (folder / "stopped" / "failures.parquet").exists()
    done = run(*asked, "--out", folder / "stopped")
    assert done.exit_code == 0, done.output
    assert songs == list("01232345678")
    for name in ("attributions", "interactions"):
        one, other = (parquet.read_table(folder / run_name / name).to_pylist() for run_name in ("through", "stopped"))
        assert one == other
    weights = [(folder / run_name / "student" / "student.safetensors").read_bytes() for run_name in ("through", "stopped")]
    assert weights[0] == weights[1]


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
