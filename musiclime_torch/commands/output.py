"""Where one explanation of the command line goes: standard output, and a folder with files, a page and exports."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.arguments import suggest
from musiclime_torch.basics.errors import InputError, require
from musiclime_torch.basics.files import refuse_file
from musiclime_torch.commands.options import split

if TYPE_CHECKING:
    from musiclime_torch.basics.progress import Forecast
    from musiclime_torch.explanation.explanation import Explanation
    from musiclime_torch.explanation.settings import Settings
    from musiclime_torch.song.track import Track

#: What --export knows: labels, tables, and sounds.
EXPORTS = ("audacity", "sonic-visualiser", "jams", "csv", "parquet", "wav", "flac")
_SOUNDS = ("wav", "flac")

#: The file that an explanation can be loaded from again.
SAVED = "explanation.safetensors"

#: Seconds of a wait that nothing is said about, and of one that is called long.
SHORT, LONG = 5, 600

#: What some of them need, and the extra that has it.
_PACKAGES = {"jams": ("jams", "musiclime_torch[jams]"), "parquet": ("pyarrow", "musiclime_torch[corpus]")}


@dataclass(frozen=True)
class Output:
    """The options of output. `positive_only` lists positive attributions alone, as MusicLIME does."""

    form: str
    top: int
    out: Path | None
    page: bool
    exports: tuple[str, ...]
    positive_only: bool
    dossier: Path | None

    @property
    def plays_evidence(self) -> bool:
        """Whether the output plays the evidence, which must then be searched for."""
        return self.page or self.dossier is not None or any(name in _SOUNDS for name in self.exports)

    def enter(self, name: str) -> "Output":
        """The same output in a folder of this name within each of its own."""
        out, dossier = (None if folder is None else folder / name for folder in (self.out, self.dossier))
        return replace(self, out=out, dossier=dossier)

    def settle_evidence(self, model: Any, settings: "Settings") -> "Settings":
        """The settings, with evidence where a dossier is to say what keeps and what flips the decision of this model."""
        from musiclime_torch.explanation.evidence import makes_decision
        from musiclime_torch.explanation.planning import describe_asked

        subject, _ = describe_asked(model, settings)
        decides = makes_decision(subject.output_kind, None if subject.classes is None else len(subject.classes))
        return replace(settings, evidence=True) if self.dossier is not None and decides else settings

    def show(self, explanation: "Explanation", track: "Track", baseline: Any) -> None:
        """Write and print all outputs; `baseline` is what removed stems became."""
        from rich.console import Console

        from musiclime_torch.views.exports.files import to_json
        from musiclime_torch.views.terminal import print_table

        # Files first: if standard output is a closed pipe, the explanation is saved all the same.
        failures = [] if self.out is None else self._write(explanation, track, self.out, baseline)
        if self.dossier is not None:
            failures += self._write_dossier(explanation, track, self.dossier, baseline)
        if self.form == "json":
            click.echo(to_json(explanation))
        else:
            print_table(explanation, None, self.top, self.positive_only, Console())
        if failures:
            raise failures[0]
        if self.out is not None:
            page = f" Open {self.out / 'index.html'} in a browser." if self.page else ""
            click.echo(f"Written to {self.out}.{page}", err=True)

    def _write_dossier(self, explanation: "Explanation", track: "Track", folder: Path, baseline: Any) -> list[InputError]:
        """Write the dossier and say what its archive's sum is; what couldn't be written."""
        from musiclime_torch.basics.progress import Stages
        from musiclime_torch.views.dossier import write_dossier

        with Stages(True) as stages:
            stages.begin("writing the dossier", unit="")
            try:
                archive = write_dossier(explanation, track, folder, baseline=baseline)
            except InputError as error:
                return [error]
        # Kept elsewhere, it shows that the archive is the one that was made today.
        click.echo(f"Dossier: {folder / 'dossier.html'} and {archive}, SHA-256 {hash_file(archive)}.", err=True)
        return []

    def _write(self, explanation: "Explanation", track: "Track", out: Path, baseline: Any) -> list[InputError]:
        """Write every file atomically, the explanation before what is made of it; what couldn't be written."""
        from musiclime_torch.basics.files import write_atomically
        from musiclime_torch.basics.progress import Stages
        from musiclime_torch.views.exports.files import to_json
        from musiclime_torch.views.terminal import to_text

        def put(name: str, text: str) -> None:
            write_atomically(text.encode(), out / name, "out")

        def write_page() -> None:
            from musiclime_torch.views.page.song import write_report

            write_report(explanation, track, out, baseline=baseline)

        def write_export(name: str) -> None:
            from musiclime_torch.views.exports.files import write_exports

            write_exports(explanation, track, [name], out, baseline)

        # First of all, and by itself: what follows may fail in somebody else's library, after minutes of a model's time.
        saved = _save(explanation, out)
        failures = [] if isinstance(saved, Path) else [saved]
        steps: list[tuple[str, Callable[[], None]]] = [
            ("explanation.json", lambda: put("explanation.json", to_json(explanation) + "\n")),
            ("explanation.txt", lambda: put("explanation.txt", to_text(explanation, None, self.top, self.positive_only))),
            *([("the page", write_page)] if self.page else []),
            *((f"{name} files", partial(write_export, name)) for name in self.exports),
        ]
        with Stages(True) as stages:
            for name, step in steps if isinstance(saved, Path) else ():
                stages.begin(f"writing {name}", unit="")
                try:
                    step()
                except InputError as error:
                    message = f"{str(error).rstrip('.')}. The explanation is saved as {saved}."
                    failures.append(InputError(message, argument=error.argument))
        return failures


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    import hashlib  # not at the start: --help does without it, and needs a tenth less time

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _save(explanation: "Explanation", out: Path) -> Path | InputError:
    """The saved explanation's file; where `out` can't be written to, what to say, with the folder it went to instead."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        explanation.save(out / SAVED)
    except OSError as error:
        import tempfile  # not at the start, as above

        said = f"{out} can't be written to ({error.strerror or error})"
        try:
            other = Path(tempfile.mkdtemp(prefix="musiclime-"))
            explanation.save(other / SAVED)
        except OSError:
            return InputError(f"{said}: give another --out folder.")
        return InputError(f"{said}: the explanation is saved as {other / SAVED}.")
    return out / SAVED


def say_duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> [say_duration(seconds) for seconds in (4.2, 47, 100, 700, 7000)]
    ['4 seconds', '45 seconds', '2 minutes', '12 minutes', '1 hour 57 minutes']
    """
    if seconds < 90:
        count = round(seconds) if seconds < 20 else 5 * round(seconds / 5)
        return f"{count} second{'s' * (count != 1)}"
    hours, minutes = divmod(round(seconds / 60), 60)
    said = [f"{number} {unit}{'s' * (number > 1)}" for number, unit in ((hours, "hour"), (minutes, "minute")) if number]
    return " ".join(said)


