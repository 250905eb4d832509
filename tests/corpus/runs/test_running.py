"""Runs over a catalogue: what fails is a row, what is done is not done again."""

import errno
import gc
import os
import shutil
import weakref
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from models import Additive
from pyarrow import parquet
from small_runs import read, run

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.runs import running
from musiclime_torch.corpus.runs.job import begin_job, write_shard
from musiclime_torch.corpus.runs.running import run_here
from musiclime_torch.corpus.runs.shards import TABLES, Place
from musiclime_torch.song.manifest import Entry, read_manifest


@pytest.fixture(scope="module")
def one(manifest, tmp_path_factory) -> Path:
    """A run of all songs in one process."""
    out = tmp_path_factory.mktemp("one")
    run(read_manifest(manifest), out)
    return out


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_processes_writes_the_same(entries, one, tmp_path, world):
    for rank in reversed(range(world)):
        run(entries, tmp_path / "many", place=Place(rank, world))
    for name in ("attributions", "interactions", "failures"):
        assert read(one, name) == read(tmp_path / "many", name)
    assert (tmp_path / "many" / "failures.parquet").exists()


def test_what_is_done_is_not_done_again(entries, one, tmp_path):
    shutil.copytree(one, tmp_path, dirs_exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("0*.parquet")}
    (tmp_path / "songs" / "000001.parquet").unlink()  # as if killed before its last file
    (tmp_path / "songs" / "000002.parquet").write_bytes(b"PAR1 cut short")
    done = run(entries, tmp_path)
    assert (done.explained, done.before) == (6, 4)
    touched = {path.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert touched == {"000001.parquet", "000002.parquet"}
    assert Counter(row[0] for row in read(tmp_path, "songs")) == Counter(entry.id for entry in entries)


def test_songs_that_fail_are_rows_and_end_nothing(entries, tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    odd = [
        Entry("../../etc/passwd", entries[0].audio),
        Entry("nowhere", tmp_path / "nowhere.wav", place="row 2, line 3"),
        Entry("bad\0\n\"';--", tmp_path / "bad.wav"),
        Entry("none"),
        Entry("x" * 5000, entries[1].audio),
    ]
    out = tmp_path / "out"
    done = run(odd, out)
    assert (done.explained, done.failed) == (2, 3)
    failures = parquet.read_table(out / "failures.parquet").to_pylist()
    assert [row["id"] for row in failures] == ["nowhere", "bad\0\n\"';--", "none"]
    assert failures[0]["place"] == "row 2, line 3"
    assert "nowhere.wav" in failures[0]["reason"]
    assert {row[0] for row in read(out, "songs")} == {odd[0].id, odd[4].id}
    assert not [path for path in out.rglob("*") if not path.name.startswith(("0", "run", *TABLES))]


def test_songs_that_failed_are_tried_again_when_asked(manifest, entries, tmp_path):
    late = tmp_path / "late.flac"
    rows = [f"{one.id},{one.audio}" for one in entries[:3]]
    (tmp_path / "songs.csv").write_text("\n".join(["id,audio", *rows, f"late,{late}"]))
    options = ["--model", "demo", "--separator", "none", "--n-samples", "64", "--segments", "4", "--workers", "0"]
    command = ["corpus", str(tmp_path / "songs.csv"), *options, "--shard-size", "2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, command)
    assert "3 songs explained, 1 failed, 0 done before" in done.stderr
    assert "with --retry" in done.stderr
    late.write_bytes(entries[3].audio.read_bytes())
    assert "0 songs explained, 0 failed, 4 done before" in CliRunner().invoke(cli, command).stderr
    assert "2 songs explained, 0 failed, 2 done before" in CliRunner().invoke(cli, [*command, "--retry"]).stderr
    assert "0 songs explained, 0 failed, 4 done before" in CliRunner().invoke(cli, [*command, "--retry"]).stderr
    assert [row[0] for row in read(tmp_path / "out", "songs")] == sorted([*(one.id for one in entries[:3]), "late"])
    assert not parquet.read_table(tmp_path / "out" / "failures.parquet").num_rows


def test_a_full_disk_is_a_sentence_and_loses_nothing(entries, tmp_path, monkeypatch):
    run(entries[:3], tmp_path / "reference", shard_size=1)
    whole, calls = os.fsync, []

    def fill(descriptor):
        calls.append(descriptor)
        if len(calls) == 8:  # in the middle of the second shard
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(descriptor)

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(InputError, match=r"No space left on device.*resume the run"):
        run(entries[:3], tmp_path / "full", shard_size=1)
    monkeypatch.undo()
    assert len(read(tmp_path / "full", "songs")) == 1
    assert not list((tmp_path / "full").rglob(".*"))
    run(entries[:3], tmp_path / "full", shard_size=1)
    assert read(tmp_path / "full", "attributions") == read(tmp_path / "reference", "attributions")


def test_a_bare_model_runs_too(entries, tmp_path):
    done = run_here(Additive(), begin_job(entries[:1], tmp_path, options={"segments": 2, "n_samples": 16}), workers=0)
    assert done.explained + done.failed == 1


def test_the_rows_of_finished_shards_are_let_go(entries, tmp_path, monkeypatch):
    """A catalogue's rows are gigabytes: no more than two shards' are there at once."""
    alive: list[weakref.ref] = []

    def note(job, shard, rows) -> None:
        write_shard(job, shard, rows)
        alive.append(weakref.ref(rows))
        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 2

    monkeypatch.setattr(running, "write_shard", note)
    run(entries, tmp_path / "out", shard_size=2)
    assert len(alive) >= 4
