"""Tables of an explanation, read back from CSV and Parquet."""

import csv
from io import StringIO
from pathlib import Path

import duckdb
import pytest
from hostile import ODD

from musiclime_torch.views.exports.files import list_rows, to_csv, write_parquet


def test_tables_hold_every_class_and_component(explained, odd, tmp_path: Path):
    rows = list_rows(explained)
    assert len(rows) == len(explained.classes) * len(explained.components)
    first = rows[len(explained.components) * explained.target]
    assert first["attribution"] == float(explained.attributions[explained.target, 0])
    assert first["high"] - first["low"] == pytest.approx(2 * float(explained.half_width[explained.target, 0]))
    read = list(csv.DictReader(StringIO(to_csv(odd))))
    assert read[0]["component"] == ODD + explained.components.items[0].name
    assert [float(row["attribution"]) for row in read] == [row["attribution"] for row in rows]
    write_parquet(odd, tmp_path / "a.parquet")
    back = duckdb.sql(f"select component, attribution, line, significant from '{tmp_path}/a.parquet'").fetchall()
    assert [row[1] for row in back] == [row["attribution"] for row in rows]
    assert back[-1][0] == ODD + explained.components.items[-1].name
    assert back[-1][2] == explained.components.items[-1].line
