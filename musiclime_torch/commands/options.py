"""Options that commands share, and what is made of them. Options that weren't given aren't passed on: defaults are those of
`explain` and `load_track`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from musiclime_torch.basics.errors import InputError

_LOADING_OPTIONS = [
    click.option(
        "--lyrics", type=click.Path(path_type=Path), metavar="FILE", help="Text, .lrc or .srt.  [default: embedded tags]"
    ),
    click.option(
        "--stems", type=click.Path(path_type=Path), metavar="DIR", help="Folder with the song's stems, by their names."
    ),
    click.option(
        "--separator",
        metavar="NAME",
        help="demucs, demucs:FOLDER, hpss, midside or none.  [default: demucs where its weights are at hand, else hpss]",
    ),
    click.option("--start", type=float, metavar="SECONDS", help="Explain from here ..."),
    click.option("--end", type=float, metavar="SECONDS", help="... to here."),
    click.option(
        "--max-duration", "max_seconds", type=float, metavar="SECONDS", help="Refuse longer songs.  [default: 900]"
    ),
]

#: What `explain` takes, by flag. Defaults are said here and set there; a test compares them.
_EXPLAIN_OPTIONS: dict[str, dict[str, Any]] = {
    "--model": {
        "metavar": "NAME",
        "help": "demo, musicnn-minilm, a folder, a hub id, or package.module:object for a model of your own.  "
        "[default: demo; a catalogue has none]",
    },
    "--audio-model": {"metavar": "NAME", "help": "A classifier of sound, likewise; with --text-model their sum."},
    "--text-model": {"metavar": "NAME", "help": "A classifier of lyrics, likewise."},
    "--model-weights": {"metavar": "A,B", "help": "What the two count in their sum.  [default: 1,1]"},
    "--target": {
        "metavar": "CLASS",
        "help": "Class to explain, by name or number.  [default: the predicted one; anthem for the embedded song]",
    },
    "--foil": {"metavar": "CLASS", "help": "Why the target and not this class."},
    "--segments": {
        "metavar": "N|3s|A,B,..",
        "help": "Equal time segments, their length, or cut points in seconds.  [default: 10, or as the model says]",
    },
    "--units": {
        "type": click.Choice(["word", "type", "line", "section"]),
        "help": "What of the lyrics is switched.  [default: word]",
    },
    "--baseline": {
        "metavar": "NAME|SONG",
        "help": "What a removed stem becomes: silence, noise, or another song's stem.  [default: silence]",
    },
    "--lyrics-baseline": {
        "type": click.Choice(["mask", "zero", "pad", "gone"]),
        "help": "What a removed word's tokens become.  [default: the mask token, where the model has one]",
    },
    "--design": {
        "type": click.Choice(["auto", "crossed", "joint", "foldover", "kerdock", "unfolded", "bernoulli", "bernoulli+song"]),
        "help": "How masks are drawn.  [default: auto: crossed where the model encodes sound and lyrics apart, else joint]",
    },
    "--n-samples": {
        "metavar": "N|N,M",
        "help": "Masks in all, or of the sound and of the lyrics; whole blocks.  [default: 2048]",
    },
    "--until": {
        "metavar": "'top K'|'width W'",
        "help": "Stop once the order of the top K is settled, or all half widths are at most W.",
    },
    "--weights": {
        "type": click.Choice(["uniform", "lime", "paper", "shapley"]),
        "help": "What is estimated: Banzhaf values (uniform), Shapley values, or the fit of LIME or of MusicLIME's paper.  "
        "[default: uniform]",
    },
    "--kernel-width": {"type": float, "help": "Width of LIME's kernel, on distances from 0 to 1.  [default: 0.25]"},
    "--ridge": {"type": float, "help": "Ridge penalty.  [default: 0]"},
    "--space": {
        "type": click.Choice(["logit", "log-odds", "probability", "raw"]),
        "help": "Scale of the decision.  [default: that of the model's outputs]",
    },
    "--preset": {"type": click.Choice(["paper"]), "help": "MusicLIME's own settings, whole; other options override it."},
    "--confidence": {"type": float, "help": "Of the intervals.  [default: 0.95]"},
    "--evidence": {
        "is_flag": True,
        "default": None,
        "help": "Search for what alone keeps the decision, and what flips it.",
    },
    "--seed": {"type": int, "help": "Seed of the masks.  [default: 0]"},
    "--batch-size": {"type": int, "help": "Variants a forward pass.  [default: 64]"},
    "--precision": {
        "type": click.Choice(["float32", "bfloat16"]),
        "help": "Of encoders; heads and solves stay as they are.  [default: float32]",
    },
    "--device": {"help": "cpu, cuda, cuda:1, ...  [default: cuda where there is one]"},
    "--sample-rate": {"type": int, "help": "Rate the model hears at, where it doesn't say so itself."},
    "--classes": {"metavar": "A,B,..", "help": "Names of the model's outputs, where it doesn't give them itself."},
    "--output-kind": {
        "type": click.Choice(["logits", "multilabel", "probabilities", "regression", "embedding"]),
        "help": "What the model's outputs are, where it doesn't say so itself.",
    },
    "--modalities": {"type": click.Choice(["audio", "lyrics", "audio,lyrics"]), "help": "What it takes, likewise."},
}

_OUTPUT_OPTIONS = [
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder for the explanation, and for a page to look at and listen to, index.html. The page shows the evidence, "
        "which takes a few more variants.",
    ),
    click.option("--no-report", is_flag=True, help="No page, and no search for evidence unless --evidence asks for it."),
    click.option(
        "--export",
        metavar="A,B,..",
        help="Into --out, for other tools: audacity and sonic-visualiser (labels), jams, csv, parquet, wav or flac (what is "
        "heard of the evidence).",
    ),
    click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="On standard output."),
    click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows of the table."),
]


def loading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Everything `load_track` takes of a song, all but its file."""
    return _add(command, _LOADING_OPTIONS)


