"""Write the pages that come from the code: `python docs/generate.py`.

`command-line.md` from the options of click, `api.md` and `api/` from the faces and the docstrings, and the drawing in
`architecture.md` from the imports. `tests/laws/test_generated_pages.py` fails when one of them is out of date.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
from drawing import describe_rooms, draw_rooms
from reference import write_api

from musiclime_torch.commands import cli
from musiclime_torch.commands.help import REST, Grouped, group_options

DOCS = Path(__file__).parent

#: Around the drawing in architecture.md.
BEGIN, END = "<!-- drawing: written by docs/generate.py -->", "<!-- end of drawing -->"


def main() -> None:
    """Write all of them, and remove pages of faces that are gone."""
    pages = write_pages()
    for name, text in pages.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")
    for path in (DOCS / "api").glob("*.md"):
        if f"api/{path.name}" not in pages:
            path.unlink()


def write_pages() -> dict[str, str]:
    """Every generated file by its name."""
    architecture = (DOCS / "architecture.md").read_text(encoding="utf-8")
    before, rest = architecture.split(BEGIN)
    picture = f"![{describe_rooms()}](images/rooms.svg)"
    return {
        "command-line.md": write_command_line(),
        **write_api(),
        "images/rooms.svg": draw_rooms(),
        "architecture.md": f"{before}{BEGIN}\n{picture}\n{END}{rest.split(END)[1]}",
    }


# --- the command line


def write_command_line() -> str:
    """Every command with its options, by question."""
    group = cli.cli
    parts = ["# Command line", "This page is written by `docs/generate.py` from the commands themselves.", group.help or ""]
    parts += [
        "Standard output carries the result alone; notes and progress go to standard error. Bad input is one sentence on "
        "standard error and exit code 2. A command that is interrupted exits with 130."
    ]
    parts += ["\n".join(f"- [`musiclime {name}`](#musiclime-{name})" for name in sorted(group.commands))]
    for name in sorted(group.commands):
        parts += list(_write_command(name, group.commands[name]))
    return "\n\n".join(parts) + "\n"


def _write_command(name: str, command: click.Command) -> Iterator[str]:
    places = [part for part in command.params if isinstance(part, click.Argument)]
    yield f"## musiclime {name}"
    yield _join(command.help or "")
    shown = [f"{(part.name or '').upper()}{'...' if part.nargs < 0 else ''}" for part in places]
    yield "```\n" + " ".join(["musiclime", name, *shown, "[OPTIONS]"]) + "\n```"
    if isinstance(command, Grouped):
        yield "```sh\n" + "\n".join(command.examples) + "\n```"
    for question, options in group_options(command, click.Context(command)).items():
        if question != REST:
            lines = [f"| `{_cell(_write_flag(option))}` | {_cell(_write_help(option))} |" for option in options]
            yield "\n".join([f"| {question.lower()} | meaning |", "|---|---|", *lines])


# Written here and not taken from click's own help, which differs between its versions.
def _write_flag(option: click.Option) -> str:
    """An option's names and the form of its value."""
    flag = ", ".join(option.opts)
    if option.is_flag:
        return flag
    if isinstance(option.type, click.Choice):
        return f"{flag} {'|'.join(map(str, option.type.choices))}"
    return f"{flag} {option.metavar or option.type.name.removesuffix(' range').upper()}"


def _write_help(option: click.Option) -> str:
    default = f" [default: {option.default}]" if option.show_default and not option.is_flag else ""
    return f"{option.help or ''}{default}{' Required.' * option.required}".strip()


def _join(text: str) -> str:
    """Paragraphs on one line each."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    main()
