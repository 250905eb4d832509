"""A run that is begun again: what killed processes left, what counts as the same run, what it says of songs done before."""

import io
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from models import Additive
from pyarrow import parquet
from warm import run_warm

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import name_partial
from musiclime_torch.basics.progress import SongBar
from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.runs import job as job_module
from musiclime_torch.corpus.runs.job import Job, begin_job, write_shard
from musiclime_torch.corpus.runs.running import Tally, run_here
from musiclime_torch.corpus.runs.shards import TABLES, Place, claim_folder, describe_run
from musiclime_torch.corpus.runs.tables import Rows
from musiclime_torch.models.care import hash_weights
from musiclime_torch.song.manifest import Entry

OPTIONS = {"segments": 2, "n_samples": 32}


@pytest.fixture
def entries(tmp_path: Path) -> tuple[Entry, ...]:
    """Four short mono songs."""
    for number in range(4):
        noise = torch.randn(8000, generator=torch.Generator().manual_seed(number)).numpy() * 0.1
        soundfile.write(tmp_path / f"{number}.wav", noise, 8000)
        (tmp_path / f"{number}.txt").write_text("hold me")
    return tuple(Entry(str(n), tmp_path / f"{n}.wav", tmp_path / f"{n}.txt") for n in range(4))


def begin(entries, out: Path, **more) -> Job:
    return begin_job(entries, out, **{"options": OPTIONS, "loading": {"separator": "none"}, "shard_size": 2, **more})


def run(entries, out: Path, place: Place | None = None, **more):
    return run_here(Additive(), begin(entries, out, **more), workers=0, place=place)


def command(tmp_path: Path, *songs: str) -> list[str]:
    """On songs by the name of their file."""
    (tmp_path / "m.csv").write_text("\n".join(["id,audio", *(f"{name},{name}.wav" for name in songs)]))
    options = ["--model", "demo", "--separator", "none", "--n-samples", "64", "--segments", "2", "--workers", "0"]
    return ["corpus", str(tmp_path / "m.csv"), *options, "--out", str(tmp_path / "out")]


# --- what killed processes leave ---


def leave(out: Path, *names: str) -> set[Path]:
    """Half files, as a process leaves them that is killed while it writes."""
    partials = {name_partial(out / name) for name in names}
    for path in partials:
        path.write_bytes(b"PAR1 half")
    return partials


def test_half_files_match_no_readers_pattern(entries, tmp_path):
    run(entries, tmp_path / "out")
    leave(tmp_path / "out", *(f"{name}/000000.parquet" for name in TABLES))
    for name in TABLES:
        assert [path.name for path in (tmp_path / "out" / name).glob("*.parquet")] == ["000000.parquet", "000001.parquet"]
        duckdb.sql(f"select * from '{tmp_path}/out/{name}/*.parquet'").fetchall()


@pytest.mark.slow
def test_a_killed_process_leaves_what_the_next_one_removes(entries, tmp_path):
    job = begin(entries, tmp_path / "out")
    script = """
import os, signal, sys
from pathlib import Path
from musiclime_torch.corpus.runs.tables import write_table
Path.replace = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
write_table([], "interactions", Path(sys.argv[1]), "")
"""
    path = tmp_path / "out" / "interactions" / job.shards[1].file
    done = run_warm([path], tmp_path, script)
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(path.parent)) == 1
    run(entries, tmp_path / "out")
    assert sorted(os.listdir(path.parent)) == ["000000.parquet", "000001.parquet"]


def test_half_files_go_when_the_run_goes_on(entries, tmp_path):
    out = tmp_path / "out"
    run(entries, out)
    (out / "songs" / "000001.parquet").unlink()
    leave(out, "attributions/000001.parquet", "songs/000001.parquet", "songs/000000.parquet", "failures.parquet", "run.json")
    run(entries, out)
    assert not list(out.rglob(".*"))


def test_half_files_that_another_rank_may_be_writing_stay(entries, tmp_path):
    out = tmp_path / "out"
    begin(entries, out)
    (out / "songs").mkdir()
    (own,) = leave(out, "songs/000000.parquet")
    others = leave(out, "songs/000001.parquet", "failures.parquet")
    run(entries, out, place=Place(0, 2))
    assert not own.exists()
    assert set(out.rglob(".*")) == others


