"""`musiclime corpus`, `musiclime global` and `musiclime compare`. Nothing heavy is imported before they run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click

from musiclime_torch.failures import InputError
from musiclime_torch.options import default_device, explain_options, gather, load_models, pop_given, split


@contextmanager
def _needing_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"catalogues need {error.name}, which isn't installed: run pip install 'musiclime_torch[corpus]'."
        ) from error


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the tables.")
@click.option("--separator", metavar="NAME", help="As in explain, for songs without stems of their own.")
@click.option("--max-duration", "max_seconds", type=float, metavar="SECONDS", help="Fail longer songs.  [default: 900]")
@click.option("--all-classes", is_flag=True, help="Write every class, not only the predicted one and --target A,B.")
@click.option("--shard-size", type=click.IntRange(min=1), metavar="SONGS", help="Songs that are written at once.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that decode and separate ahead.")
@explain_options
def corpus(manifest: Path, out: Path, **options: Any) -> None:
    """Explain every song of MANIFEST (.csv, .tsv, .jsonl or .parquet); the same command again goes on with a run.

    Under torchrun, or in a Slurm array, every process takes its share of the shards.
    """
    loading = pop_given(options, "separator", "max_seconds")
    running = pop_given(options, "shard_size", "workers")
    every, target, foil = options.pop("all_classes"), options.pop("target"), options.pop("foil")
    if foil is not None or options.pop("evidence"):
        raise InputError("--foil and --evidence are questions about one song: use explain.")
    if options["baseline"] not in (None, "silence", "noise"):
        raise InputError(f"--baseline {options['baseline']!r} is one song's: give silence or noise.")
    device = options.pop("device") or default_device()
    about = {name: options[name] for name in ("model", "audio_model", "text_model", "model_weights") if options[name]}
    if not about:
        raise InputError("a catalogue needs a model: give --model, --audio-model or --text-model.")
    with redirect_stdout(sys.stderr):
        with _needing_extra():
            from musiclime_torch.corpus.running import explain_corpus
        from musiclime_torch.reading.manifest import read_manifest

        entries = read_manifest(manifest)
        model = load_models(options, device)
        done = explain_corpus(
            model,
            entries,
            out,
            options={**gather(options), "device": device},
            loading=loading,
            targets=() if target is None else split(target),
            all_classes=every,
            about=about,
            progress=True,
            **running,
        )
    said = f"{done.explained} songs explained, {done.failed} failed, {done.before} done before."
    click.echo(f"{said} Written to {out}.", err=True)
    if done.failed:
        click.echo(f"The first failure: {done.first_failure}", err=True)


@click.command("global")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--class", "of", metavar="CLASS", help="Show this class only.")
@click.option("--top", type=click.IntRange(min=1), default=8, show_default=True, help="Words and cells a class.")
@click.option("--min-songs", type=click.IntRange(min=2), help="Rank nothing that fewer songs have.  [default: 10]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the tables as CSV and Parquet.")
def summarise(folder: Path, of: str | None, top: int, min_songs: int | None, out: Path | None) -> None:
    """What carries each class over a catalogue that `musiclime corpus` has explained, and what stands out."""
    from rich.console import Console

    with _needing_extra():
        from musiclime_torch.corpus.aggregation import aggregate
        from musiclime_torch.corpus.auditing import audit
        from musiclime_torch.corpus.summary import make_tables, write_summary

    given = {} if min_songs is None else {"min_songs": min_songs}
    found = aggregate(folder, **given)
    names = [one.name for one in found.classes]
    if of is not None and of not in names:
        raise InputError(f"no song was given the class {of!r}: choose one of {', '.join(names)}.")
    findings = audit(folder, found, **given)
    console = Console()
    console.print(f"{found.songs} songs explained, {found.failures} failed.", highlight=False)
    for finding in findings:
        console.print(f"{finding.kind}: {finding.said}", markup=False, highlight=False)
    for table in make_tables(found, of, top):
        console.print(table)
    if out is not None:
        write_summary(found, findings, out)
        click.echo(f"Written to {out}.", err=True)


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows of the table.")
@click.option("--min-songs", type=click.IntRange(min=2), help="Compare nothing that fewer songs have.  [default: 10]")
def contrast(first: Path, second: Path, top: int, min_songs: int | None) -> None:
    """Where two runs over the same songs part, of two versions of a model, say."""
    from rich.console import Console

    with _needing_extra():
        from musiclime_torch.corpus.comparing import compare
        from musiclime_torch.corpus.summary import make_comparison

    found = compare(first, second, **({} if min_songs is None else {"min_songs": min_songs}))
    console = Console()
    said = f"{found.songs} songs in both; {found.decided_otherwise} are decided otherwise."
    if found.agreement is not None:
        said += f" Where they are decided alike, attributions correlate at {found.agreement:.2f}."
    console.print(said, highlight=False)
    for number, before, after in found.examples:
        console.print(f"  {number}: {before} became {after}", markup=False, highlight=False)
    console.print(make_comparison(found, top))
