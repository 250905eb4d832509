"""The pages of the Python API, one for each face, from the faces and the docstrings.

Names are documented under the shortest face that lists them, and linked wherever a docstring or a list names them.
"""

import ast
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import musiclime_torch
from musiclime_torch.explanation.settings import Settings

PACKAGE = Path(__file__).parent.parent / "musiclime_torch"

#: The line of the package's docstring that has the rooms in order.
ORDER = next(line for line in (musiclime_torch.__doc__ or "").splitlines() if line.startswith("basics <"))
ROOMS = [[room.strip() for room in floor.split(",")] for floor in ORDER.split("<")]

#: Sections of the docstrings that become lists.
SECTIONS = ("Args:", "Returns:", "Raises:", "Yields:")

WRITTEN = "This page is written by `docs/generate.py` from the faces and docstrings."


def write_api() -> dict[str, str]:
    """By file: an index of all names, and a page for each face."""
    pages = {f"{page}.md": _write_face(face) for face, page in list_pages().items()}
    return {"api.md": _write_index(), **pages}


def list_pages() -> dict[str, str]:
    """Each face that has names of its own, and its page without the ending."""
    named = {face for face, _, _ in list_names()}
    return {face: f"api/{face.removeprefix('musiclime_torch.').replace('.', '-')}" for face in list_faces() if face in named}


@cache
def list_names() -> tuple[tuple[str, str, str], ...]:
    """(face, name, module it lives in), each once, in the order of pages and of headings."""
    done: set[tuple[str, str]] = set()
    names = []
    for face in list_faces():
        entries = [entry for entry in read_face(face) if entry not in done]
        done.update(entries)
        # `lazy` makes the faces themselves.
        entries = [entry for entry in entries if not entry[1].startswith("musiclime_torch.basics.faces")]
        names += [(face, *entry) for entry in sorted(entries, key=lambda entry: (entry[0].lower(), entry[0]))]
    return tuple(names)


@cache
def find_links() -> dict[str, tuple[str, str]]:
    """Page and anchor of each name. Headings that differ in case alone are numbered, as GitHub and the site do."""
    links, seen = {}, Counter[tuple[str, str]]()
    pages = list_pages()
    for face, name, _ in list_names():
        place = (pages[face], name.lower())
        links.setdefault(name, (pages[face], name.lower() + (f"-{seen[place]}" if seen[place] else "")))
        seen[place] += 1
    return links


def link(name: str, page: str) -> str:
    """A public name as a link, seen from a page."""
    there, anchor = find_links()[name]
    if there == page:
        return f"[`{name}`](#{anchor})"
    where = there if page == "api" else there.removeprefix("api/")
    return f"[`{name}`]({where}.md#{anchor})"


def _write_index() -> str:
    pages = list_pages()
    rooms = [f"- [`{face}`]({page}.md): {_lead(face)}" for face, page in pages.items()]
    rows = [
        f"| {link(name, 'api')} | {_cell(_say_first(name, home))} | `{face}` |"
        for face, name, home in sorted(list_names(), key=lambda entry: (entry[1].lower(), entry[1]))
    ]
    parts = [
        "# Python API",
        WRITTEN,
        'Shapes are jaxtyping\'s: `Float[Tensor, "stem channel frame"]` is a float tensor with three axes; `" class"` is '
        "one axis, and `*batch` any number of axes. Times are in seconds and rates in Hz, unless a name says otherwise.",
        "## Faces",
        "Import a name from the face whose page it is on.",
        "\n".join(rooms),
        "## All names",
        "\n".join(["| name | what it is | import from |", "|---|---|---|", *rows]),
    ]
    return "\n\n".join(parts) + "\n"


def _lead(face: str) -> str:
    """The first paragraph of a face's docstring."""
    return _join(ast.get_docstring(_parse(_face_file(face))) or "").split("\n\n")[0]


