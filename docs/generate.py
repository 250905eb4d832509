"""Write the pages that come from the code: `python docs/generate.py`.

`command-line.md` from the options of click, `api.md` from the faces and the docstrings, and the drawing in
`architecture.md` from the imports. `tests/laws/test_generated_pages.py` fails when one of them is out of date.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

import musiclime_torch
from musiclime_torch.commands import cli

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "musiclime_torch"

#: The line of the package's docstring that has the rooms in order.
ORDER = next(line for line in (musiclime_torch.__doc__ or "").splitlines() if line.startswith("basics <"))
ROOMS = [[room.strip() for room in floor.split(",")] for floor in ORDER.split("<")]

#: Around the drawing in architecture.md.
BEGIN, END = "<!-- drawing: written by docs/generate.py -->", "<!-- end of drawing -->"

#: Sections of the docstrings that become lists.
SECTIONS = ("Args:", "Returns:", "Raises:", "Yields:")


def main() -> None:
    """Write all of them."""
    for name, text in write_pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


def write_pages() -> dict[str, str]:
    """Every generated page by its file's name."""
    architecture = (DOCS / "architecture.md").read_text(encoding="utf-8")
    before, rest = architecture.split(BEGIN)
    return {
        "command-line.md": write_command_line(),
        "api.md": write_api(),
        "architecture.md": before + BEGIN + "\n" + draw_rooms() + END + rest.split(END)[1],
    }


# --- the command line


def write_command_line() -> str:
    """Every command with its options, in click's own order."""
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
    options = [part for part in command.params if isinstance(part, click.Option) and not part.hidden]
    places = [part for part in command.params if isinstance(part, click.Argument)]
    yield f"## musiclime {name}"
    yield _join(command.help or "")
    shown = [f"{(part.name or '').upper()}{'...' if part.nargs < 0 else ''}" for part in places]
    yield "```\n" + " ".join(["musiclime", name, *shown, "[OPTIONS]"]) + "\n```"
    lines = [f"| `{_cell(_write_flag(option))}` | {_cell(_write_help(option))} |" for option in options]
    yield "\n".join(["| option | meaning |", "|---|---|", *lines])


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


# --- the API


def write_api() -> str:
    """Every public name under the shortest face that lists it, in the order of the rooms."""
    parts = [
        "# Python API",
        "This page is written by `docs/generate.py` from the faces and docstrings. Import a name from the heading it stands "
        'under. Shapes are jaxtyping\'s: `Float[Tensor, "stem channel frame"]` is a float tensor with three axes.',
    ]
    done: set[tuple[str, str]] = set()
    for face in list_faces():
        entries = [
            (name, home)
            for name, home in read_face(face)
            if (name, home) not in done and not home.startswith("musiclime_torch.basics.faces")
        ]
        done.update(entries)
        if entries:
            parts.append(f"## `{face}`")
            parts.append(_join(ast.get_docstring(_parse(_face_file(face))) or "").split("\n\n")[0])
            for name, home in sorted(entries, key=lambda entry: entry[0].lower()):
                parts += list(_write_name(name, home))
    return "\n\n".join(parts) + "\n"


def list_faces() -> list[str]:
    """The package, its rooms in their order, and their inner rooms."""
    order = {room: place for place, room in enumerate(room for floor in ROOMS for room in floor)}
    paths = [path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py")]
    paths.sort(key=lambda path: (len(path.parts), order.get(path.parts[0], 0) if path.parts else 0, path.as_posix()))
    return [".".join(("musiclime_torch", *path.parts)) for path in paths]


def read_face(face: str) -> list[tuple[str, str]]:
    """(public name, module that it lives in) of everything that a face lists."""
    return [
        (alias.asname, node.module)
        for block in _parse(_face_file(face)).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname
    ]


def _face_file(face: str) -> Path:
    return PACKAGE.parent / Path(*face.split(".")) / "__init__.py"


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _write_name(name: str, home: str) -> Iterator[str]:
    tree = _parse((PACKAGE.parent / Path(*home.split("."))).with_suffix(".py"))
    node = next((node for node in tree.body if name in _names(node)), None)
    yield f"### {name}"
    if isinstance(node, ast.FunctionDef):
        yield f"```py\n{_sign(node)}\n```"
        yield from _write_docstring(node)
    elif isinstance(node, ast.ClassDef):
        yield from _write_class(node)
    elif node is not None:
        yield f"```py\n{ast.unparse(node)}\n```" if len(ast.unparse(node)) < 400 else "A constant."
        if remark := _read_remark(home, node.lineno):
            yield remark


def _names(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a module makes."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets if isinstance(node, ast.Assign) else []
    return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}


def _read_remark(home: str, line: int) -> str:
    """The `#:` lines before a constant."""
    lines = (PACKAGE.parent / Path(*home.split("."))).with_suffix(".py").read_text(encoding="utf-8").splitlines()
    remark: list[str] = []
    for text in reversed(lines[: line - 1]):
        # A remark is for all constants up to the next empty line.
        if not text.strip() or (remark and not text.startswith("#:")):
            break
        if text.startswith("#:"):
            remark.insert(0, text.removeprefix("#:").strip())
    return " ".join(remark)


def _write_class(node: ast.ClassDef) -> Iterator[str]:
    fields = [f"    {ast.unparse(part)}" for part in node.body if isinstance(part, ast.AnnAssign)]
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    start = [_sign(part) for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    shown = [f"class {node.name}({bases})" if bases else f"class {node.name}", *fields]
    yield "```py\n" + "\n".join([*shown, *(_indent(text) for text in start)]) + "\n```"
    yield from _write_docstring(node)
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef) and not part.name.startswith("_")]
    if methods:
        yield "\n".join(f"- `{_call(part)}`: {_first_sentence(part)}" for part in methods)


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _call(node: ast.FunctionDef) -> str:
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if decorators & {"property", "cached_property"}:
        return node.name
    return (
        f"{node.name}({', '.join(a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ('self', 'cls'))})"
    )