def test_an_attempt_that_another_has_removed_finds_the_run_begun(tmp_path, monkeypatch):
    link = os.link

    def be_overtaken(partial, path):
        link(partial, path)
        os.unlink(partial)
        link(partial, path)

    monkeypatch.setattr(os, "link", be_overtaken)
    claim_folder(tmp_path, {"a": 1}, "m")
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_folder_that_refuses_to_give_up_its_songs_is_a_sentence(entries, tmp_path, monkeypatch):
    job = begin(entries, tmp_path / "out")
    unlink = Path.unlink

    def refuse(path, **more):
        if path.parent.name == "songs" and not path.name.startswith("."):
            raise PermissionError(13, "Permission denied")
        unlink(path, **more)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(InputError, match=r"songs/000000.parquet' can't be written \(Permission denied\)"):
        write_shard(job, job.shards[0], Rows())


# --- what is the same run ---


def test_a_setting_that_is_left_out_now_is_named(tmp_path):
    claim_folder(tmp_path, {"model": "demo", "explain": {"seed": "0", "until": "top 5"}}, "m")
    with pytest.raises(InputError, match=r"other settings, model 'demo' \(now not given\): give"):
        claim_folder(tmp_path, {"explain": {"seed": "0", "until": "top 5"}}, "m")
    with pytest.raises(InputError, match=r"explain until 'top 5' \(now not given\), targets not given \(now 'a'\)"):
        claim_folder(tmp_path, {"model": "demo", "explain": {"seed": "0"}, "targets": "a"}, "m")


@pytest.mark.parametrize(
    "text", ["[]", "{}", "3", '{"settings": 1}', '{"settings": {"a": 1}, "hash": "x", "manifest": "m"}', "\udcff"]
)
def test_a_run_json_of_something_else_is_no_runs(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="is not the record of a run"):
        claim_folder(tmp_path, {"a": 1}, "m")
    with pytest.raises(InputError, match="is not the record of a run"):
        describe_run(tmp_path)


def test_giving_a_default_makes_no_other_run(entries, tmp_path):
    first = begin(entries, tmp_path / "out")
    options = {**OPTIONS, "seed": 0, "design": "auto", "until": None}
    loading = {"separator": "none", "max_seconds": 900.0, "cache_dir": tmp_path}
    again = begin(entries, tmp_path / "out", options=options, loading=loading, controls=0)
    assert again.settings_hash == first.settings_hash
    for other in ({"options": {**OPTIONS, "seed": 1}}, {"loading": {"separator": "none", "max_seconds": 60.0}}):
        with pytest.raises(InputError, match="other settings"):
            begin(entries, tmp_path / "out", **other)
    kept = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    assert (kept["explain"]["seed"], kept["loading"]["max_seconds"]) == ("0", "900.0")
    assert not {"lyrics", "stems", "song"} & set(kept["loading"])


def test_giving_a_default_on_the_command_line_goes_on(entries, tmp_path):
    given = command(tmp_path, "0")
    assert CliRunner().invoke(cli, given).exit_code == 0
    done = CliRunner().invoke(cli, [*given, "--seed", "0", "--design", "auto", "--max-duration", "900", "--controls", "0"])
    assert done.exit_code == 0, done.exception
    assert "0 songs explained, 0 failed, 1 done before." in done.stderr


