"""Tests mirror the package: each module has a test file of its name, or this file says which one tests it.

`tests/surrogate/test_solver.py` tests `surrogate/solver.py`; `test_solver_laws.py` beside it would test the same module.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import musiclime_torch

ROOT = Path(musiclime_torch.__file__).parent
TESTS = ROOT.parent / "tests"

#: Modules without a test file of their own name, each with the file that tests it.
TESTED_ELSEWHERE = {
    "surrogate/crossed_errors": "surrogate/test_crossed",
    "explanation/estimation/proxies": "explanation/test_guides",
    "variants/fusing": "variants/test_asking",
    "models/student_parts": "models/test_students",
    "explanation/estimation/groups": "explanation/estimation/test_windows",
    "song/lyrics/transcribing": "models/answering/test_transcribing",
    "models/answering/asked": "models/answering/test_answering",
    "models/answering/families": "models/answering/test_answering",
    "models/answering/scoring": "models/answering/test_answering",
    "basics/faces": "laws/test_imports",
    "captum/least_squares": "captum/test_lime",
    "captum/request": "captum/test_lime",
    "captum/surrogates": "captum/test_lime",
    "captum/coalitions": "captum/test_kernel_shap",
    "commands/models": "models/test_classifiers",
    "commands/explain": "commands/test_cli",
    "corpus/findings/summaries": "corpus/findings/test_aggregation",
    "demo/bundle": "demo/test_training",
    "demo/checks": "demo/test_training",
    "demo/catalogue": "corpus/runs/test_running",
    "demo/music": "demo/test_song",
    "demo/plan": "demo/test_song",
    "demo/questions": "demo/test_asking",
    "explanation/composing": "explanation/test_explainer",
    "commands/baselines": "commands/test_options",
    "explanation/baselines": "explanation/test_settings",
    "views/page/origins": "views/page/test_song_reading",
    "explanation/evidence": "explanation/test_evidence_search",
    "models/contract": "models/test_subject",
    "models/front_ends": "models/test_ast_roberta",
    "models/musicnn_minilm": "models/test_musicnn",
    "models/tagger": "demo/test_training",
    "models/tokens": "models/test_ast_roberta",
    "song/audio/chunks": "song/audio/test_truncation",
    "song/audio/packets": "song/audio/test_truncation",
    "song/stems/weights": "song/stems/test_separation_neural",
    "surrogate/shapley/level_fit": "surrogate/shapley/test_levels",
    "training/song_trainer": "training/test_fitting",
}

#: Tests of a room as a whole, or of what several of its modules do together.
OF_A_ROOM = {
    "commands/test_broken_cli": "broken files through the command line",
    "commands/test_flags": "arguments of the library as options of the commands",
    "corpus/runs/test_resuming": "runs that were killed",
    "corpus/test_edges": "unusual songs, from the manifest to the report",
    "corpus/test_trust": "runs that were damaged, moved or mixed up",
    "demo/test_explained": "the embedded model explained",
    "views/page/test_hostile": "hostile names on any page",
    "views/page/test_in_chromium": "the page of a song in a browser",
}


def list_modules() -> list[str]:
    """Modules by their path without suffix, faces and `__main__` left out."""
    paths = [path for path in ROOT.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")]
    return sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in paths)


def list_tests() -> list[str]:
    """Test files by their path without suffix, but for those of the laws and of the benchmarks."""
    paths = [path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")]
    return sorted(path.with_suffix("").as_posix() for path in paths if path.parts[0] not in ("laws", "benchmarks"))


def name_test(module: str) -> str:
    """The test file of a module's own name."""
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}"


MODULES, FILES = list_modules(), list_tests()
HOMES = {module: TESTED_ELSEWHERE.get(module, name_test(module)) for module in MODULES}


#: A module's dotted name, and `from MODULE import NAMES`, in scripts that tests run in other processes.
DOTTED = re.compile(r"\bmusiclime_torch(?:\.\w+)+")
SCRIPTED = re.compile(r"from (musiclime_torch[\w.]*) import ([\w, ]+)")


@cache
def imported(path: Path) -> frozenset[Path]:
    """Files that one file imports, at its top or inside a function, or runs in a process of its own."""
    files: list[Path] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            files += [file for alias in node.names for file in find_files(node.module or "", alias.name)]
        elif isinstance(node, ast.Import):
            files += [file for alias in node.names for file in find_files(alias.name, "")]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and TESTS in path.parents:
            files += [ROOT / "__main__.py"] if node.value == "musiclime_torch" else []
            files += [file for module in DOTTED.findall(node.value) for file in find_files(module, "")]
            for module, names in SCRIPTED.findall(node.value):
                files += [file for name in names.split(",") for file in find_files(module, name.strip())]
    return frozenset(files)


def find_files(module: str, name: str) -> list[Path]:
    """The file behind `from module import name`: of the package, of its faces, or of the tests' helpers."""
    path = Path(*module.split("."))
    if module.split(".")[0] != "musiclime_torch":
        return [file for file in [TESTS / "support" / f"{module}.py"] if file.exists()]
    for file in (
        ROOT.parent / path / f"{name}.py",
        ROOT.parent / path.with_suffix(".py"),
        ROOT.parent / path / "__init__.py",
    ):
        if file.exists():
            # A face hands names on from the modules that it lists.
            handed = [
                ROOT.parent / Path(*node.module.split(".")).with_suffix(".py")
                for node in (ast.walk(ast.parse(file.read_text())) if file.name == "__init__.py" else ())
                if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names)
            ]
            return [other for other in handed if other.exists()] or [file]
    return []


def reach(path: Path) -> set[Path]:
    """All files that importing one brings in."""
    shared = [folder / "conftest.py" for folder in path.parents if TESTS in folder.parents or folder == TESTS]
    reached, left = set(), [path, *(file for file in shared if file.exists())]
    while left:
        for file in imported(left.pop()) - reached:
            reached.add(file)
            left.append(file)
    return reached


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test_file_that_reaches_it(module: str):
    path = TESTS / f"{HOMES[module]}.py"
    assert path.exists(), f"{module}.py has no test file: write tests/{HOMES[module]}.py, or name another in the table"
    assert ROOT / f"{module}.py" in reach(path), f"tests/{HOMES[module]}.py doesn't import {module}.py"


def test_the_table_has_no_stale_entry():
    assert set(TESTED_ELSEWHERE) <= set(MODULES)
    assert not [module for module in TESTED_ELSEWHERE if (TESTS / f"{name_test(module)}.py").exists()]
    assert set(OF_A_ROOM) <= set(FILES)


def test_every_test_file_belongs_to_a_module_or_to_a_room():
    own = {name_test(module) for module in MODULES}
    strays = [
        file for file in FILES if file not in own | set(OF_A_ROOM) and not any(file.startswith(f"{name}_") for name in own)
    ]
    assert strays == []


def test_benchmarks_are_mirrored_too():
    benchmarks, tests = ROOT.parent / "benchmarks", TESTS / "benchmarks"
    for path in tests.rglob("test_*.py"):
        tested = benchmarks / path.relative_to(tests).with_name(path.name.removeprefix("test_"))
        assert tested.exists(), f"{path.relative_to(TESTS)} tests no benchmark of its name"
