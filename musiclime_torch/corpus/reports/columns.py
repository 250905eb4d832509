"""Dataclasses as tables of CSV and Parquet, and names from catalogues as people read them.

Columns and types are the same whether there are rows or none. Words, classes and ids may hold any characters: they are
cleaned and labelled here.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow
from pyarrow import csv, parquet
from rich.text import Text

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.corpus.findings.auditing import Finding
from musiclime_torch.corpus.findings.summaries import ClassSummary, Feature, Global, Pair
from musiclime_torch.variants.components import shorten

NUMBER, TEXT = pyarrow.float64(), pyarrow.string()
TEXTS = pyarrow.list_(TEXT)
_TYPES = {str: TEXT, int: pyarrow.int64(), float: NUMBER, bool: pyarrow.bool_()}


def list_columns(dataclass: type) -> dict[str, pyarrow.DataType]:
    """A dataclass's fields with their types; names in a tuple are a list, and dictionaries are left out."""
    columns = {}
    for name, hint in get_type_hints(dataclass).items():
        if get_origin(hint) is tuple:
            columns[name] = TEXTS
        elif get_origin(hint) is not dict:
            (kind,) = (kind for kind in get_args(hint) or (hint,) if kind is not NoneType)
            columns[name] = _TYPES[kind]
    return columns


def make_table(columns: Mapping[str, pyarrow.DataType], rows: Iterable[Mapping[str, Any]]) -> pyarrow.Table:
    """These columns of the rows, empty where a row has none."""
    rows = list(rows)
    return pyarrow.table({name: pyarrow.array([row.get(name) for row in rows], kind) for name, kind in columns.items()})


def _flatten(table: pyarrow.Table) -> pyarrow.Table:
    """Lists as JSON, for CSV has no lists, and names may hold commas or any other separator."""
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
        raise InputError(
            f"{str(out)!r} can't be written to ({error.strerror}): give another out folder.", argument="out"
        ) from error


def label(kind: str, name: str) -> str:
    """A feature's name for people, whose segments count from one."""
    stem, _, place = name.rpartition(" ")
    return f"{stem}, segment {int(place) + 1}" if kind == "audio" and place.isdigit() else name


def clean(text: str) -> str:
    """The text in one line, without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else " " if character.isspace() else "·" for character in text)


def show(text: str) -> str:
    """The text in one short line."""
    return shorten(clean(text))


def make_cell(text: str) -> Text:
    """The text for a table's column that is shortened before columns of numbers are."""
    return Text(show(text), no_wrap=True, overflow="ellipsis")


def make_label(kind: str, name: str) -> Text:
    """A feature for such a column; a segment's number, which comes last, is wrapped and not cut off."""
    if kind != "audio":
        return make_cell(name)
    stem, parted, place = name.rpartition(" ")
    return Text(label(kind, f"{show(stem)}{parted}{place}"), overflow="ellipsis")


def write_summary(catalogue: Global, findings: Sequence[Finding], out: Path) -> None:
    """features, classes, pairs and findings, each as .csv and .parquet. InputError where the folder can't be written to."""
    classes = []
    for summary in catalogue.classes:
        shares = {f"share of {stem}": share for stem, share in summary.stem_shares.items()}
        shares |= {f"standard error of {stem}": error for stem, error in summary.stem_errors.items()}
        for stem, (effect, error) in summary.stem_effects.items():
            shares |= {f"effect of {stem}": effect, f"standard error of the effect of {stem}": error}
        classes.append(shares)
    # Classes may have different stems, those of their songs: a column for each stem of any class.
    stems = dict.fromkeys((name for row in classes for name in row), NUMBER)
    rows = [asdict(summary) | row for summary, row in zip(catalogue.classes, classes, strict=True)]
    tables = {
        "features": make_table(list_columns(Feature), map(asdict, catalogue.features)),
        "classes": make_table(list_columns(ClassSummary) | stems, rows),
        "pairs": make_table(list_columns(Pair), map(asdict, catalogue.pairs)),
        "findings": make_table(list_columns(Finding), map(asdict, findings)),
    }
    write_tables(tables, out)