def _first_sentence(node: ast.FunctionDef) -> str:
    text = _join(ast.get_docstring(node) or "").split("\n\n")[0]
    return text.split(" Args:")[0] or "see the class it overrides."


def _sign(node: ast.FunctionDef) -> str:
    """A function's first line, an argument a line where it would be long."""
    gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    plain = f"{node.name}({ast.unparse(node.args)}){gives}"
    if len(plain) <= 100:
        return plain
    return f"{node.name}(\n" + "".join(f"    {part},\n" for part in _list_arguments(node.args)) + f"){gives}"


def _list_arguments(arguments: ast.arguments) -> list[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    missing = [None] * (len(positional) - len(arguments.defaults))
    parts = [_show(a, default) for a, default in zip(positional, [*missing, *arguments.defaults], strict=True)]
    parts += [f"*{ast.unparse(arguments.vararg)}"] if arguments.vararg else ["*"] if arguments.kwonlyargs else []
    parts += [_show(a, default) for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return [*parts, f"**{ast.unparse(arguments.kwarg)}"] if arguments.kwarg else parts


def _show(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")


def _write_docstring(node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """Prose as it is, `Args:` and its like as lists, examples as blocks."""
    for part in (ast.get_docstring(node) or "").split("\n\n"):
        lines = part.splitlines()
        if lines and lines[0].strip() in SECTIONS:
            yield f"**{lines[0].strip().removesuffix(':')}**"
            items = textwrap.dedent("\n".join(lines[1:]))
            # A line further in goes on with the item before it.
            yield "\n".join(f"- {_mark(' '.join(item.split()))}" for item in re.split(r"\n(?! )", items))
        elif lines and lines[0].startswith(">>>"):
            yield "```pycon\n" + part + "\n```"
        elif lines:
            yield " ".join(part.replace("``", "`").split())


def _mark(item: str) -> str:
    """An argument's name as code."""
    return re.sub(r"^([\w, *]+):", r"`\1`:", item).replace("``", "`")


# --- the drawing


def draw_rooms() -> str:
    """The rooms and who imports whom, as mermaid; an arrow that follows from others is left out."""
    arrows = reduce_arrows(read_imports())
    lines = [f"    {one} --> {other}" for one in sorted(arrows) for other in sorted(arrows[one])]
    return "```mermaid\nflowchart BT\n" + "\n".join(lines) + "\n```\n"


def read_imports() -> dict[str, set[str]]:
    """Rooms that each room's modules import; faces don't count, for they import for type checkers only."""
    rooms: dict[str, set[str]] = {room: set() for floor in ROOMS for room in floor}
    for path in PACKAGE.rglob("*.py"):
        if path.name in ("__init__.py", "__main__.py"):
            continue
        room = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(_parse(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("musiclime_torch."):
                rooms[room].add((node.module or "").split(".")[1])
        rooms[room].discard(room)
    return rooms


def reduce_arrows(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The transitive reduction: `a -> c` goes where `a -> b -> ... -> c` is there too."""

    def reach(room: str) -> set[str]:
        return set().union(*({other} | reach(other) for other in arrows[room]))

    return {
        room: {other for other in others if not any(other in reach(third) for third in others - {other})}
        for room, others in arrows.items()
    }


if __name__ == "__main__":
    main()
