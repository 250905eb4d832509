"""Options that commands share, and what is made of them. Those of `explain` are read off the fields of `Settings`.

Options that weren't given aren't passed on: the defaults are those of `Settings` and of `load_track`.
"""

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

import click

from musiclime_torch.basics.choices import Modality, OutputKind
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.settings import PAPER, Settings

if TYPE_CHECKING:
    from musiclime_torch.song.track import Track

#: Choices that the annotations of `Settings` leave to the model's own check.
_LISTED = {"output_kind": get_args(OutputKind), "modalities": (*get_args(Modality), ",".join(get_args(Modality)))}

_LOADING_OPTIONS = [
    click.option(
        "--lyrics",
        type=click.Path(path_type=Path),
        metavar="FILE|auto",
        help="Text, .lrc or .srt; auto: what Whisper hears.  [default: embedded tags]",
    ),
    click.option("--lyrics-encoding", metavar="NAME", help="Encoding of --lyrics, such as gb18030.  [default: found out]"),
    click.option(
        "--stems", type=click.Path(path_type=Path), metavar="DIR", help="Folder with the song's stems, by their names."
    ),
    click.option("--align-stems", is_flag=True, default=None, help="Move stems that are late by an encoder's delay."),
    click.option(
        "--separator",
        metavar="NAME",
        help="demucs, demucs:FOLDER, hpss, midside, none, or frequency bands: bands:0,200,2000 (Hz), hpss+bands:200.  "
        "[default: demucs if its weights are cached, else hpss]",
    ),
    click.option("--start", type=float, metavar="SECONDS", help="Start of the part to explain."),
    click.option("--end", type=float, metavar="SECONDS", help="End of the part to explain."),
    click.option(
        "--max-duration", "max_seconds", type=float, metavar="SECONDS", help="Refuse longer songs.  [default: 900]"
    ),
]

#: The arguments of `load_track` that these are.
LOADING = ("lyrics", "lyrics_encoding", "stems", "align_stems", "separator", "start", "end", "max_seconds")

#: The options that name models. They come before the settings of `explain`.
_MODEL_OPTIONS: dict[str, dict[str, Any]] = {
    "--model": {
        "metavar": "NAME",
        "help": "demo, musicnn-minilm, vibenet, a folder, a hub id, an ONNX file, https://..., or package.module:object for "
        "your own model.  "
        "[default: demo; a catalogue has none]",
    },
    "--audio-model": {
        "metavar": "NAME",
        "help": "An audio classifier, named in the same way; with --text-model, their sum is explained.",
    },
    "--text-model": {"metavar": "NAME", "help": "A lyrics classifier, named in the same way."},
    "--model-weights": {"metavar": "A,B", "help": "Weights of the two in their sum.  [default: 1,1]"},
    "--like": {
        "metavar": "SONG|FILE.npz",
        "multiple": True,
        "help": "Why is the song near this one, or near a saved taste? Explains cosines of --model's embeddings; give it "
        "again for more songs. The foil may be one of them, or another file.",
    },
    "--query": {
        "metavar": "TEXT",
        "multiple": True,
        "help": "Why does the song match this text? As --like, for a model that embeds texts too.",
    },
    "--ask": {
        "metavar": "QUESTION",
        "multiple": True,
        "help": "Ask --model, a music language model, this about the song and its lyrics. Give it again for more questions, "
        "which share what was heard and read; the first one is explained unless --target names another's answer.",
    },
    "--answer": {
        "metavar": "A,B,..|auto",
        "help": "Answers whose log-probabilities are explained; a foil is one more. auto takes the model's own answer to "
        "the whole song.",
    },
    "--answer-tokens": {"is_flag": True, "default": None, "help": "Explain every token of the answers too."},
    "--ask-words": {"is_flag": True, "default": None, "help": "Explain the question's words too."},
    "--order": {
        "type": click.Choice(["sound first", "text first"]),
        "help": "What comes first in the question's prompt.  [default: sound first]",
    },
}

#: What `load_models` reads besides the class names.
MODEL_NAMES = tuple(flag.removeprefix("--").replace("-", "_") for flag in _MODEL_OPTIONS)

#: The settings that asking a model once needs.
ASKING = ("sample_rate", "channels", "classes", "output_kind", "modalities", "batch_size", "device")

