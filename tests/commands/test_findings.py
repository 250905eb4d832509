"""`musiclime compare`: what it says, writes and draws."""

from pathlib import Path

import duckdb
import matplotlib as mpl
import numpy as np
from catalogues import heard, read, song, write_songs
from click.testing import CliRunner

from musiclime_torch.commands.cli import cli
from musiclime_torch.corpus.findings.comparing import Comparison, compare

mpl.use("agg")


def contrast(folder: Path, first: list[dict], second: list[dict], **options: float) -> Comparison:
    write_songs(folder / "first", first)
    write_songs(folder / "second", second)
    return compare(folder / "first", folder / "second", **options)


def test_the_command_says_writes_and_draws(tmp_path):
    rng = np.random.default_rng(0)
    first = [song(f"[s]{n:02d}", heard("drums", float(rng.normal())), read("love", 1.0)) for n in range(12)]
    second = [song(one["id"], *one["rows"][:1], read("love", 2.0 + 0.01 * n)) for n, one in enumerate(first)]
    contrast(tmp_path, [*first, song("[b]:cd:", heard("drums", 0.0))], second)
    folders = ["--out", str(tmp_path / "out"), "--plots", str(tmp_path / "plots")]
    done = CliRunner().invoke(cli, ["compare", str(tmp_path / "first"), str(tmp_path / "second"), *folders])
    assert done.exit_code == 0, done.output
    assert "12 songs in both; the decision changed in 0" in done.stdout
    assert "1 only in the first run: [b]:cd:\n" in done.stdout
    assert "1 of 2 means that were compared changed." in done.stdout
    assert "a, love: changed most in [s]11, [s]10, [s]09, [s]08, [s]07, …" in done.stdout
    assert "Written to" in done.stderr
    assert f"Figures written to {tmp_path / 'plots'}: 1." in done.stderr
    assert duckdb.sql(f"select name, songs from '{tmp_path}/out/shifts.csv'").fetchall() == [("love", 12)]
    same = CliRunner().invoke(cli, ["compare", str(tmp_path / "first"), str(tmp_path / "first")])
    assert same.exit_code == 0, same.output
    assert "0 of 2 means that were compared changed." in same.stdout
    assert "±" not in same.stdout
