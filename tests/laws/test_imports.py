"""Imports point one way, in circles nowhere, and the command line starts without the heavy ones."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import musiclime_torch

ROOT = Path(musiclime_torch.__file__).parent
HOUSE = ROOT.parent

#: Left of "<" what is imported by what stands right of it; "," parts folders that don't know each other.
ORDER = re.search(r"^basics <.*$", musiclime_torch.__doc__, re.MULTILINE)[0]
ROWS = [[name.strip() for name in row.split(",")] for row in ORDER.split("<")]
FLOORS = {name: floor for floor, row in enumerate(ROWS) for name in row}


def modules() -> dict[str, Path]:
    """All files but the faces, by dotted name."""
    paths = [path for path in ROOT.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def imported(path: Path) -> Iterator[str]:
    """Modules that a file imports anywhere in it: at its top, for type checkers, or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            for alias in node.names if (node.module or "").split(".")[0] == "musiclime_torch" else ():
                whole = f"{node.module}.{alias.name}".removeprefix("musiclime_torch.")
                yield whole if whole in MODULES else node.module.removeprefix("musiclime_torch").removeprefix(".")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "musiclime_torch":
                    yield alias.name.removeprefix("musiclime_torch").removeprefix(".")


MODULES = modules()
IMPORTS = {name: set(imported(path)) for name, path in MODULES.items()}


def test_the_folders_are_those_of_the_docstring():
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(FLOORS)
    assert {path.name for path in ROOT.iterdir() if path.is_file()} == {"__init__.py", "__main__.py", "py.typed"}


def test_a_file_imports_from_files_of_its_own_folder_or_of_those_left_of_it():
    wrong = [
        f"{name} imports {other or 'the face of the house'}"
        for name, others in IMPORTS.items()
        for other in others
        if other not in MODULES
        or (other.split(".")[0] != name.split(".")[0] and FLOORS[other.split(".")[0]] >= FLOORS[name.split(".")[0]])
    ]
    assert wrong == []


def test_designs_and_solvers_stand_on_the_ground_alone():
    for name, others in IMPORTS.items():
        if name.startswith("surrogate."):
            assert {other.split(".")[0] for other in others} <= {"surrogate", "basics"}, name


@pytest.mark.parametrize("depth", [1, 2, 3, 4], ids=["folders", "sub-folders", "files of sub-folders", "files"])
def test_nothing_imports_in_a_circle(depth: int):
    """Kahn's algorithm: take away what imports nothing that is left, until nothing is."""

    def shorten(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    left: dict[str, set[str]] = {}
    for name, others in IMPORTS.items():
        left.setdefault(shorten(name), set()).update(shorten(other) for other in others if shorten(other) != shorten(name))
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


FACES = sorted(".".join(path.relative_to(HOUSE).parent.parts) for path in ROOT.rglob("__init__.py"))


@pytest.mark.parametrize("face", FACES)
def test_a_face_lists_names_that_are_there(face: str):
    module = import_module(face)
    assert module.__all__
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        try:
            getattr(module, name)
        except ImportError as error:
            pytest.fail(f"{face}.{name}: {error}")
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        module.nonesuch  # noqa: B018 - reading it is what raises


def test_the_house_offers_what_the_readme_promises():
    promised = "explain load_track load_model Track Lyrics Explanation list_components MusicLIME InputError PAPER to_html"
    assert set(promised.split()) <= set(musiclime_torch.__all__)


def shown_files() -> list[Path]:
    """What people read and copy from."""
    texts = [HOUSE / "README.md", *(HOUSE / "docs").rglob("*.md"), *(HOUSE / "notebooks").glob("*.ipynb")]
    return [*texts, *(HOUSE / "notebooks").glob("*.py"), *(HOUSE / "benchmarks").rglob("*.py")]


@pytest.mark.parametrize("path", shown_files(), ids=lambda path: path.name)
def test_people_are_shown_faces_only(path: Path):
    for module, names in re.findall(r"from musiclime_torch([\w.]*) import (\([^)]*\)|[\w, ]+)", path.read_text()):
        assert module.count(".") <= 1, f"{path.name} reaches into musiclime_torch{module}"
        face = import_module(f"musiclime_torch{module}")
        wanted = {name.split(" as ")[0].strip() for name in names.strip("()").split(",")} - {""}
        assert wanted <= set(face.__all__) | set(FLOORS), f"{path.name}: musiclime_torch{module} doesn't list {wanted}"


def test_help_imports_nothing_heavy():
    script = (
        "import sys; sys.argv = ['musiclime', '--help']\n"
        "from musiclime_torch.commands.cli import main\n"
        "heavy = {'torch', 'numpy', 'transformers', 'captum', 'demucs', 'soundfile', 'gradio', 'regex'}\n"
        "try: main()\n"
        "finally: assert not heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("face", FACES)
def test_dir_lists_what_people_look_for_and_nothing_else(face: str):
    module = import_module(face)
    inner = {other.rsplit(".", 1)[1] for other in FACES if other.rpartition(".")[0] == face}
    assert {name for name in dir(module) if not name.startswith("__")} == set(module.__all__) | inner