#: A cheap stand-in for the model.
_PROXY: dict[str, dict[str, Any]] = {
    "--proxy": {
        "metavar": "DIR|NAME",
        "help": "A student (musiclime distill) or a cheaper model with the same outputs: it answers very many masks, so "
        "that the model can answer fewer. A bad one costs next to nothing.",
    },
    "--proxy-samples": {
        "type": click.IntRange(min=1),
        "metavar": "MASKS",
        "help": "Masks that the proxy answers.  [default: 16384 for a student, 4096 for a model]",
    },
}

#: Named sets of settings.
_PRESET: dict[str, dict[str, Any]] = {
    "--preset": {"type": click.Choice(["paper"]), "help": "MusicLIME's own settings; other options override them."},
}


def _describe_settings() -> dict[str, dict[str, Any]]:
    """An option for each field of `Settings`: its type from the annotation, its help and default from the field."""
    return {
        f"--{setting.name.replace('_', '-')}": {
            **_read_type(setting),
            "help": setting.metadata["help"] + _say_default(setting),
        }
        for setting in fields(Settings)
    }


def _read_type(setting: "Field[Any]") -> dict[str, Any]:
    """How an option is given: a flag, one of several names, a number, or text that `gather` takes apart."""
    if setting.type is bool:
        return {"is_flag": True, "default": None}
    if setting.name in _LISTED:
        return {"type": click.Choice(_LISTED[setting.name])}
    if setting.metadata["form"] is not None:
        return {"metavar": setting.metadata["form"] or None}
    # `X | None` without None leaves one type.
    kinds = [kind for kind in get_args(setting.type) or (setting.type,) if kind is not NoneType]
    if all(isinstance(kind, str) for kind in kinds):
        return {"type": click.Choice(kinds)}
    return {"type": click.Choice(get_args(kinds[0])) if get_args(kinds[0]) else kinds[0]}


def _say_default(setting: "Field[Any]") -> str:
    default = setting.metadata["instead"] or setting.default
    if default is None or default is False:
        return ""
    return f"  [default: {default if isinstance(default, str) else f'{default:g}'}]"


_CATALOGUE_OPTIONS = [
    click.option("--separator", metavar="NAME", help="As in explain, for songs without stems of their own."),
    click.option("--start", type=float, metavar="SECONDS", help="Start of the part of every song to explain."),
    click.option("--end", type=float, metavar="SECONDS", help="End of that part."),
    click.option(
        "--max-duration", "max_seconds", type=float, metavar="SECONDS", help="Reject longer songs.  [default: 900]"
    ),
]

_OUTPUT_OPTIONS = [
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder for the explanation and its report, index.html, to look at and listen to. The report shows the "
        "evidence, where it is found with no more forward passes than the attributions took, or with --evidence; with "
        "--edits the smallest edit too.",
    ),
    click.option("--no-report", is_flag=True, help="Write no report, and look for evidence only with --evidence."),
    click.option(
        "--export",
        metavar="A,B,..",
        help="Into --out, for other tools: audacity and sonic-visualiser (labels), jams, csv, parquet, wav or flac (the "
        "evidence as sound).",
    ),
    click.option(
        "--dossier",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder for a dossier: a page in plain words with sounds, fingerprints and how to repeat it, and an archive.",
    ),
    click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="On standard output."),
    click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows of the table."),
]


def catalogue_options(command: Callable[..., None]) -> Callable[..., None]:
    """Arguments of `load_track` that hold for every song of a catalogue."""
    return _add(command, _CATALOGUE_OPTIONS)


