"""Pages that docs/generate.py writes are up to date, and every public name is on one."""

import ast
import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GENERATE = runpy.run_path(str(DOCS / "generate.py"))
REFERENCE = runpy.run_path(str(DOCS / "reference.py"))
DRAWING = runpy.run_path(str(DOCS / "drawing.py"))
PAGES = REFERENCE["list_pages"]()


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return GENERATE["write_pages"]()


@pytest.mark.parametrize(
    "name", ["command-line.md", "api.md", "architecture.md", "images/rooms.svg", *(f"{page}.md" for page in PAGES.values())]
)
def test_a_generated_page_is_up_to_date(pages, name: str):
    assert pages[name] == read(name), f"docs/{name} is out of date: run python docs/generate.py"


def test_no_page_of_a_face_that_is_gone_is_left():
    assert {f"api/{path.stem}" for path in (DOCS / "api").glob("*.md")} == set(PAGES.values())


def test_every_option_is_on_the_page():
    from musiclime_torch.commands.cli import cli

    page = read("command-line.md")
    for name, command in cli.commands.items():
        section = page.split(f"## musiclime {name}\n")[1].split("\n## ")[0]
        shown = {flag for option in command.params if not getattr(option, "hidden", False) for flag in option.opts}
        assert [flag for flag in shown if flag.startswith("--") and f"{flag}" not in section] == []


@pytest.mark.parametrize("face", REFERENCE["list_faces"]())
def test_every_public_name_is_documented(face: str):
    """Under its own heading, or linked from the page of the face to the page that has it."""
    names = set(import_module(face).__all__) - {"lazy"}
    links = REFERENCE["find_links"]()
    assert sorted(names - set(links)) == []
    if face in PAGES:
        page = read(f"{PAGES[face]}.md")
        assert [name for name in names if f"\n## {name}\n" not in page and f"[`{name}`](" not in page] == []


def test_the_index_of_the_api_has_every_name_once():
    names = re.findall(r"^\| \[`(\w+)`\]", read("api.md"), re.MULTILINE)
    assert names == [
        name for _, name, _ in sorted(REFERENCE["list_names"](), key=lambda entry: (entry[1].lower(), entry[1]))
    ]


def test_names_come_with_words():
    """A heading without a sentence under it helps nobody."""
    entries = [entry for page in PAGES.values() for entry in re.split(r"^## ", read(f"{page}.md"), flags=re.MULTILINE)[1:]]
    assert len(entries) > 200
    bare = [
        entry.split("\n")[0]
        for entry in entries
        if not re.sub(r"```.*?```|Types: .*?\n", "", entry, flags=re.S).split("\n", 1)[1].strip()
    ]
    assert bare == []


def test_shapes_are_written_as_in_the_code():
    assert 'attributions: Float[Tensor, "class component"]' in read("api/musiclime_torch.md")


def test_names_in_docstrings_are_links():
    linked = list(
        REFERENCE["_link_names"](iter(["see `Track`, `check` and `nothing`", "```py\n`Track`\n```"]), "check", "api/song")
    )
    assert linked == ["see [`Track`](musiclime_torch.md#track), `check` and `nothing`", "```py\n`Track`\n```"]


def test_types_of_a_signature_are_linked():
    page = read("api/musiclime_torch.md").split("\n## explain\n")[1].split("\n## ")[0]
    types = next(line for line in page.splitlines() if line.startswith("Types: "))
    assert "[`Track`](#track)" in types
    assert "[`Answers`](explanation.md#answers)" in types


def test_the_drawing_has_every_room_once_and_arrows_miss_them():
    import xml.etree.ElementTree as Tree

    space = "{http://www.w3.org/2000/svg}"
    drawing = Tree.fromstring(read("images/rooms.svg"))
    assert sorted(text.text for text in drawing.iter(f"{space}text")) == sorted(DRAWING["read_imports"]())
    boxes = [box for box in drawing.iter(f"{space}rect") if box.get("class") == "room"]
    places = {(float(box.get("x")), float(box.get("y"))) for box in boxes}
    assert len(places) == len(boxes)
    # Where an arrow passes a floor it goes straight down, beside every room.
    for path in drawing.iter(f"{space}path"):
        for x, top in re.findall(r" (\d+) (\d+)V", path.get("d")):
            assert all(not left < float(x) < left + DRAWING["ROOM"] for left, y in places if y == float(top))


def test_arrows_that_follow_from_others_are_left_out():
    reduced = DRAWING["reduce_arrows"]({"c": {"a", "b"}, "b": {"a"}, "a": set()})
    assert reduced == {"c": {"b"}, "b": {"a"}, "a": set()}


def test_a_docstring_becomes_markdown():
    docstring = "Do it.\n\nArgs:\n    x: a number,\n        or none.\n\n>>> f(1)\n1"
    function = ast.parse(f'def f(x: int = 1) -> int:\n    """{docstring}"""').body[0]
    written = list(REFERENCE["_write_docstring"](function))
    assert written == ["Do it.", "**Args**", "- `x`: a number, or none.", "```pycon\n>>> f(1)\n1\n```"]
