"""`musiclime corpus` and its followers, also where processes are killed or share a run."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from small_runs import read, run
from warm import run_warm, start_warm

from musiclime_torch.commands.cli import cli
from musiclime_torch.song.manifest import read_manifest


def asked(manifest: Path, out: Path, *more: str) -> list[str]:
    options = ["--separator", "none", "--n-samples", "64", "--segments", "2", "--units", "line", "--shard-size", "2"]
    return ["corpus", str(manifest), "--model", "demo", "--out", str(out), *options, *more]


def start(arguments: list[str]) -> subprocess.Popen:
    command, here = [sys.executable, "-m", "musiclime_torch"], {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=here)


@pytest.fixture(scope="module")
def whole(manifest, tmp_path_factory) -> Path:
    """The run in one process that the others have to equal."""
    out = tmp_path_factory.mktemp("whole")
    run(read_manifest(manifest), out, shard_size=2)
    return out


@pytest.mark.slow
def test_kills_lose_and_double_nothing_and_leave_no_process(manifest, entries, whole, tmp_path):
    out, rng, finished = tmp_path / "killed", np.random.default_rng(0), 0
    for _ in range(2):
        process = start(asked(manifest, out, "--workers", "1"))
        while len(list(out.glob("songs/0*.parquet"))) <= finished and process.poll() is None:
            time.sleep(0.02)
        time.sleep(float(rng.uniform(0, 0.5)))
        process.kill()
        # Ends once every process that holds its pipes has gone.
        process.communicate(timeout=60)
        finished = len(list(out.glob("songs/0*.parquet")))
    resumed = run_warm(asked(manifest, out, "--workers", "1"), tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    for name in ("attributions", "interactions"):
        assert read(out, name) == read(whole, name)
    assert Counter(row[0] for row in read(out, "songs")) == Counter(entry.id for entry in entries)


@pytest.mark.slow
def test_two_ranks_side_by_side(manifest, whole, tmp_path):
    out = tmp_path / "two"
    both = [start_warm(asked(manifest, out), tmp_path, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    said = [process.wait() for process in both]
    assert all(done.returncode == 0 for done in said), said
    assert read(out, "attributions") == read(whole, "attributions")


def test_a_folder_of_songs_is_a_catalogue(tmp_path):
    folder = tmp_path / "songs"
    folder.mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).normal(size=16000) / 10
        soundfile.write(folder / f"song {number}.wav", noise, 16000)
    (folder / "song 1.lrc").write_text("[00:00.00]hold me now")
    out, options = tmp_path / "out", ["--model", "demo", "--separator", "none", "--n-samples", "64", "--segments", "2"]
    done = CliRunner().invoke(cli, ["corpus", str(folder), *options, "--workers", "0", "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = duckdb.sql(f"select id, file, lyrics_file from read_parquet('{out}/songs/*.parquet') order by id").fetchall()
    assert rows == [("song 0", "song 0.wav", ""), ("song 1", "song 1.wav", "song 1.lrc")]


def test_commands(manifest, tmp_path):
    out = tmp_path / "out"
    options = ["--model", "demo", "--separator", "none", "--n-samples", "64", "--segments", "4", "--workers", "0"]
    done = CliRunner().invoke(cli, ["corpus", str(manifest), *options, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "10 songs explained, 0 failed, 0 done before" in done.stderr
    folders = ["--out", str(tmp_path / "tables"), "--plots", str(tmp_path / "plots")]
    shown = CliRunner().invoke(cli, ["global", str(out), "--min-songs", "3", *folders])
    assert shown.exit_code == 0, shown.output
    assert "love song: means over 5 songs" in shown.stdout
    assert len(duckdb.sql(f"select * from '{tmp_path}/tables/features.csv'").fetchall()) > 8
    assert {path.suffix for path in (tmp_path / "tables").iterdir()} == {".csv", ".parquet"}
    assert len(list((tmp_path / "plots").glob("*.svg"))) == 5
    wrong = CliRunner().invoke(cli, ["global", str(out), "--class", "jazz"])
    assert "choose from drum fill, love song" in str(wrong.exception)
    assert "holds no run" in str(CliRunner().invoke(cli, ["global", str(tmp_path)]).exception)
    part = CliRunner().invoke(cli, ["corpus", str(manifest), *options, "--end", "1.5", "--out", str(tmp_path / "part")])
    assert part.exit_code == 0, part.output
    seconds = duckdb.sql(f"select distinct sound_seconds from '{tmp_path}/part/songs/*.parquet'").fetchall()
    assert seconds == [(pytest.approx(1.5, abs=0.01),)]
    for more, said in (
        (["--foil", "anthem"], "one song"),
        (["--baseline", "x.wav"], "silence or noise"),
        (["--actors", "2"], "not for --engine here"),
    ):
        failed = CliRunner().invoke(cli, ["corpus", str(manifest), *options, *more, "--out", str(tmp_path / "b")])
        assert said in str(failed.exception)
