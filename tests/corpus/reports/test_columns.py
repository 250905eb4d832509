"""Tables of a comparison and of a summary keep their columns."""

import csv
import json

import matplotlib as mpl
import pytest
from catalogues import LONG, heard, make_global, song
from pyarrow import parquet

from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.findings.comparing import Alone, Comparison
from musiclime_torch.corpus.reports.columns import write_summary
from musiclime_torch.corpus.reports.terminal import write_comparison

mpl.use("agg")


def test_tables_are_written(odd, tmp_path):
    write_comparison(odd, tmp_path)
    names = {"shifts", "moves", "alone", "examples"}
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{end}" for name in names for end in ("csv", "parquet")}
    rows = parquet.read_table(tmp_path / "shifts.parquet").to_pylist()
    assert (rows[0]["name"], rows[0]["change"], rows[0]["share"], rows[0]["examples"]) == (LONG, 2.0, 0.25, ["[/b] 1", "2"])
    assert rows[0]["half_width"] == pytest.approx(0.22010, abs=1e-4)
    with (tmp_path / "examples.csv").open(newline="") as file:
        examples = list(csv.DictReader(file))
    assert [row["id"] for row in examples] == ["[/b] 1", "2", "3", "4, 5"]
    assert examples[3] == {
        "class_name": "$x_1$ of a class with a name",
        "kind": "audio",
        "name": "vocals [dry] 0",
        "id": "4, 5",
    }
    assert parquet.read_table(tmp_path / "moves.parquet").to_pylist() == [
        {"before": "[red]sad", "after": LONG, "songs": 1, "examples": ["[bold]x"]}
    ]
    assert parquet.read_table(tmp_path / "alone.parquet").to_pylist() == [
        {"run": "first", "songs": 0, "failed": 0, "examples": []},
        {"run": "second", "songs": 1, "failed": 1, "examples": ["[i]y"]},
    ]
    with (tmp_path / "shifts.csv").open(newline="") as file:
        assert json.loads(next(csv.DictReader(file))["examples"]) == ["[/b] 1", "2"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="another out folder"):
        write_comparison(odd, tmp_path / "file")


def test_tables_without_rows_keep_their_columns(odd, tmp_path):
    write_comparison(odd, tmp_path / "full")
    write_comparison(Comparison(14, 0, Alone(0, 0, ()), Alone(0, 0, ()), (), None, 20, ()), tmp_path / "empty")
    songs = [song("1", heard("drums", 1.0))]
    write_summary(make_global(tmp_path / "run", songs), (), tmp_path / "few")
    for name in ("shifts", "moves", "examples"):
        full, empty = (parquet.read_table(tmp_path / folder / f"{name}.parquet") for folder in ("full", "empty"))
        assert empty.num_rows == 0
        assert empty.schema == full.schema
        first, second = ((tmp_path / folder / f"{name}.csv").read_text().splitlines()[0] for folder in ("full", "empty"))
        assert first == second
    pairs, findings = (parquet.read_table(tmp_path / "few" / f"{name}.parquet") for name in ("pairs", "findings"))
    assert pairs.num_rows == findings.num_rows == 0
    assert pairs.schema.names == ["class_name", "stem", "word", "songs", "mean", "standard_error"]
    assert [str(kind) for kind in pairs.schema.types] == ["string"] * 3 + ["int64"] + ["double"] * 2
    assert {"kind", "message", "songs", "share", "examples"} <= set(findings.schema.names)


def test_columns_that_only_some_classes_have_are_written(tmp_path):
    songs = [song("1", heard("vocals", 1.0)), song("2", heard("drums", 1.0), of="b")]
    write_summary(make_global(tmp_path / "run", songs), (), tmp_path)
    rows = parquet.read_table(tmp_path / "classes.parquet").to_pylist()
    assert [(row["share of vocals"], row["share of drums"]) for row in rows] == [(1.0, None), (None, 1.0)]
