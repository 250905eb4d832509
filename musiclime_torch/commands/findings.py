"""`musiclime global` and `musiclime compare`. Nothing heavy is imported before they run."""

from collections.abc import Mapping
from pathlib import Path

import click

from musiclime_torch.basics.errors import InputError, needing, require
from musiclime_torch.basics.files import refuse_file
from musiclime_torch.commands.help import Grouped
from musiclime_torch.commands.options import split
from musiclime_torch.commands.refusals import refuse_other_folders


@click.command(
    "global",
    cls=Grouped,
    examples=("musiclime global run", "musiclime global run --class rock --report catalogue --plots plots"),
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--class", "class_names", metavar="A,B", help="Show these classes only.")
@click.option("--top", type=click.IntRange(min=1), default=8, show_default=True, help="Words and cells per class.")
@click.option("--min-songs", type=click.IntRange(min=2), help="Leave out features that fewer songs have.  [default: 10]")
@click.option("--all-classes", is_flag=True, help="Count every song for every class that the run wrote.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the tables as CSV and Parquet.")
@click.option("--report", type=click.Path(path_type=Path), metavar="DIR", help="Folder for a page to look at, index.html.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Folder for figures, as SVG.")
def summarise(
    folder: Path,
    class_names: str | None,
    top: int,
    min_songs: int | None,
    all_classes: bool,
    out: Path | None,
    report: Path | None,
    plots: Path | None,
) -> None:
    """What carries each class in a catalogue explained by `musiclime corpus`, and what stands out."""
    _refuse_early(folder, plots=plots, written={"out": out, "report": report, "plots": plots})
    from rich.console import Console

    with needing("musiclime_torch[corpus]"):
        from musiclime_torch.corpus.findings.aggregation import aggregate
        from musiclime_torch.corpus.findings.auditing import audit
        from musiclime_torch.corpus.reports.columns import clean, write_summary
        from musiclime_torch.corpus.reports.terminal import make_tables, say_finding, say_left_out

    given = {} if min_songs is None else {"min_songs": min_songs}
    catalogue = aggregate(folder, all_classes=all_classes, **given)
    names = [summary.name for summary in catalogue.classes]
    chosen = () if class_names is None else (class_names,) if class_names in names else split(class_names)
    strange = next((name for name in chosen if name not in names), None)
    if strange is not None:
        raise InputError(f"no song was given the class {strange!r}: choose from {', '.join(map(clean, names))}.")
    findings = audit(folder, catalogue, **given)
    # Names are printed as they are: rich would turn ":cd:" into an emoji.
    console = Console(emoji=False)
    console.print(f"{catalogue.songs} songs explained, {catalogue.failures} failed.", highlight=False)
    for floor in catalogue.floors:
        line = f"{floor.kind}: 95% of components known to be irrelevant lie below {floor.size:.3g} ({floor.songs} songs)."
        console.print(line, highlight=False)
    for finding in findings:
        for line in say_finding(finding):
            console.print(line, markup=False, highlight=False)
    for table in make_tables(catalogue, chosen, top):
        console.print(table)
    for line in say_left_out(catalogue, chosen):
        console.print(line, markup=False, highlight=False)
    if out is not None:
        write_summary(catalogue, findings, out)
        click.echo(f"Written to {out}.", err=True)
    if report is not None:
        from musiclime_torch.corpus.findings.parts import read_run
        from musiclime_torch.corpus.reports.page import MOST_SONGS, write_corpus_report
        from musiclime_torch.corpus.runs.shards import PAGES

        run = read_run(folder, MOST_SONGS)
        title = folder.resolve().name
        page = write_corpus_report(catalogue, findings, report, title=title, run=run, pages=folder / PAGES)
        click.echo(f"Open {page} in a browser.", err=True)
    if plots is not None:
        with needing("musiclime_torch[plots]"):
            import matplotlib as mpl

            mpl.use("agg")
            from musiclime_torch.corpus.reports.figures import write_plots
        click.echo(f"Figures written to {plots}: {len(write_plots(catalogue, plots))}.", err=True)


@click.command(
    "compare",
    cls=Grouped,
    examples=("musiclime compare before after", "musiclime compare before after --min-songs 10 --out tables"),
)
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows of the table, and changed decisions."
)
@click.option("--min-songs", type=click.IntRange(min=2), help="Leave out features that fewer songs have.  [default: 10]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the tables as CSV and Parquet.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Folder for figures, as SVG.")
def contrast(first: Path, second: Path, top: int, min_songs: int | None, out: Path | None, plots: Path | None) -> None:
    """Where two runs over the same songs differ, for example of two versions of a model."""
    _refuse_early(first, second, plots=plots, written={"out": out, "plots": plots})
    from rich.console import Console

    with needing("musiclime_torch[corpus]"):
        from musiclime_torch.corpus.findings.comparing import compare
        from musiclime_torch.corpus.reports.terminal import (
            describe_comparison,
            describe_shift,
            make_comparison,
            write_comparison,
        )

    comparison = compare(first, second, **({} if min_songs is None else {"min_songs": min_songs}))
    # Names are printed as they are: rich would turn ":cd:" into an emoji.
    console = Console(emoji=False)
    for line in describe_comparison(comparison, top):
        console.print(line, markup=False, highlight=False)
    if comparison.shifts:
        console.print(make_comparison(comparison, top))
        console.print(describe_shift(comparison.shifts[0]), markup=False, highlight=False)
    if out is not None:
        write_comparison(comparison, out)
        click.echo(f"Written to {out}.", err=True)
    if plots is not None:
        with needing("musiclime_torch[plots]"):
            import matplotlib as mpl

            mpl.use("agg")
            from musiclime_torch.corpus.reports.figures import write_shifts
        click.echo(f"Figures written to {plots}: {len(write_shifts(comparison, plots))}.", err=True)


def _refuse_early(*folders: Path, plots: Path | None, written: Mapping[str, Path | None]) -> None:
    """What shows before anything heavy is imported, and long before figures are drawn."""
    for package in ("duckdb", "pyarrow"):
        require(package, "musiclime_torch[corpus]")
    if plots is not None:
        require("matplotlib", "musiclime_torch[plots]")
    for argument, folder in written.items():
        refuse_file(folder, argument)
    refuse_other_folders(folders)
