"""The package stays one that can be read: few files, none too long, short functions, reasons beside the code."""

import ast
from pathlib import Path
from statistics import quantiles

import musiclime_torch

SOURCES = {
    path: path.read_text(encoding="utf-8")
    for path in Path(musiclime_torch.__file__).parent.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
}


def measure_functions(text: str) -> list[int]:
    """Lines of every function, docstring included."""
    found = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in found]


def test_there_are_fewer_than_two_hundred_modules_and_none_is_long():
    assert len(SOURCES) < 200
    assert {path.name: text.count("\n") for path, text in SOURCES.items() if text.count("\n") > 350} == {}


def test_nine_functions_in_ten_have_twenty_two_lines_at_most():
    lengths = [length for text in SOURCES.values() for length in measure_functions(text)]
    assert quantiles(lengths, n=10)[-1] <= 22


def test_one_line_in_twenty_five_is_a_comment():
    lines = [line.strip() for text in SOURCES.values() for line in text.splitlines()]
    assert sum(line.startswith("#") for line in lines) >= 0.04 * len(lines)