def test_ids_that_stand_twice_are_refused(entries, tmp_path):
    with pytest.raises(InputError, match=r"the manifest, song 3: the id '0' is that of song 1 too: make ids unique"):
        begin([*entries[:2], replace(entries[3], id="0")], tmp_path / "out")
    with pytest.raises(InputError, match=r"the manifest, row 9: the id '0' is that of song 1 too"):
        begin([*entries[:2], replace(entries[3], id="0", place="row 9")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_manifests_order_changes_no_attribution(entries, tmp_path):
    run(entries[:3], tmp_path / "one")
    run(entries[2::-1], tmp_path / "other")
    found = []
    for name in ("one", "other"):
        tables = [parquet.read_table(path).to_pylist() for path in sorted((tmp_path / name).glob("attributions/*.parquet"))]
        found.append([{row["id"] for row in table} for table in tables])
        rows = sorted((row for table in tables for row in table), key=lambda row: row["id"])  # components keep their order
        found.append([{**row, "attribution": 0, "standard_error": 0} for row in rows])
        found.append([[row["attribution"], row["standard_error"]] for row in rows])
    assert (found[0], found[3]) == ([{"0", "1"}, {"2"}], [{"2", "1"}, {"0"}])
    assert found[1] == found[4]
    sizes = np.array(found[2])
    assert np.abs(sizes[:, 0]).max() > 0.1
    np.testing.assert_allclose(np.array(found[5]), sizes, rtol=1e-5, atol=1e-5 * np.abs(sizes[:, 0]).max())


# --- what is said of songs done before ---


def test_a_run_in_which_all_songs_failed_ends_the_same_way_again(tmp_path):
    given = command(tmp_path, "nowhere", "none")
    said = []
    for more in ([], [], ["--retry"]):
        done = CliRunner().invoke(cli, [*given, *more])
        assert done.exit_code != 0
        said.append(str(done.exception))
    assert said[0].startswith("no song could be explained. The first failure: ")
    assert "nowhere.wav" in said[0]
    assert "--retry" in said[0]
    assert len(set(said)) == 1


def test_songs_that_failed_before_are_told(entries, tmp_path):
    given = command(tmp_path, "0", "nowhere", "1")
    CliRunner().invoke(cli, given)
    done = CliRunner().invoke(cli, given)
    assert done.exit_code == 0
    assert "0 songs explained, 0 failed, 3 done before (1 of them failed)." in done.stderr
    assert "nowhere.wav" in done.stderr
    assert "with --retry" in done.stderr


def test_failures_are_those_of_a_rank(entries, tmp_path):
    odd = [*entries[:2], Entry("none"), Entry("nor")]
    for expected in ((0, 2, 0, 0), (0, 0, 2, 2)):
        done = run(odd, tmp_path / "out", place=Place(1, 2))
        assert (done.explained, done.failed, done.before, done.failed_before) == expected
        assert "no audio" in done.first_failure
    done = run(odd, tmp_path / "out", place=Place(0, 2))
    assert (done.explained, done.failed_before, done.first_failure) == (2, 0, "")


def rewrite(path: Path) -> None:
    """As later than anything there."""
    path.write_bytes(path.read_bytes())
    when = time.time_ns() + 10**9
    os.utime(path, ns=(when, when))


def test_files_changed_since_are_told_and_refuse_nothing(entries, tmp_path):
    odd = [*entries[:3], Entry("late", tmp_path / "late.wav"), Entry("far", Path("https://example.org/a.wav"))]
    assert run(odd, tmp_path / "out").changed == ()
    assert run(odd, tmp_path / "out").changed == ()
    rewrite(tmp_path / "1.wav")
    rewrite(tmp_path / "2.txt")
    (tmp_path / "late.wav").write_bytes(b"mended")
    rewrite(tmp_path / "late.wav")
    done = run(odd, tmp_path / "out")
    assert (done.explained, done.before, done.changed) == (0, 5, ("1", "2"))
    (tmp_path / "out" / "songs" / "000000.parquet").unlink()
    assert run(odd, tmp_path / "out").changed == ("2",)  # the other one is explained from what it is now


def test_files_changed_since_are_told_in_one_line(entries, tmp_path):
    given = command(tmp_path, "0", "1")
    assert "were changed" not in CliRunner().invoke(cli, given).stderr
    rewrite(tmp_path / "1.wav")
    done = CliRunner().invoke(cli, given)
    assert done.exit_code == 0
    (line,) = (line for line in done.stderr.splitlines() if "were changed" in line)
    assert "were changed since: 1, '1' the first of them. Another --out folder" in line


def test_looking_back_at_ten_thousand_songs_takes_less_than_a_second(tmp_path):
    (tmp_path / "a.txt").write_text("la")
    files = [tmp_path / f"{n}.wav" for n in range(10_000)]
    for path in files:
        path.touch()
    job = begin([Entry(str(n), path, tmp_path / "a.txt") for n, path in enumerate(files)], tmp_path / "out", shard_size=16)
    write_shard(job, job.shards[0], Rows())
    for shard in job.shards[1:]:
        for name in ("failures", "songs"):
            os.link(tmp_path / "out" / name / "000000.parquet", tmp_path / "out" / name / shard.file)
    started = time.process_time()
    done = Tally().close(job, job.shards)
    assert time.process_time() - started < 1
    assert (done.before, done.changed) == (10_000, ())


# --- the bar ---


def test_the_bar_counts_songs_a_second_however_slow(entries, tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    job = begin(entries, tmp_path / "out")
    with SongBar(len(entries), True) as bar:
        shown = bar._bar.format_meter(**{**bar._bar.format_dict, "n": 3, "elapsed": 60.0})
    assert "3.0/4 [01:00<00:20,  0.05 songs/s]" in shown
    screen.truncate(0)
    run_here(Additive(), job, workers=0, progress=True)
    assert "4.0/4" in screen.getvalue()
    assert " songs/s" in screen.getvalue()
    # The one that is explained, and how far it is.
    assert f"{entries[0].id}, " in screen.getvalue()
    assert " passes]" not in screen.getvalue()


# --- other readers ---


def check_tables(read, out: Path) -> None:
    """`read` makes rows of a folder's files."""
    for name in ("attributions", "songs", "failures"):
        found, expected = read(out / name), parquet.read_table(out / name).to_pylist()
        assert [row["id"] for row in found] == [row["id"] for row in expected]
        if name == "attributions":
            assert [row["attribution"] for row in found] == [row["attribution"] for row in expected]
            assert [row["class"] for row in found] == [row["class"] for row in expected]


@pytest.fixture
def out(entries, tmp_path: Path) -> Path:
    """A run with a failure that a kill has marked, and its summary in CSV."""
    run([*entries, Entry("none")], tmp_path / "out")
    leave(tmp_path / "out", "attributions/000000.parquet", "songs/000009.parquet")
    shown = CliRunner().invoke(cli, ["global", str(tmp_path / "out"), "--min-songs", "2", "--out", str(tmp_path / "tables")])
    assert shown.exit_code == 0, shown.exception
    return tmp_path / "out"


def test_pandas_reads_what_a_run_writes(out):
    pandas = pytest.importorskip("pandas")
    check_tables(lambda folder: pandas.read_parquet(folder).to_dict("records"), out)
    features = pandas.read_csv(out.parent / "tables" / "features.csv")
    assert list(features["name"]) == parquet.read_table(out.parent / "tables" / "features.parquet")["name"].to_pylist()
    assert features["mean"].dtype == float


def test_polars_reads_what_a_run_writes(out):
    polars = pytest.importorskip("polars")
    check_tables(lambda folder: polars.read_parquet(folder / "*.parquet").to_dicts(), out)
    assert polars.read_csv(out.parent / "tables" / "features.csv").height


def test_duckdb_reads_what_a_run_writes(out):
    check_tables(lambda folder: duckdb.sql(f"select * from '{folder}/*.parquet'").to_arrow_table().to_pylist(), out)
    assert duckdb.sql(f"select * from '{out.parent}/tables/features.csv'").fetchall()


# --- a shard that was under way ---


class Stopping(Additive):
    """It is stopped at its n-th song, which is one pass of the tokenizer each."""

    name = "Additive"

    def __init__(self, songs: int) -> None:
        super().__init__()
        self.left = songs

    def tokenize(self, text: str) -> Any:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().tokenize(text)


def test_a_stop_loses_no_song_of_a_shard_that_was_kept(entries, tmp_path, monkeypatch):
    """Four songs in one shard; the third is never reached."""
    run(entries, tmp_path / "whole", shard_size=4)
    monkeypatch.setattr(job_module, "KEPT_EVERY", 0.0)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_here(Stopping(2), begin(entries, out, shard_size=4), workers=0)
    assert not list(out.glob("songs/*.parquet"))
    counted = Stopping(99)
    done = run_here(counted, begin(entries, out, shard_size=4), workers=0)
    assert 99 - counted.left == 2
    assert (done.explained, done.failed) == (4, 0)
    for name in TABLES:
        there = parquet.read_table(tmp_path / "whole" / name / "000000.parquet")
        here = parquet.read_table(out / name / "000000.parquet")
        # What explaining took is another time's.
        timed = ["seconds"] if name == "songs" else []
        assert here.drop(timed).equals(there.drop(timed)), name
    assert not (out / "begun").exists()


def test_kept_songs_of_other_weights_or_of_a_damaged_file_are_explained_again(entries, tmp_path, monkeypatch):
    monkeypatch.setattr(job_module, "KEPT_EVERY", 0.0)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_here(Stopping(2), begin(entries, out, shard_size=4), workers=0)
    other = Stopping(99)
    with torch.no_grad():
        other.gain += 1
    job = begin(entries, out, shard_size=4)
    assert len(job_module.Begun(job, job.shards[0], hash_weights(Stopping(1))).done) == 2
    assert not job_module.Begun(job, job.shards[0], hash_weights(other)).done
    (out / "begun" / "000000.json").write_text("{")
    assert run_here(other, job, workers=0).explained == 4
    assert 99 - other.left == 4


def test_what_is_done_is_kept_once_a_minute(entries, tmp_path):
    now = 0.0
    job = begin(entries, tmp_path / "out", shard_size=4)
    begun = job_module.Begun(job, job.shards[0], "", clock=lambda: now)
    now = 59.0
    begun.keep(Rows())
    assert not begun.path.exists()
    now = 60.0
    begun.keep(Rows())
    assert begun.path.exists()
    begun.remove()
    assert not begun.path.exists()
