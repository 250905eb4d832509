"""`musiclime corpus`, `musiclime global` and `musiclime compare`. Nothing heavy is imported before they run."""

import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import click

from musiclime_torch.basics.arguments import find_class
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.extras import needing
from musiclime_torch.commands.options import default_device, explain_options, gather, load_models, pop_given, split


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the tables.")
@click.option("--separator", metavar="NAME", help="As in explain, for songs without stems of their own.")
@click.option("--start", type=float, metavar="SECONDS", help="Explain every song from here ...")
@click.option("--end", type=float, metavar="SECONDS", help="... to here.")
@click.option("--max-duration", "max_seconds", type=float, metavar="SECONDS", help="Fail longer songs.  [default: 900]")
@click.option("--all-classes", is_flag=True, help="Write every class, not only the predicted one and --target A,B.")
@click.option("--shard-size", type=click.IntRange(min=1), metavar="SONGS", help="Songs that are written at once.")
@click.option("--controls", type=click.FloatRange(0, 1), metavar="SHARE", help="Songs also explained as their own control.")
@click.option("--retry", is_flag=True, help="Try songs that failed again, once their files are mended, say.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that decode and separate ahead.  [default: 1]")
@click.option("--engine", type=click.Choice(["here", "ray"]), default="here", show_default=True, help="Who runs it.")
@click.option("--actors", type=click.IntRange(min=1), help="Of ray: processes that hold the model.  [default: 1]")
@click.option("--gpus", type=click.FloatRange(min=0), help="Of ray: GPUs an actor.  [default: 1 with --device cuda]")
@click.option("--output", type=click.Choice(["object-store", "filesystem"]), help="Of ray: this process writes, or actors.")
@explain_options("--foil", "--evidence")
def corpus(manifest: Path, out: Path, engine: str, **options: Any) -> None:
    """Explain every song of MANIFEST (.csv, .tsv, .jsonl or .parquet); the same command again goes on with a run.

    Under torchrun, or in a Slurm array, every process takes its share of the shards. --engine ray spreads them over a
    cluster.
    """
    loading = pop_given(options, "separator", "start", "end", "max_seconds")
    running = {"here": pop_given(options, "workers"), "ray": pop_given(options, "actors", "gpus", "output")}
    strange = next((name for other, given in running.items() if other != engine for name in given), None)
    if strange is not None:
        raise InputError(f"--{strange} is not for --engine {engine}: leave one of them out.")
    cutting = pop_given(options, "shard_size", "controls", "retry")
    every, target, foil = options.pop("all_classes"), options.pop("target"), options.pop("foil")
    if foil is not None or options.pop("evidence"):
        raise InputError("--foil and --evidence are questions about one song: use explain.")
    if options["baseline"] not in (None, "silence", "noise"):
        raise InputError(f"--baseline {options['baseline']!r} is one song's: give silence or noise.")
    device = options.pop("device") or default_device()
    naming = {name: options.pop(name) for name in ("model", "audio_model", "text_model", "model_weights")}
    about = {name: given for name, given in naming.items() if given}
    if not about:
        raise InputError("a catalogue needs a model: give --model, --audio-model or --text-model.")
    with redirect_stdout(sys.stderr):
        from musiclime_torch.song.manifest import read_manifest

        entries = read_manifest(manifest)
        naming["classes"] = options["classes"]
        with needing("musiclime_torch[corpus]"):
            from musiclime_torch.corpus.runs.ahead import prepare_readers
            from musiclime_torch.corpus.runs.job import begin_job
            from musiclime_torch.corpus.runs.running import run_here
        if engine == "here" and running["here"].get("workers") != 0:
            prepare_readers()
        # A model that can't be loaded is said before a folder is begun; on Ray every actor loads its own.
        model: Any = None if engine == "ray" else load_models(dict(naming), device)
        asked, targets = {**gather(options), "device": device}, () if target is None else split(target)
        known: tuple[str, ...] = tuple(asked.get("classes") or getattr(model, "classes", None) or ())
        for name in targets if known else ():
            find_class(name, known)
        job = begin_job(
            entries,
            out,
            options=asked,
            loading=loading,
            targets=targets,
            all_classes=every,
            about=about,
            **cutting,
        )
        if engine == "ray":
            with needing("musiclime_torch[ray]"):
                from musiclime_torch.corpus.runs.on_ray import run_on_ray
            gpus = {} if device == "cpu" else {"gpus": 1.0}
            done = run_on_ray(partial(load_models, naming, device), job, progress=True, **{**gpus, **running["ray"]})
        else:
            done = run_here(model, job, progress=True, **running["here"])
    said = f"{done.explained} songs explained, {done.failed} failed, {done.before} done before"
    said += f" ({done.failed_before} of them failed)." if done.failed_before else "."
    click.echo(f"{said} Written to {out}.", err=True)
    if done.changed:
        said = f"Songs whose files were changed since: {len(done.changed)}, {done.changed[0]!r} the first of them"
        click.echo(f"{said}. Another --out folder explains them afresh.", err=True)
    if done.failed + done.failed_before:
        told = f"The first failure: {done.first_failure} The same command with --retry tries them again."
        if done.explained + done.before == done.failed_before:
            raise InputError(f"no song could be explained. {told}")
        click.echo(told, err=True)