def loading_options(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of `load_track`, except the song's file."""
    return _add(command, _LOADING_OPTIONS)


def explain_options(*unlisted: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Models, and all settings of `explain`. Options that a command can't use are `unlisted` in its help: it refuses them
    with a reason, which is more helpful than "no such option".
    """
    described = _MODEL_OPTIONS | _describe_settings() | _PRESET
    options = [click.option(flag, hidden=flag in unlisted, **more) for flag, more in described.items()]
    return lambda command: _add(command, options)


def distill_options(command: Callable[..., None]) -> Callable[..., None]:
    """Models, and the settings that a model's answers to masks depend on."""
    described = _describe_settings()
    names = ("segments", "baseline", "residual", "lyrics_baseline", "units", "seed", "precision", *ASKING)
    options = [click.option(flag, **more) for flag, more in _MODEL_OPTIONS.items()]
    return _add(
        command,
        options + [click.option(flag, **described[flag]) for flag in (f"--{name.replace('_', '-')}" for name in names)],
    )


def predict_options(command: Callable[..., None]) -> Callable[..., None]:
    """The song's lyrics and part, models, and what a model may not declare: what it takes to ask it once."""
    described = _describe_settings()
    asking = [click.option(flag, **more) for flag, more in _MODEL_OPTIONS.items()]
    asking += [click.option(f"--{name.replace('_', '-')}", **described[f"--{name.replace('_', '-')}"]) for name in ASKING]
    # Without its stems: nothing of the song is removed.
    return _add(command, [*(_LOADING_OPTIONS[place] for place in (0, 1, 5, 6, 7)), *asking])


def proxy_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options for a proxy."""
    return _add(command, [click.option(flag, **more) for flag, more in _PROXY.items()])


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options for the output of one explanation."""
    return _add(command, _OUTPUT_OPTIONS)


def _add(command: Callable[..., None], options: list[Any]) -> Callable[..., None]:
    # Decorators apply from the bottom up; the help lists options in the order given here.
    for option in reversed(options):
        command = option(command)
    return command


def gather(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `explain` from what was given; a preset comes first, the rest overrides it."""
    # None is "not given": only then do the defaults of `Settings` and a preset's values hold.
    given = {name: value for name, value in options.items() if value is not None and name != "preset"}
    for name in ("classes", "modalities", "interactions"):
        if name in given and given[name] not in ("target", "all"):
            given[name] = split(given[name])
    if "n_samples" in given:
        given["n_samples"] = _read_counts(given["n_samples"])
    return {**(PAPER if options["preset"] else {}), **given}


def _read_counts(text: str) -> int | tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--n-samples {text!r} can't be read: give one number, or two such as 528,208.") from None
    return counts[0] if len(counts) == 1 else counts


def names_model(options: dict[str, Any]) -> bool:
    """Whether a model was given; otherwise the embedded one is used."""
    return any(options[name] for name in ("model", "audio_model", "text_model"))


def tell_of_demo_model(options: dict[str, Any]) -> None:
    """Say on standard error that the embedded model is used, where none was given."""
    if not names_model(options):
        click.echo(
            "No --model was given: using the embedded demonstration model, which only knows its own kind of song.", err=True
        )


def tell_of_lyrics(model: Any, track: "Track", options: dict[str, Any]) -> None:
    """Say on standard error that the song has no lyrics where the model reads some, before it is asked."""
    from musiclime_torch.explanation.composing import tell_of_no_lyrics
    from musiclime_torch.explanation.planning import describe_asked
    from musiclime_torch.explanation.settings import SETTINGS, read_settings

    given = {name: value for name, value in gather(options).items() if name in SETTINGS and name != "baseline"}
    for note in tell_of_no_lyrics(describe_asked(model, read_settings(given))[0], track):
        click.echo(f"{note[:1].upper()}{note[1:]}", err=True)


def split(text: str) -> tuple[str, ...]:
    """The parts between commas."""
    return tuple(part.strip() for part in text.split(","))


def default_device() -> str:
    """The first GPU, where there is one; each of several processes that a launcher starts on one machine gets its own."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    # torchrun and its like number the processes of a machine in LOCAL_RANK.
    rank = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{int(rank) % torch.cuda.device_count()}" if rank.isdecimal() else "cuda"


def read_command() -> str:
    """The command line as it was typed, to be kept with what it made; "" where the command was called from Python.

    A home folder becomes ~, so that what is passed on doesn't name its owner, and addresses lose what may be secret in them.
    """
    context = click.get_current_context(silent=True)
    typed = None if context is None else context.find_root().obj
    return "" if typed is None else shlex.join(["musiclime", *(_shorten(part) for part in typed)])


def _shorten(part: str) -> str:
    address = re.search(r"https?://", part)
    if address:
        from musiclime_torch.commands.models import redact_name

        # What follows "#" are settings of the model, which a repetition needs.
        return part[: address.start()] + redact_name(part[address.start() :]) + "".join(part.partition("#")[1:])
    home = str(Path.home())
    return part.replace(home + os.sep, "~/") if len(home) > 1 else part


def pop_given(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Remove options and return those that were given."""
    taken = {name: options.pop(name) for name in names}
    return {name: value for name, value in taken.items() if value is not None}
