"""Every component of every class as a row, for CSV and Parquet: the columns of a catalogue's `attributions`, and more."""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

from musiclime_torch.basics.errors import needing
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.explanation.explanation import Explanation


def list_rows(explanation: Explanation) -> list[dict[str, Any]]:
    """Rows by class, then by column; `low` to `high` is the interval. Values that don't apply are None."""
    rows = []
    for row, class_name in enumerate(explanation.classes):
        for column, item in enumerate(explanation.components.items):
            value, half = float(explanation.attributions[row, column]), float(explanation.half_width[row, column])
            rows.append(
                {
                    "class": class_name,
                    "component": item.name,
                    "kind": item.kind,
                    "stem": item.stem,
                    "start": item.start,
                    "end": item.end,
                    "word": item.word,
                    "line": item.line,
                    "attribution": value,
                    "standard_error": float(explanation.standard_errors[row, column]),
                    "low": value - half,
                    "high": value + half,
                    "significant": bool(explanation.significant[row, column]),
                    "unseen": explanation.unseen.get(column),
                }
            )
    return rows


def to_csv(explanation: Explanation) -> str:
    """All rows as CSV with a header."""
    rows, buffer = list_rows(explanation), StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_parquet(explanation: Explanation, path: str | Path) -> None:
    """All rows as Parquet. InputError where pyarrow isn't installed."""
    with needing("musiclime_torch[corpus]"):
        import pyarrow
        from pyarrow import parquet
    kinds = {"line": pyarrow.int32(), "significant": pyarrow.bool_()}
    numbers = ("start", "end", "attribution", "standard_error", "low", "high")
    names = ("class", "component", "kind", "stem", "start", "end", "word", "line", *numbers[2:], "significant", "unseen")
    kinds |= dict.fromkeys(numbers, pyarrow.float64())
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in names])
    with writing_atomically(Path(path)) as partial:
        parquet.write_table(pyarrow.Table.from_pylist(list_rows(explanation), schema), partial, compression="zstd")
