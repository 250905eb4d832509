"""Help that is read by question: the song, the model, what to ask, how precisely, what to write. Examples come first."""

from collections.abc import Sequence
from os.path import isfile
from typing import Any

import click

#: Questions in the order of the help, each with the options that answer it. What no question has stands under the last.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "The song": (
        *("--lyrics", "--lyrics-encoding", "--stems", "--align-stems", "--separator", "--start", "--end", "--max-duration"),
        *("--labels", "--keep-boilerplate", "--skip-bad", "--demo"),
    ),
    "The model": (
        *(
            "--model",
            "--audio-model",
            "--text-model",
            "--model-weights",
            "--apart",
            "--like",
            "--query",
            "--both",
            "--ask",
            "--answer",
            "--answer-tokens",
            "--ask-words",
            "--order",
        ),
        *(
            "--sample-rate",
            "--channels",
            "--classes",
            "--output-kind",
            "--modalities",
            "--plain-weights",
            "--component-dropout",
        ),
    ),
    "What to ask": (
        *(
            "--target",
            "--foil",
            "--segments",
            "--units",
            "--baseline",
            "--residual",
            "--lyrics-baseline",
            "--space",
            "--weights",
            "--kernel-width",
            "--ridge",
        ),
        *("--interactions", "--evidence", "--edits", "--preset", "--all-classes", "--class", "--controls"),
    ),
    "How precisely": (
        *(
            "--n-samples",
            "--until",
            "--design",
            "--confidence",
            "--seed",
            "--min-songs",
            "--chances",
            "--seeds",
            "--no-shuffle",
        ),
        *(
            "--proxy",
            "--proxy-samples",
            "--distill",
            "--most",
            "--masks",
            "--epochs",
            "--patience",
            "--rate",
            "--accumulation",
        ),
    ),
    "How it runs": (
        *(
            "--device",
            "--precision",
            "--batch-size",
            "--workers",
            "--shard-size",
            "--retry",
            "--engine",
            "--actors",
            "--gpus",
            "--output",
        ),
        *("--save-every", "--host", "--port", "--max-upload-mb"),
    ),
    "What to write": (
        "--answers",
        "--out",
        "--no-report",
        "--report",
        "--pages",
        "--plots",
        "--export",
        "--dossier",
        "--format",
        "--top",
    ),
}

#: The heading of options that answer none of these: --help.
REST = "Other"


class Grouped(click.Command):
    """A command whose help shows examples first, and lists its options by question.

    `examples` are command lines to copy. docs/generate.py writes them too, and a test holds that they are understood.
    """

    def __init__(self, *given: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*given, **more)
        self.examples = tuple(examples)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What the command does, and how it is called; lines are never wrapped, so that they can be copied."""
        super().format_help_text(ctx, formatter)
        if self.examples:
            formatter.write_paragraph()
            formatter.write("".join(f"  {line}\n" for line in self.examples))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each question that has options here."""
        for question, options in group_options(self, ctx).items():
            with formatter.section(question):
                formatter.write_dl([record for option in options if (record := option.get_help_record(ctx))])


class SongCommand(Grouped):
    """A command whose arguments are files: one called "-live.wav" is a file that is there, and no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with ./ in front of such files."""
        known = {name for option in self.get_params(ctx) for name in (*option.opts, *option.secondary_opts)}
        named = [f"./{arg}" if arg.startswith("-") and arg not in known and isfile(arg) else arg for arg in args]
        return super().parse_args(ctx, named)


def group_options(command: click.Command, ctx: click.Context) -> dict[str, list[click.Option]]:
    """Options that are listed, by question; questions without any are left out."""
    shown = [param for param in command.get_params(ctx) if isinstance(param, click.Option) and not param.hidden]
    homes = {flag: question for question, flags in QUESTIONS.items() for flag in flags}
    groups: dict[str, list[click.Option]] = {question: [] for question in (*QUESTIONS, REST)}
    for option in shown:
        groups[homes.get(option.opts[-1], REST)].append(option)
    return {question: options for question, options in groups.items() if options}
