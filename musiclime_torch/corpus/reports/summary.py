"""A catalogue's classes as CSV and Parquet."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from musiclime_torch.corpus.findings.aggregation import ClassSummary, Feature, Global, Pair
from musiclime_torch.corpus.findings.auditing import Finding
from musiclime_torch.corpus.reports.columns import NUMBER, list_columns, make_table, write_tables


def write_summary(found: Global, findings: Sequence[Finding], out: Path) -> None:
    """features, classes, pairs and findings, each as .csv and .parquet. InputError where the folder can't be written to."""
    classes = []
    for one in found.classes:
        shares = {f"share of {stem}": share for stem, share in one.stem_shares.items()}
        classes.append(shares | {f"standard error of {stem}": error for stem, error in one.stem_errors.items()})
    # Each class has the stems that its songs have.
    stems = dict.fromkeys((name for row in classes for name in row), NUMBER)
    rows = [asdict(one) | row for one, row in zip(found.classes, classes, strict=True)]
    tables = {
        "features": make_table(list_columns(Feature), map(asdict, found.features)),
        "classes": make_table(list_columns(ClassSummary) | stems, rows),
        "pairs": make_table(list_columns(Pair), map(asdict, found.pairs)),
        "findings": make_table(list_columns(Finding), map(asdict, findings)),
    }
    write_tables(tables, out)
