"""Where one explanation of the command line goes: standard output, and a folder with files, a page and exports."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import refuse_file
from musiclime_torch.commands.options import split

if TYPE_CHECKING:
    from musiclime_torch.explanation.explanation import Explanation
    from musiclime_torch.song.track import Track

#: What --export knows: labels, tables, and sounds.
EXPORTS = ("audacity", "sonic-visualiser", "jams", "csv", "parquet", "wav", "flac")
_SOUNDS = ("wav", "flac")


@dataclass(frozen=True)
class Output:
    """The options of output. `positive_only` lists positive attributions alone, as MusicLIME does."""

    form: str
    top: int
    out: Path | None
    page: bool
    exports: tuple[str, ...]
    positive_only: bool

    @property
    def plays_evidence(self) -> bool:
        """Whether the output plays the evidence, which must then be searched for."""
        return self.page or any(name in _SOUNDS for name in self.exports)

    def show(self, explanation: "Explanation", track: "Track", baseline: Any) -> None:
        """Write and print all outputs; `baseline` is what removed stems became."""
        from rich.console import Console

        from musiclime_torch.views.record import to_json
        from musiclime_torch.views.terminal import print_table

        # Files first: if standard output is a closed pipe, the explanation is saved all the same.
        if self.out is not None:
            self._write(explanation, track, self.out, baseline)
        if self.form == "json":
            click.echo(to_json(explanation))
        else:
            print_table(explanation, None, self.top, self.positive_only, Console())
        if self.out is not None:
            page = f" Open {self.out / 'index.html'} in a browser." if self.page else ""
            click.echo(f"Written to {self.out}.{page}", err=True)

    def _write(self, explanation: "Explanation", track: "Track", out: Path, baseline: Any) -> None:
        """Write every file atomically."""
        from musiclime_torch.basics.files import write_atomically
        from musiclime_torch.views.record import to_json
        from musiclime_torch.views.terminal import to_text

        text = to_text(explanation, None, self.top, self.positive_only)
        write_atomically(to_json(explanation).encode() + b"\n", out / "explanation.json", "out")
        write_atomically(text.encode(), out / "explanation.txt", "out")
        try:
            explanation.save(out / "explanation.safetensors")
        except OSError as error:
            raise InputError(f"{out} can't be written to ({error.strerror}): give another --out folder.") from error
        if self.page:
            from musiclime_torch.views.page.song import write_report

            write_report(explanation, track, out, baseline=baseline)
        if self.exports:
            from musiclime_torch.views.exports.files import write_exports

            write_exports(explanation, track, self.exports, out, baseline)


def plan_output(options: dict[str, Any]) -> Output:
    """Take the options of output out of those given, before anything is run.

    InputError for a folder that can't be one, and for exports that aren't known or have nowhere to go.
    """
    out, exports = options.pop("out"), options.pop("export")
    names = () if exports is None else split(exports)
    # Refused before anything runs: a mistyped folder should not cost an explanation.
    refuse_file(out)
    unknown = next((name for name in names if name not in EXPORTS), None)
    if unknown is not None:
        raise InputError(f"--export {unknown!r} is not known: choose from {', '.join(EXPORTS)}.")
    if names and out is None:
        raise InputError("--export writes files: give a folder for them with --out.")
    page = not options.pop("no_report") and out is not None
    return Output(options.pop("form"), options.pop("top"), out, page, names, options["preset"] == "paper")