@click.command("global")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--class", "of", metavar="A,B", help="Show these classes only.")
@click.option("--top", type=click.IntRange(min=1), default=8, show_default=True, help="Words and cells a class.")
@click.option("--min-songs", type=click.IntRange(min=2), help="Rank nothing that fewer songs have.  [default: 10]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the tables as CSV and Parquet.")
@click.option("--report", type=click.Path(path_type=Path), metavar="DIR", help="Folder for a page to look at, index.html.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Folder for figures, as SVG.")
def summarise(
    folder: Path,
    of: str | None,
    top: int,
    min_songs: int | None,
    out: Path | None,
    report: Path | None,
    plots: Path | None,
) -> None:
    """What carries each class over a catalogue that `musiclime corpus` has explained, and what stands out."""
    from rich.console import Console

    with needing("musiclime_torch[corpus]"):
        from musiclime_torch.corpus.findings.aggregation import aggregate
        from musiclime_torch.corpus.findings.auditing import audit
        from musiclime_torch.corpus.reports.naming import clean
        from musiclime_torch.corpus.reports.summary import write_summary
        from musiclime_torch.corpus.reports.terminal import make_tables, say_finding, say_left_out

    given = {} if min_songs is None else {"min_songs": min_songs}
    found = aggregate(folder, **given)
    names = [one.name for one in found.classes]
    chosen = () if of is None else (of,) if of in names else split(of)
    strange = next((name for name in chosen if name not in names), None)
    if strange is not None:
        raise InputError(f"no song was given the class {strange!r}: choose from {', '.join(map(clean, names))}.")
    findings = audit(folder, found, **given)
    # Names are said as they are: ":cd:" is no picture.
    console = Console(emoji=False)
    console.print(f"{found.songs} songs explained, {found.failures} failed.", highlight=False)
    for floor in found.floors:
        said = f"{floor.kind}: 95% of components known to be irrelevant lie below {floor.size:.3g} ({floor.songs} songs)."
        console.print(said, highlight=False)
    for finding in findings:
        for line in say_finding(finding):
            console.print(line, markup=False, highlight=False)
    for table in make_tables(found, chosen, top):
        console.print(table)
    for line in say_left_out(found, chosen):
        console.print(line, markup=False, highlight=False)
    if out is not None:
        write_summary(found, findings, out)
        click.echo(f"Written to {out}.", err=True)
    if report is not None:
        from musiclime_torch.corpus.reports.page import write_corpus_report

        page = write_corpus_report(found, findings, report, title=folder.resolve().name)
        click.echo(f"Open {page} in a browser.", err=True)
    if plots is not None:
        with needing("musiclime_torch[plots]"):
            import matplotlib as mpl

            mpl.use("agg")
            from musiclime_torch.corpus.reports.figures import write_plots
        click.echo(f"Figures written to {plots}: {len(write_plots(found, plots))}.", err=True)


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows of the table, and moves.")
@click.option("--min-songs", type=click.IntRange(min=2), help="Compare nothing that fewer songs have.  [default: 10]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the tables as CSV and Parquet.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Folder for figures, as SVG.")
def contrast(first: Path, second: Path, top: int, min_songs: int | None, out: Path | None, plots: Path | None) -> None:
    """Where two runs over the same songs part, of two versions of a model, say."""
    from rich.console import Console

    with needing("musiclime_torch[corpus]"):
        from musiclime_torch.corpus.findings.comparing import compare
        from musiclime_torch.corpus.reports.drift import (
            describe_comparison,
            describe_shift,
            make_comparison,
            write_comparison,
        )

    found = compare(first, second, **({} if min_songs is None else {"min_songs": min_songs}))
    # Names are said as they are: ":cd:" is no picture.
    console = Console(emoji=False)
    for line in describe_comparison(found, top):
        console.print(line, markup=False, highlight=False)
    if found.shifts:
        console.print(make_comparison(found, top))
        console.print(describe_shift(found.shifts[0]), markup=False, highlight=False)
    if out is not None:
        write_comparison(found, out)
        click.echo(f"Written to {out}.", err=True)
    if plots is not None:
        with needing("musiclime_torch[plots]"):
            import matplotlib as mpl

            mpl.use("agg")
            from musiclime_torch.corpus.reports.figures import write_shifts
        click.echo(f"Figures written to {plots}: {len(write_shifts(found, plots))}.", err=True)
