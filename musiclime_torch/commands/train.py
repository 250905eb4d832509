"""`musiclime train`. Nothing heavy is imported before it runs."""

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from os.path import isdir  # pathlib's raises for names that are too long
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.arguments import read_separator
from musiclime_torch.basics.errors import require
from musiclime_torch.basics.files import refuse_file
from musiclime_torch.commands.help import Grouped

if TYPE_CHECKING:
    from rich.table import Table

    from musiclime_torch.training.recipes import Trained


@click.command(
    cls=Grouped,
    examples=(
        "musiclime train songs.csv --model tagger --out trained",
        "musiclime train songs.csv --audio-model folder --text-model other --component-dropout none --out trained",
    ),
)
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for models and results.")
@click.option("--labels", type=click.Choice(["genre", "emotion"]), default="genre", help="Of a data set's folder.")
@click.option("--classes", metavar="A,B,..", help="Use these labels only, and songs that have one.")
@click.option(
    "--model", type=click.Choice(["paper", "tagger"]), help="AST + RoBERTa, or a small tagger trained from scratch."
)
@click.option(
    "--audio-model", metavar="NAME", help="Audio encoder to start from, a hub id or folder; alone, the whole model."
)
@click.option("--text-model", metavar="NAME", help="Text encoder to start from, in the same way.")
@click.option("--apart", is_flag=True, help="Train each modality by itself first, then join the encoders.")
@click.option("--epochs", type=click.IntRange(min=1))
@click.option("--batch-size", type=click.IntRange(min=1), help="Songs per batch and process.")
@click.option("--accumulation", type=click.IntRange(min=1), help="Batches per optimizer step.")
@click.option("--rate", type=float, help="Peak learning rate of the encoders.")
@click.option(
    "--precision", type=click.Choice(["float32", "bfloat16"]), help="Precision of the encoders; heads stay float32."
)
@click.option("--patience", type=int, help="Evaluations without a better macro F1 before training stops; 0 for never.")
@click.option(
    "--save-every", type=click.IntRange(min=1), metavar="STEPS", help="Evaluate and save.  [default: once per epoch]"
)
@click.option("--workers", type=click.IntRange(min=0), help="Processes that decode songs ahead.")
@click.option("--seed", type=int)
@click.option("--plain-weights", is_flag=True, help="Weight every song alike, instead of every class.")
@click.option(
    "--component-dropout",
    "separator",
    metavar="SEPARATOR",
    help="Silence stems and mask words as explanations will; stems by hpss, demucs, ..., none for the sound as one.",
)
@click.option("--keep-boilerplate", is_flag=True, help="Keep the boilerplate that lyrics sites add.")
@click.option("--skip-bad", is_flag=True, help="Leave out songs whose files are missing or broken.")
@click.option("--max-duration", "max_seconds", type=float, metavar="SECONDS", help="Refuse longer songs.  [default: 900]")
@click.option("--device", help="cpu, cuda, cuda:1, ...  [default: cuda where there is one]")
def train(manifest: Path, out: Path, **options: Any) -> None:
    """Train a model on the songs of MANIFEST: .csv, .tsv, .jsonl, .parquet, or the folder of a data set."""
    with redirect_stdout(sys.stderr):
        trained = _train(manifest, out, options)
        from musiclime_torch.training.fitting import is_first
    if not is_first():
        return
    from rich.console import Console

    for note in trained.notes:
        click.echo(note, err=True)
    if trained.scores:
        Console().print(make_table(trained))
    else:
        click.echo("No song is in the test split: nothing was measured.", err=True)
    click.echo(f"Written to {out}.", err=True)


def _train(manifest: Path, out: Path, options: dict[str, Any]) -> "Trained":
    from musiclime_torch.song.datasets import read_dataset
    from musiclime_torch.song.manifest import find_bad, leave_out, read_manifest

    refuse_file(out)
    if options["separator"] is not None:
        read_separator(options["separator"])
    require("accelerate", "musiclime_torch[train]")
    entries = read_dataset(manifest, options["labels"]) if isdir(manifest) else read_manifest(manifest)
    import torch

    from musiclime_torch.training.fitting import Recipe, is_first
    from musiclime_torch.training.recipes import Preparation, pick_recipe, train as run

    if options["classes"]:
        entries = _keep_classes(entries, [part.strip() for part in options["classes"].split(",")])
    hears = options["audio_model"] or not options["text_model"]
    reads = options["text_model"] or not options["audio_model"]
    # Where the model takes audio, songs without lyrics are trained on too.
    needs = ["label", *(["audio"] if hears else []), *(["lyrics"] if reads and not hears else [])]
    bad = find_bad(entries, needs)
    kept = leave_out(entries, bad, options["skip_bad"])
    if bad and is_first():
        click.echo(f"{len(bad)} of {len(entries)} songs left out, the first: {bad[0]}.", err=True)
    names = ("epochs", "batch_size", "accumulation", "rate", "precision", "save_every", "workers", "seed")
    recipe: Recipe = replace(
        pick_recipe(options["model"]), **{name: options[name] for name in names if options[name] is not None}
    )
    if options["patience"] is not None:
        recipe = replace(recipe, patience=options["patience"] or None)
    prepared = Preparation(separator=options["separator"], clean=not options["keep_boilerplate"])
    prepared = replace(prepared, balanced=not options["plain_weights"])
    if options["max_seconds"] is not None:
        prepared = replace(prepared, max_seconds=options["max_seconds"])
    return run(
        kept,
        out,
        recipe=recipe,
        model=options["model"],
        audio_model=options["audio_model"],
        text_model=options["text_model"],
        apart=options["apart"],
        preparation=prepared,
        device=options["device"] or ("cuda" if torch.cuda.is_available() else "cpu"),
    )


def _keep_classes(entries: Any, classes: list[str]) -> Any:
    kept = [
        replace(entry, labels=tuple(label for label in entry.labels if label in classes))
        for entry in entries
        if set(entry.labels) & set(classes)
    ]
    click.echo(f"{len(kept)} of {len(entries)} songs have one of these classes.", err=True)
    return tuple(kept)


def make_table(trained: "Trained") -> "Table":
    """Scores on the test songs: lyrics, sound and both side by side, one class per row, their means last."""
    from rich.table import Table

    columns = sorted(trained.scores, key=lambda name: ("lyrics", "audio", "both").index(name.partition(",")[0]))
    first = trained.scores[columns[0]]
    table = Table(title=f"{trained.songs['test']} test songs: F1 (accuracy)")
    table.add_column("class")
    table.add_column("songs", justify="right")
    for name in columns:
        table.add_column(name, justify="right")
    for row, label in enumerate(trained.labels.classes):
        cells = [
            f"{scores.f1[row]:.2f} ({scores.class_accuracy[row]:.2f})"
            for scores in map(trained.scores.get, columns)
            if scores
        ]
        table.add_row(label, str(int(first.songs[row])), *cells, end_section=row == len(trained.labels.classes) - 1)
    means = [f"{trained.scores[name].macro_f1:.2f} ({trained.scores[name].accuracy:.2f})" for name in columns]
    table.add_row("macro F1 (accuracy)", str(trained.songs["test"]), *means)
    return table
