"""The command line. Only click is imported at the start; everything heavy waits until a command runs.

Standard output carries the result alone; notes and progress go to standard error. Bad input is one sentence and exit
code 2. Options that weren't given aren't passed on: the defaults are those of `explain` and `load_track`.
"""

import sys
from contextlib import redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.app.command import app
from musiclime_torch.corpus.command import contrast, corpus, summarise
from musiclime_torch.failures import InputError
from musiclime_torch.options import default_device, explain_options, gather, load_models, output_options, pop_given
from musiclime_torch.training.command import train

if TYPE_CHECKING:
    from musiclime_torch.explanation import Explanation
    from musiclime_torch.track import Track


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="musiclime_torch")
def cli() -> None:
    """Which stems at which moments and which words made a music model decide what it decided."""


@cli.command()
@click.argument("song", type=click.Path(path_type=Path))
@click.option(
    "--lyrics", type=click.Path(path_type=Path), metavar="FILE", help="Text, .lrc or .srt.  [default: embedded tags]"
)
@click.option(
    "--stems", type=click.Path(path_type=Path), metavar="DIR", help="Folder with the song's stems, by their names."
)
@click.option(
    "--separator",
    metavar="NAME",
    help="demucs, demucs:FOLDER, hpss, midside or none.  [default: demucs where its weights are at hand, else hpss]",
)
@click.option("--start", type=float, metavar="SECONDS", help="Explain from here ...")
@click.option("--end", type=float, metavar="SECONDS", help="... to here.")
@click.option("--max-duration", "max_seconds", type=float, metavar="SECONDS", help="Refuse longer songs.  [default: 900]")
@explain_options
@output_options
def explain(song: Path, form: str, top: int, out: Path | None, **options: Any) -> None:
    """Explain what a model makes of SONG: an audio file, a .stem.mp4, or a folder of stems."""
    loading = pop_given(options, "lyrics", "stems", "separator", "start", "end", "max_seconds")
    reporting = _plan_report(out, options)
    device = options.pop("device") or default_device()
    if not any(options[name] for name in ("model", "audio_model", "text_model")):
        click.echo(
            "No --model was given: using the embedded demonstration model, which knows only its own kind of song.", err=True
        )
    with redirect_stdout(sys.stderr):
        from musiclime_torch.track import load_track

        model = load_models(options, device)
        track = load_track(song, device=device, **loading)
        click.echo(f"Stems: {track.source}", err=True)
        _load_baseline(options, device, {key: loading[key] for key in ("separator", "max_seconds") if key in loading})
        explanation = _run(model, track, device, options, reporting)
    _show(explanation, track if reporting else None, options, form, top, out)


@cli.command()
@explain_options
@output_options
def demo(form: str, top: int, out: Path | None, **options: Any) -> None:
    """Explain the embedded song with the embedded model, offline: why it is an "anthem", unless --target says else."""
    reporting = _plan_report(out, options)
    device = options.pop("device") or default_device()
    if options["target"] is None and not any(options[name] for name in ("model", "audio_model", "text_model")):
        # Of the song's two tags the one that takes a sound and a word together.
        options["target"] = "anthem"
    with redirect_stdout(sys.stderr):
        from musiclime_torch.demo.bundle import describe_causes, load_demo_track

        _load_baseline(options, device, {})
        track = load_demo_track()
        explanation = _run(load_models(options, device), track, device, options, reporting)
    _show(explanation, track if reporting else None, options, form, top, out)
    click.echo(describe_causes(), err=True)


cli.add_command(train)
cli.add_command(corpus)
cli.add_command(summarise)
cli.add_command(contrast)
cli.add_command(app)


def main() -> None:
    """Run the command line; every expected failure is a sentence on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Lyrics are in any script, and file names need not be text at all.
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except InputError as error:
        click.echo(f"musiclime: {error}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("musiclime: stopped.", err=True)
        sys.exit(130)


def _load_baseline(options: dict[str, Any], device: str, loading: dict[str, Any]) -> None:
    """Read the song whose stems stand in, where the baseline is one."""
    from musiclime_torch.track import load_track

    if options["baseline"] not in (None, "silence", "noise"):
        options["baseline"] = load_track(Path(options["baseline"]), device=device, **loading)


def _run(model: Any, track: "Track", device: str, options: dict[str, Any], reporting: bool) -> "Explanation":
    """Explain with what was given; for a report with the evidence, where the outputs decide anything.

    Whatever a model prints meanwhile mustn't get into the result on standard output.
    """
    from musiclime_torch.evidence import DECIDING
    from musiclime_torch.explainer import explain as run

    given = gather(options)
    if reporting and (given.get("output_kind") or getattr(model, "output_kind", "logits")) in DECIDING:
        given["evidence"] = True
    return run(model, track, device=device, progress=True, **given)


def _show(
    explanation: "Explanation", track: "Track | None", options: dict[str, Any], form: str, top: int, out: Path | None
) -> None:
    """The result on standard output and, if asked, in a folder; with the track, as a page too.

    MusicLIME shows positive attributions only.
    """
    from rich.console import Console

    from musiclime_torch.views.record import to_json
    from musiclime_torch.views.terminal import print_table

    positive_only = options["preset"] == "paper"
    if out is not None:
        _write(explanation, out, top, positive_only)
        if track is not None:
            from musiclime_torch.views.page.song import write_report

            write_report(explanation, track, out, baseline=options["baseline"])
    if form == "json":
        click.echo(to_json(explanation))
    else:
        print_table(explanation, None, top, positive_only, Console())
    if out is not None:
        page = "" if track is None else f" Open {out / 'index.html'} in a browser."
        click.echo(f"Written to {out}.{page}", err=True)


def _write(explanation: "Explanation", out: Path, top: int, positive_only: bool) -> None:
    """The explanation as safetensors, JSON and text; every file appears whole or not at all."""
    from musiclime_torch.views.record import to_json
    from musiclime_torch.views.terminal import to_text

    texts = {
        "explanation.json": to_json(explanation) + "\n",
        "explanation.txt": to_text(explanation, None, top, positive_only),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        explanation.save(out / "explanation.safetensors")
        for name, text in texts.items():
            partial = out / f".{name}.partial"
            try:
                partial.write_text(text, encoding="utf-8")
                partial.replace(out / name)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{out} can't be written to ({error.strerror}): give another --out folder.") from error


def _plan_report(out: Path | None, options: dict[str, Any]) -> bool:
    """Whether a page is to be written; InputError for a folder that can't be one."""
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder.")
    without = options.pop("no_report")
    return out is not None and not without
