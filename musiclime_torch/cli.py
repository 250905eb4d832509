"""The command line. Only click is imported at the start; everything heavy waits until a command runs.

Standard output carries the result alone; notes and progress go to standard error. Bad input is one sentence and exit
code 2. Options that weren't given aren't passed on: the defaults are those of `explain` and `load_track`.
"""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.failures import InputError
from musiclime_torch.training.command import train

if TYPE_CHECKING:
    from musiclime_torch.explanation import Explanation

_EXPLAIN_OPTIONS = [
    click.option(
        "--model",
        metavar="NAME",
        help="demo, musicnn-minilm, a folder, a hub id, or package.module:object for a model of your own.  [default: demo]",
    ),
    click.option("--audio-model", metavar="NAME", help="A classifier of sound, likewise; with --text-model their sum."),
    click.option("--text-model", metavar="NAME", help="A classifier of lyrics, likewise."),
    click.option("--model-weights", metavar="A,B", help="What the two count in their sum.  [default: 1,1]"),
    click.option("--target", metavar="CLASS", help="Class to explain, by name or number.  [default: the predicted one]"),
    click.option("--foil", metavar="CLASS", help="Why the target and not this class."),
    click.option("--segments", metavar="N|3s|A,B,..", help="Equal time segments, their length, or cut points in seconds."),
    click.option("--units", type=click.Choice(["word", "type", "line", "section"]), help="What of the lyrics is switched."),
    click.option(
        "--baseline", metavar="NAME|SONG", help="What a removed stem becomes: silence, noise, or another song's stem."
    ),
    click.option(
        "--lyrics-baseline",
        type=click.Choice(["mask", "zero", "pad", "gone"]),
        help="What a removed word's tokens become.  [default: the mask token, where the model has one]",
    ),
    click.option(
        "--design",
        type=click.Choice(["auto", "crossed", "joint", "foldover", "kerdock", "unfolded", "bernoulli", "bernoulli+song"]),
        help="How masks are drawn.  [default: crossed where the model encodes sound and lyrics apart, else joint]",
    ),
    click.option("--n-samples", metavar="N|N,M", help="Masks in all, or of the sound and of the lyrics; whole blocks."),
    click.option("--until", metavar="'top K'|'width W'", help="Stop once the order of the top K, or all half widths, are."),
    click.option("--weights", type=click.Choice(["uniform", "lime", "paper", "shapley"]), help="Row weights."),
    click.option("--kernel-width", type=float, help="Width of LIME's kernel."),
    click.option("--ridge", type=float, help="Ridge penalty."),
    click.option("--space", type=click.Choice(["logit", "log-odds", "probability", "raw"]), help="Scale of the decision."),
    click.option(
        "--preset",
        type=click.Choice(["paper"]),
        help="MusicLIME's own settings, whole; other options override it.",
    ),
    click.option("--confidence", type=float, help="Of the intervals."),
    click.option(
        "--evidence", is_flag=True, default=None, help="Search for what alone keeps the decision, and what flips it."
    ),
    click.option("--seed", type=int, help="Seed of the masks."),
    click.option("--batch-size", type=int, help="Variants a forward pass."),
    click.option(
        "--precision", type=click.Choice(["float32", "bfloat16"]), help="Of encoders; heads and solves stay as they are."
    ),
    click.option("--device", help="cpu, cuda, cuda:1, ...  [default: cuda where there is one]"),
    click.option("--sample-rate", type=int, help="Rate the model hears at, where it doesn't say so itself."),
    click.option("--classes", metavar="A,B,..", help="Names of the model's outputs, where it doesn't give them itself."),
    click.option(
        "--output-kind",
        type=click.Choice(["logits", "multilabel", "probabilities", "regression", "embedding"]),
        help="What the model's outputs are, where it doesn't say so itself.",
    ),
    click.option("--modalities", type=click.Choice(["audio", "lyrics", "audio,lyrics"]), help="What it takes, likewise."),
    click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write the explanation to."),
    click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="On standard output."),
    click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows of the table."),
]


