"""A catalogue on Ray: the same tables, and a run begun there goes on elsewhere. All on one cluster, which starts slowly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from catalogues import OPTIONS
from click.testing import CliRunner, Result
from pyarrow import parquet
from small_runs import read
from smooth import SEGMENTS, write_songs

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.runs.job import begin_job
from musiclime_torch.corpus.runs.running import run_here
from musiclime_torch.corpus.runs.shards import Place
from musiclime_torch.demo.bundle import load_demo_model
from musiclime_torch.demo.catalogue import write_catalogue
from musiclime_torch.song.manifest import Entry, read_manifest

on_ray = pytest.importorskip("musiclime_torch.corpus.runs.on_ray")

TESTS = Path(__file__).parents[2]

GIVEN = {"options": OPTIONS, "loading": {"separator": "none"}, "shard_size": 2, "controls": 0.5}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray's processes yield to all others by default: beside other tests they would hardly get a turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        # They import a test's model by its name.
        patch.setenv("PYTHONPATH", f"{TESTS / 'support'}:{TESTS.parent}")
        yield
    on_ray.ray.shutdown()


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """Five songs and one that isn't there, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return (*read_manifest(write_catalogue(Path("songs"), 5, 0, ("anthem",))), Entry("none"))


@pytest.mark.slow
@pytest.mark.parametrize("output", ["object-store", "filesystem"])
def test_ray_writes_what_one_process_does_and_goes_on_with_its_run(tmp_path, entries, output):
    run_here(load_demo_model(), begin_job(entries, tmp_path / "here", **GIVEN), workers=0)
    job = begin_job(entries, Path("ray"), **GIVEN)
    run_here(load_demo_model(), job, workers=0, place=Place(1, 3))
    done = on_ray.run_on_ray(load_demo_model, job, output=output)
    assert (done.explained, done.failed, done.before) == (3, 1, 2)
    assert "no audio" in done.first_failure
    for name in ("attributions", "interactions", "controls", "failures"):
        assert read(tmp_path / "ray", name) == read(tmp_path / "here", name)
    assert (tmp_path / "ray" / "failures.parquet").exists()
    assert on_ray.run_on_ray(load_demo_model, job).before == 6


@pytest.mark.slow
def test_ray_goes_on_with_the_same_weights_only(tmp_path, entries):
    job = begin_job(entries, Path("ray"), **GIVEN)
    run_here(load_demo_model(), job, workers=0)

    # Ray's processes can't import a test's module, and get what is made in it by value.
    def load_other_model():
        model = load_demo_model()
        with torch.no_grad():
            next(model.parameters()).add_(1.0)
        return model

    for path in (tmp_path / "ray").glob("*/000001.parquet"):
        path.unlink()
    with pytest.raises(InputError, match="other weights"):
        on_ray.run_on_ray(load_other_model, job)
    assert on_ray.run_on_ray(load_demo_model, job).explained == 2


def test_it_needs_an_actor(tmp_path):
    with pytest.raises(InputError, match="actors must be at least 1, got"):
        on_ray.run_on_ray(load_demo_model, begin_job([Entry("a")], tmp_path), actors=0)


def distill(folder: Path, *more: Any) -> Result:
    """The command, which teaches a student while it runs."""
    model = ("--model", "smooth:Smooth", "--segments", SEGMENTS, "--device", "cpu", "--n-samples", 96, "--distill", 7)
    return CliRunner().invoke(cli, list(map(str, ("corpus", folder / "songs.csv", *model, *more))))


@pytest.mark.slow
def test_a_student_that_is_taught_on_ray_guides_to_the_same_tables(tmp_path):
    write_songs(tmp_path, 9)
    done = distill(tmp_path, "--engine", "ray", "--out", tmp_path / "ray")
    assert done.exit_code == 0, done.output
    assert "9 songs explained, 0 failed, 0 done before" in done.stderr
    assert distill(tmp_path, "--workers", 0, "--out", tmp_path / "here").exit_code == 0
    for name in ("attributions", "interactions"):
        here, there = (parquet.read_table(tmp_path / out / name).to_pylist() for out in ("here", "ray"))
        assert here == there
    assert "9 done before" in distill(tmp_path, "--workers", 0, "--out", tmp_path / "ray").stderr