def say_separation(forecast: "Forecast") -> str:
    """How long separating a song will take, and what would shorten it; "" for a few seconds."""
    if forecast.seconds < SHORT:
        return ""
    said = f"taking the song apart: about {say_duration(forecast.seconds)}"
    said = f"This takes long: {said}. Ctrl-C stops it; s" if forecast.seconds > LONG else f"{said[:1].upper()}{said[1:]}. S"
    return f"{said}horter with a part of the song (--start, --end), or with --separator none."


def say_wait(settings: "Settings", model: str, in_passing: bool, forecast: "Forecast") -> str:
    """What will be done, about how long it takes and what would shorten it; "" for a few seconds.

    `in_passing` is whether evidence is looked for unasked.
    """
    if forecast.seconds < SHORT:
        return ""
    passes = f"{'up to ' * forecast.at_most}{forecast.passes:,} forward passes of {model}"
    more = ", and at most as long again to look for evidence" if in_passing else ""
    sought = ["evidence"] * (settings.evidence or settings.edits) + ["the smallest edit"] * settings.edits
    more = f", and more to look for {' and '.join(sought)}" if sought else more
    ways = ["a part of the song (--start, --end)", *_list_ways(settings, forecast.at_most)]
    shorter = f"{', '.join(ways[:-1])} or {ways[-1]}"
    duration = f"{'at most ' * forecast.at_most}about {say_duration(forecast.seconds)}"
    if forecast.seconds > LONG:
        return f"This takes long: {passes}, {duration}{more}. Ctrl-C stops it; shorter with {shorter}."
    return f"{passes[:1].upper()}{passes[1:]}: {duration}{more}. Shorter with {shorter}."


def _list_ways(settings: "Settings", at_most: bool) -> list[str]:
    """What makes sampling shorter. Where every rendering is asked about once, only fewer of them do."""
    sampled = at_most or settings.n_samples is not None or settings.weights != "uniform" or bool(settings.ridge)
    if not sampled:
        return ["fewer stems (--separator hpss or none)"]
    ways = ["fewer --segments"] if settings.n_samples is None else ["fewer --segments", "fewer --n-samples"]
    return ways + (["--until 'top 5'"] if settings.until is None and settings.weights != "shapley" else [])


def plan_output(options: dict[str, Any]) -> Output:
    """Take the options of output out of those given, before anything is run.

    InputError for a folder that can't be one, and for exports that aren't known or have nowhere to go.
    """
    out, exports = options.pop("out"), options.pop("export")
    names = () if exports is None else split(exports)
    # Refused before anything runs: a mistyped folder should not cost an explanation.
    refuse_file(out)
    dossier = options.pop("dossier")
    refuse_file(dossier, "dossier")
    unknown = next((name for name in names if name not in EXPORTS), None)
    if unknown is not None:
        meant = suggest(unknown, EXPORTS)
        raise InputError(f"--export {unknown!r} is not known{meant}: choose from {', '.join(EXPORTS)}.")
    if names and out is None:
        raise InputError("--export writes files: give a folder for them with --out.")
    for name in set(names) & set(_PACKAGES):
        require(*_PACKAGES[name])
    page = not options.pop("no_report") and out is not None
    return Output(options.pop("form"), options.pop("top"), out, page, names, options["preset"] == "paper", dossier)