def _explain_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_EXPLAIN_OPTIONS):
        command = option(command)
    return command


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
@_explain_options
def explain(song: Path, form: str, top: int, out: Path | None, **options: Any) -> None:
    """Explain what a model makes of SONG: an audio file, a .stem.mp4, or a folder of stems."""
    loading = _pop_given(options, "lyrics", "stems", "separator", "start", "end", "max_seconds")
    _check_out(out)
    device = options.pop("device") or _default_device()
    if not any(options[name] for name in ("model", "audio_model", "text_model")):
        click.echo(
            "No --model was given: using the embedded demonstration model, which knows only its own kind of song.", err=True
        )
    with redirect_stdout(sys.stderr):
        from musiclime_torch.track import load_track

        model = _load_models(options, device)
        track = load_track(song, device=device, **loading)
        click.echo(f"Stems: {track.source}", err=True)
        _load_baseline(options, device, {key: loading[key] for key in ("separator", "max_seconds") if key in loading})
        explanation = _run(model, track, device, options)
    _show(explanation, options, form, top, out)


@cli.command()
@_explain_options
def demo(form: str, top: int, out: Path | None, **options: Any) -> None:
    """Explain the embedded song with the embedded model, offline: why it is an "anthem", unless --target says else."""
    _check_out(out)
    device = options.pop("device") or _default_device()
    if options["target"] is None and not any(options[name] for name in ("model", "audio_model", "text_model")):
        # Of the song's two tags the one that takes a sound and a word together.
        options["target"] = "anthem"
    with redirect_stdout(sys.stderr):
        from musiclime_torch.demo.bundle import describe_causes, load_demo_track

        _load_baseline(options, device, {})
        explanation = _run(_load_models(options, device), load_demo_track(), device, options)
    _show(explanation, options, form, top, out)
    click.echo(describe_causes(), err=True)


cli.add_command(train)


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


def _run(model: Any, track: Any, device: str, options: dict[str, Any]) -> "Explanation":
    """Explain with what was given. Whatever a model prints meanwhile mustn't get into the result on standard output."""
    from musiclime_torch.explainer import PAPER
    from musiclime_torch.explainer import explain as run

    given = {name: value for name, value in options.items() if value is not None and name != "preset"}
    for name in ("classes", "modalities"):
        if name in given:
            given[name] = _split(given[name])
    if "n_samples" in given:
        given["n_samples"] = _read_counts(given["n_samples"])
    return run(model, track, device=device, progress=True, **{**(PAPER if options["preset"] else {}), **given})


def _read_counts(text: str) -> int | tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--n-samples {text!r} is not understood: give one number, or two (528,208).") from None
    return counts[0] if len(counts) == 1 else counts


def _show(explanation: "Explanation", options: dict[str, Any], form: str, top: int, out: Path | None) -> None:
    """The result on standard output and, if asked, in a folder. MusicLIME shows positive attributions only."""
    from rich.console import Console

    from musiclime_torch.views.record import to_json
    from musiclime_torch.views.terminal import print_table

    positive_only = options["preset"] == "paper"
    if out is not None:
        _write(explanation, out, top, positive_only)
    if form == "json":
        click.echo(to_json(explanation))
    else:
        print_table(explanation, None, top, positive_only, Console())
    if out is not None:
        click.echo(f"Written to {out}.", err=True)


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


def _check_out(out: Path | None) -> None:
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder.")


def _load_models(options: dict[str, Any], device: str) -> Any:
    """The one model, or the sum of the two, that --model, --audio-model and --text-model name."""
    from musiclime_torch.models.loading import load_ensemble, load_model

    given = _pop_given(options, "model", "audio_model", "text_model", "model_weights")
    labels = None if options["classes"] is None else _split(options["classes"])
    if "model" in given and len(given) > 1:
        raise InputError("--model is the whole model: leave --audio-model, --text-model and --model-weights out.")
    if "audio_model" in given and "text_model" in given:
        weights = _read_weights(given.get("model_weights", "1,1"))
        return load_ensemble(given["audio_model"], given["text_model"], weights, device, labels)
    if "model_weights" in given:
        raise InputError("--model-weights weighs two models: give --audio-model and --text-model.")
    return load_model(next(iter(given.values()), "demo"), device, labels)


def _read_weights(text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--model-weights {text!r} is not understood: give two numbers (1,0.5).") from None
    return first, second


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _pop_given(options: dict[str, Any], *names: str) -> dict[str, Any]:
    taken = {name: options.pop(name) for name in names}
    return {name: value for name, value in taken.items() if value is not None}