def explain_options(*unlisted: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Models, and everything `explain` takes. Flags that a command has no use for are left `unlisted` in its help: it
    refuses them with a reason, which says more than that there is no such option.
    """
    options = [click.option(flag, hidden=flag in unlisted, **more) for flag, more in _EXPLAIN_OPTIONS.items()]
    return lambda command: _add(command, options)


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Where one explanation goes."""
    return _add(command, _OUTPUT_OPTIONS)


def _add(command: Callable[..., None], options: list[Any]) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command


def gather(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `explain` from what was given; a preset comes first, the rest overrides it."""
    from musiclime_torch.explanation.explainer import PAPER

    given = {name: value for name, value in options.items() if value is not None and name != "preset"}
    for name in ("classes", "modalities"):
        if name in given:
            given[name] = split(given[name])
    if "n_samples" in given:
        given["n_samples"] = _read_counts(given["n_samples"])
    return {**(PAPER if options["preset"] else {}), **given}


def _read_counts(text: str) -> int | tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--n-samples {text!r} is not understood: give one number, or two (528,208).") from None
    return counts[0] if len(counts) == 1 else counts


def names_model(options: dict[str, Any]) -> bool:
    """Whether a model was given; the embedded one is meant where none was."""
    return any(options[name] for name in ("model", "audio_model", "text_model"))


def tell_of_demo_model(options: dict[str, Any]) -> None:
    """Say on standard error that the embedded model is taken, where none was given."""
    if not names_model(options):
        click.echo(
            "No --model was given: using the embedded demonstration model, which knows only its own kind of song.", err=True
        )


def load_models(options: dict[str, Any], device: str) -> Any:
    """The one model, or the sum of the two, that --model, --audio-model and --text-model name."""
    from musiclime_torch.commands.models import load_ensemble, load_model

    given = pop_given(options, "model", "audio_model", "text_model", "model_weights")
    labels = None if options["classes"] is None else split(options["classes"])
    if "model" in given and len(given) > 1:
        raise InputError("--model is the whole model: leave --audio-model, --text-model and --model-weights out.")
    if "audio_model" in given and "text_model" in given:
        weights = _read_weights(given.get("model_weights", "1,1"))
        return load_ensemble(given["audio_model"], given["text_model"], weights, device, labels)
    if "model_weights" in given:
        raise InputError("--model-weights weighs two models: give --audio-model and --text-model.")
    return load_model(next(iter(given.values()), "demo"), device, labels)


def load_baseline(options: dict[str, Any], device: str, loading: dict[str, Any]) -> None:
    """Read the song whose stems stand in, where the baseline is one, and put it in the name's place."""
    from musiclime_torch.song.track import load_track

    if options["baseline"] not in (None, "silence", "noise"):
        options["baseline"] = load_track(Path(options["baseline"]), device=device, **loading)


def _read_weights(text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--model-weights {text!r} is not understood: give two numbers (1,0.5).") from None
    return first, second


def split(text: str) -> tuple[str, ...]:
    """The parts between commas."""
    return tuple(part.strip() for part in text.split(","))


def default_device() -> str:
    """The first GPU, where there is one; of several processes that a launcher begins on a machine each has its own."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{int(rank) % torch.cuda.device_count()}" if rank.isdecimal() else "cuda"


def pop_given(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Take options out; those that were given."""
    taken = {name: options.pop(name) for name in names}
    return {name: value for name, value in taken.items() if value is not None}
