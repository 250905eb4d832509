"""Pages that docs/generate.py writes are up to date, and every public name is on one."""

import ast
import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GENERATE = runpy.run_path(str(DOCS / "generate.py"))


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return GENERATE["write_pages"]()


@pytest.mark.parametrize("name", ["command-line.md", "api.md", "architecture.md"])
def test_a_generated_page_is_up_to_date(pages, name: str):
    assert pages[name] == read(name), f"docs/{name} is out of date: run python docs/generate.py"


def test_every_option_is_on_the_page():
    from musiclime_torch.commands.cli import cli

    page = read("command-line.md")
    for name, command in cli.commands.items():
        section = page.split(f"## musiclime {name}\n")[1].split("\n## ")[0]
        shown = {flag for option in command.params if not getattr(option, "hidden", False) for flag in option.opts}
        assert [flag for flag in shown if flag.startswith("--") and f"{flag}" not in section] == []


@pytest.mark.parametrize("face", GENERATE["list_faces"]())
def test_every_public_name_is_documented(face: str):
    headings = set(re.findall(r"^### (\w+)$", read("api.md"), re.MULTILINE))
    # `lazy` makes the faces themselves.
    assert sorted(set(import_module(face).__all__) - headings - {"lazy"}) == []


def test_names_come_with_words():
    """A heading without a sentence under it helps nobody."""
    entries = re.split(r"^### ", read("api.md"), flags=re.MULTILINE)[1:]
    bare = [
        entry.split("\n")[0]
        for entry in entries
        if not re.sub(r"```.*?```|^## .*", "", entry, flags=re.S).split("\n", 1)[1].strip()
    ]
    assert bare == []


def test_arrows_that_follow_from_others_are_left_out():
    reduced = GENERATE["reduce_arrows"]({"c": {"a", "b"}, "b": {"a"}, "a": set()})
    assert reduced == {"c": {"b"}, "b": {"a"}, "a": set()}


def test_a_docstring_becomes_markdown():
    docstring = "Do it.\n\nArgs:\n    x: a number,\n        or none.\n\n>>> f(1)\n1"
    function = ast.parse(f'def f(x: int = 1) -> int:\n    """{docstring}"""').body[0]
    written = list(GENERATE["_write_docstring"](function))
    assert written == ["Do it.", "**Args**", "- `x`: a number, or none.", "```pycon\n>>> f(1)\n1\n```"]
