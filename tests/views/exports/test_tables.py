"""Tables of an explanation, read back from CSV and Parquet."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import duckdb
import pytest

from musiclime_torch.demo.bundle import load_demo_model, load_demo_track
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.views.exports.tables import list_rows, to_csv, write_parquet

ODD = 'a\tb\n"c",<d> ​$é'


@pytest.fixture(scope="module")
def explained() -> Explanation:
    found = explain(load_demo_model(), load_demo_track(), segments=4, n_samples=(48, 96), target="anthem")
    assert found.top(3)
    return found


@pytest.fixture
def odd(explained) -> Explanation:
    """Names that no format expects."""
    items = tuple(replace(item, name=ODD + item.name) for item in explained.components.items)
    return replace(explained, components=replace(explained.components, items=items))


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
