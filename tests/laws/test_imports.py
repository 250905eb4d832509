"""Imports point one way, and the command line starts without the heavy ones."""

import ast
import subprocess
import sys
from pathlib import Path

import musiclime_torch

ROOT = Path(musiclime_torch.__file__).parent

#: From the song to the explanation, then what stands on top. A module may import from earlier rows and from its own.
ROWS = [
    {"failures", "devices", "cleaning", "progress", "writing"},
    {"classes", "integers", "names", "designs", "fragment", "reading", "statistics.intervals", "statistics.ranks"},
    {
        "models.care",
        "models.contract",
        "models.heads",
        "models.checkpoints",
        "models.folders",
        "models.hub",
        "models.preparation",
        "models.precision",
        "models.hashing",
        "models.shuffling",
        "models.vocabulary",
    },
    {"models.fbank", "models.tensorflow_checkpoint", "models.tokens"},
    {"models.ast_roberta", "models.front_ends", "models.musicnn", "models.tagger"},
    {"models.classifiers", "models.sentences"},
    {"models.musicnn_minilm"},
    {"separation"},
    {"track"},
    {"components", "design", "spaces", "statistics.stopping"},
    {"models.subject", "sampling", "interactions"},
    {"rendering"},
    {"baselines"},
    {"sources"},
    {"batches"},
    {"evaluation", "shapley", "solver"},
    {"statistics"},
    {"arguments", "checks", "provenance"},
    {"probing"},
    {"evidence"},
    {"estimation", "explanation"},
    {"explainer"},
    {"streaming"},
    {"captum", "captum_inputs", "exports", "faithfulness", "views", "demo", "training"},
    {"models.loading"},
    {"options"},
    {"output"},
    {"corpus"},
    {"plots"},
    {"app", "corpus.command", "faithfulness.command"},
    {"cli"},
    {"__main__"},
]


def row_of(module: str) -> int:
    found = [
        (len(name), number)
        for number, row in enumerate(ROWS)
        for name in row
        if module == name or module.startswith(name + ".")
    ]
    if found:
        return max(found)[1]  # a file's own place goes before its folder's
    raise AssertionError(f"{module} has no place in the order of imports: give it one in {__file__}")


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if path.name != "__init__.py" or path.parent.name == "separation":
            found[name] = path
    return found


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("musiclime_torch."):
            names.add(node.module.removeprefix("musiclime_torch."))
        elif isinstance(node, ast.ImportFrom) and node.module == "musiclime_torch":
            names |= {alias.name for alias in node.names}
    return names


def test_every_import_points_back_along_the_pipeline():
    wrong = [
        f"{name} imports {other}"
        for name, path in modules().items()
        for other in imported(path)
        if row_of(other) > row_of(name)
    ]
    assert wrong == []


def test_designs_and_the_solver_know_tensors_only():
    tensors = {name for name in modules() if name.startswith(("designs.", "statistics.", "shapley."))} | {"design", "solver"}
    for name in tensors:
        assert imported(modules()[name]) <= tensors | {"failures"}


def test_help_imports_nothing_heavy():
    script = (
        "import sys; sys.argv = ['musiclime', '--help']\n"
        "from musiclime_torch.commands.cli import main\n"
        "heavy = {'torch', 'numpy', 'transformers', 'captum', 'demucs', 'soundfile', 'gradio'}\n"
        "try: main()\n"
        "finally: assert not heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
