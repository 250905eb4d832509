"""Dataclasses as tables of CSV and Parquet, whose columns and types are the same whether there are rows or none."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow
from pyarrow import csv, parquet

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically

NUMBER, TEXT = pyarrow.float64(), pyarrow.string()
TEXTS = pyarrow.list_(TEXT)
_TYPES = {str: TEXT, int: pyarrow.int64(), float: NUMBER, bool: pyarrow.bool_()}


def list_columns(of: type) -> dict[str, pyarrow.DataType]:
    """A dataclass's fields with their types; names in a tuple are a list, and dictionaries are left out."""
    columns = {}
    for name, hint in get_type_hints(of).items():
        if get_origin(hint) is tuple:
            columns[name] = TEXTS
        elif get_origin(hint) is not dict:
            (kind,) = (one for one in get_args(hint) or (hint,) if one is not NoneType)
            columns[name] = _TYPES[kind]
    return columns


def make_table(columns: Mapping[str, pyarrow.DataType], rows: Iterable[Mapping[str, Any]]) -> pyarrow.Table:
    """These columns of the rows, empty where a row has none."""
    rows = list(rows)
    return pyarrow.table({name: pyarrow.array([row.get(name) for row in rows], kind) for name, kind in columns.items()})


def _flatten(table: pyarrow.Table) -> pyarrow.Table:
    """Lists as JSON, for CSV has none: names hold commas, and whatever else would part them."""
    for place, field in enumerate(table.schema):
        if field.type == TEXTS:
            texts = [json.dumps(names, ensure_ascii=False) for names in table.column(place).to_pylist()]
            table = table.set_column(place, field.name, pyarrow.array(texts, TEXT))
    return table


def write_tables(tables: Mapping[str, pyarrow.Table], out: Path) -> None:
    """Each as .csv and .parquet. InputError where the folder can't be written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            with writing_atomically(out / f"{name}.parquet") as partial:
                parquet.write_table(table, partial)
            with writing_atomically(out / f"{name}.csv") as partial:
                csv.write_csv(_flatten(table), partial)
    except OSError as error:
        raise InputError(f"{str(out)!r} can't be written to ({error.strerror}): give another --out folder.") from error