def _write_face(face: str) -> str:
    page = list_pages()[face]
    own = [(name, home) for where, name, home in list_names() if where == face]
    parts = [f"# {face}", *_link_names(iter([_lead(face)]), "", page), f"{WRITTEN} [All names](../api.md#all-names)"]
    for name, home in own:
        parts += _link_names(_name_types(_write_name(name, home), name), name, page)
    others = sorted({name for name, _ in read_face(face)} - {name for name, _ in own} - {"lazy"}, key=str.lower)
    if others:
        parts += ["## Also here", f"{', '.join(link(name, page) for name in others)}."]
    return "\n\n".join(parts) + "\n"


def _name_types(parts: Iterator[str], own: str) -> Iterator[str]:
    """The parts, and after a signature the public types in it, which can't be links in code."""
    known = find_links()
    for part in parts:
        yield part
        if part.startswith("```py\n"):
            types = dict.fromkeys(re.findall(r"\b[A-Z]\w+", re.sub(r"\"[^\"]*\"", "", part)))
            named = [f"`{name}`" for name in types if name in known and name != own]
            if named:
                yield f"Types: {', '.join(named)}."


def _link_names(parts: Iterator[str], own: str, page: str) -> Iterator[str]:
    """Public names in backticks become links; code blocks, headings and the name's own entry stay."""
    known = find_links()

    def put(found: re.Match[str]) -> str:
        return link(found[1], page) if found[1] in known and found[1] != own else found[0]

    for part in parts:
        yield part if part.startswith(("```", "#")) else re.sub(r"(?<![\[`])`(\w+)`(?![`\]:])", put, part)


def _say_first(name: str, home: str) -> str:
    """The first sentence about a name."""
    parts = [part for part in _write_name(name, home) if not part.startswith(("#", "```", "**"))]
    return re.split(r"(?<=[.:;])\s", parts[0])[0].rstrip(":;") if parts else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _join(text: str) -> str:
    """Paragraphs on one line each."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


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
    yield f"## {name}"
    if isinstance(node, ast.FunctionDef):
        yield f"```py\n{_sign(node)}\n```"
        yield from _write_docstring(node)
    elif isinstance(node, ast.ClassDef):
        yield from _write_class(node)
    elif node is not None:
        yield f"```py\n{_unparse(node)}\n```" if len(_unparse(node)) < 400 else "A constant."
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
    fields = [f"    {_unparse(part)}" for part in node.body if isinstance(part, ast.AnnAssign)]
    bases = ", ".join(_unparse(base) for base in node.bases)
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
    decorators = {_unparse(decorator) for decorator in node.decorator_list}
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
    gives = f" -> {_unparse(node.returns)}" if node.returns else ""
    plain = f"{node.name}({_unparse(node.args)}){gives}"
    if len(plain) <= 100:
        return plain
    return f"{node.name}(\n" + "".join(f"    {part},\n" for part in _list_arguments(node.args)) + f"){gives}"


def _list_arguments(arguments: ast.arguments) -> list[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    missing = [None] * (len(positional) - len(arguments.defaults))
    parts = [_show(a, default) for a, default in zip(positional, [*missing, *arguments.defaults], strict=True)]
    parts += [f"*{_unparse(arguments.vararg)}"] if arguments.vararg else ["*"] if arguments.kwonlyargs else []
    parts += [_show(a, default) for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return [*parts, f"**{_unparse(arguments.kwarg)}"] if arguments.kwarg else parts


def _show(argument: ast.arg, default: ast.expr | None) -> str:
    return _unparse(argument) + (f" = {_show_default(default)}" if default is not None else "")


def _show_default(default: ast.expr) -> str:
    """Defaults of `explain` as their values, which are those of `Settings`."""
    text = _unparse(default)
    return repr(getattr(Settings, text.removeprefix("Settings."))) if text.startswith("Settings.") else text


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


def _unparse(node: ast.AST) -> str:
    """Source again; shapes keep the double quotes that they are written with."""
    return re.sub(r"(\w+\[[\w. |]+, )'([^']*)'\]", r'\1"\2"]', ast.unparse(node))
