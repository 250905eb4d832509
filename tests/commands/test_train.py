"""`musiclime train`, and runs of it that are killed or shared by two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from taggers import TAGS
from warm import MAIN, run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.models import load_model
from musiclime_torch.demo.catalogue import main as make_catalogue
from musiclime_torch.training.fitting import CHECKPOINTS, find_checkpoint


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of 30 generated songs with three labels."""
    folder = tmp_path_factory.mktemp("catalogue")
    make_catalogue(["--songs", "30", "--tags", TAGS, "--out", str(folder)])
    return folder / "manifest.csv"


def run_command(*arguments: str):
    return CliRunner().invoke(cli, ["train", *arguments])


def test_command_trains_and_shows_a_table(catalogue, tmp_path):
    done = run_command(str(catalogue), "--model", "tagger", "--epochs", "1", "--out", str(tmp_path), "--classes", TAGS[:19])
    assert done.exit_code == 0, done.output
    assert "macro F1" in done.stdout
    assert "20 of 30 songs have one of these classes" in done.stderr
    assert load_model(str(tmp_path / "model"), "cpu").classes == ("drum fill", "love song")


def test_command_names_bad_rows_and_goes_on_without_them(catalogue, tmp_path):
    lines = catalogue.read_text().splitlines()
    lines[3] = lines[3].replace("audio/", "nowhere/")
    broken = catalogue.parent / "broken.csv"
    broken.write_text("\n".join(lines))
    arguments = (str(broken), "--model", "tagger", "--epochs", "1", "--out", str(tmp_path / "out"))
    failed = run_command(*arguments)
    assert isinstance(failed.exception, InputError)
    assert "1 of 30 songs can't be used: row 3, line 4 (song0002): there is no" in str(failed.exception)
    done = run_command(*arguments, "--skip-bad")
    assert done.exit_code == 0
    assert "1 of 30 songs left out, the first: row 3, line 4" in done.stderr


def test_paths_that_cannot_be_are_named(catalogue, tmp_path):
    long = 300 * "x"
    for arguments, said in (
        ((long, "--out", str(tmp_path / "out")), "there is no manifest"),
        ((str(catalogue), "--model", "tagger", "--out", str(tmp_path / long)), "can't be written to (File name too long)"),
        ((str(catalogue), "--model", "tagger", "--out", str(catalogue)), f"out {catalogue} is a file: give a folder."),
    ):
        failed = run_command(*arguments)
        assert isinstance(failed.exception, InputError), failed.exception
        assert said in str(failed.exception)


def test_models_that_cannot_be_had_are_named(catalogue, tmp_path):
    failed = run_command(str(catalogue), "--audio-model", "nobody/nothing", "--out", str(tmp_path))
    assert "hf download nobody/nothing" in str(failed.exception)
    assert "leave the other models and apart out" in str(
        run_command(str(catalogue), "--model", "tagger", "--apart", "--out", str(tmp_path)).exception
    )


#: As OMP_NUM_THREADS=1 does: sums depend on how many cores share them.
ON_ONE_CORE = "import torch\ntorch.set_num_threads(1)\n" + MAIN


def train_elsewhere(launcher: list[str], catalogue: Path, out: Path) -> list[str]:
    command = [*launcher, "musiclime_torch", "train", str(catalogue), "--model", "tagger", "--epochs", "6"]
    return [*command, "--save-every", "2", "--seed", "5", "--batch-size", "6", "--patience", "0", "--out", str(out)]


@pytest.mark.slow
def test_a_process_that_was_killed_goes_on_to_the_same_weights(catalogue, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = train_elsewhere([sys.executable, "-m"], catalogue, tmp_path / "whole")
    whole = run_warm(command[3:], tmp_path, ON_ONE_CORE)
    assert whole.returncode == 0, whole.stderr
    command = train_elsewhere([sys.executable, "-m"], catalogue, tmp_path / "killed")
    checkpoints = tmp_path / "killed" / "runs" / "model" / CHECKPOINTS
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    while find_checkpoint(checkpoints) is None:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "results.json").exists()
    resumed = run_warm(command[3:], tmp_path, ON_ONE_CORE)
    assert resumed.returncode == 0, resumed.stderr
    assert "Resuming from checkpoint-" in resumed.stderr
    one, two = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert one == two


@pytest.mark.slow
def test_two_processes_train_one_model(catalogue, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29617", "-m"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        train_elsewhere(launcher, catalogue, tmp_path), check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("macro F1") == 1
    steps = json.loads((tmp_path / "runs" / "model" / "finished.json").read_text())["steps"]
    assert steps == 6 * 2  # 18 songs, 6 a batch and process
    assert load_model(str(tmp_path / "model"), "cpu").classes
