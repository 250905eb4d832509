"""Tests lie where their module lies: `surrogate/solver.py` is tested by `tests/surrogate/test_solver.py`.

Modules whose tests are those of another one, or of their room as a whole, are listed here with the file that has them.
"""

import ast
import re
from functools import cache
from pathlib import Path

import musiclime_torch

ROOT = Path(musiclime_torch.__file__).parent
TESTS = ROOT.parent / "tests"

#: Test file -> modules without a test file of their own name that it tests.
TESTED_BY = {
    "captum/test_kernel_shap.py": ["captum/coalitions"],
    "captum/test_lime.py": [
        "captum/explained", "captum/kernels", "captum/least_squares", "captum/request", "captum/surrogates",
    ],
    "commands/app/test_app.py": [
        "commands/app/answering", "commands/app/command", "commands/app/page", "commands/app/serving",
    ],
    "commands/test_cli.py": ["commands/output"],
    "corpus/findings/test_comparing.py": ["corpus/findings/comparison_sums"],
    "corpus/runs/test_controls.py": ["corpus/findings/control_results"],
    "corpus/test_corpus.py": [
        "commands/corpus", "commands/findings", "corpus/findings/aggregation", "corpus/reports/columns",
        "corpus/runs/explaining", "corpus/runs/running", "corpus/runs/shards", "corpus/runs/tables",
    ],
    "corpus/test_edges.py": ["corpus/findings/auditing", "corpus/findings/audit_sums", "corpus/runs/ahead"],
    "demo/test_explained.py": ["demo/bundle", "demo/examples", "demo/checks"],
    "demo/test_songs.py": ["demo/music", "demo/plan", "demo/synthesis"],
    "demo/test_training.py": ["demo/song", "models/tagger"],
    "explanation/test_evidence_search.py": ["explanation/evidence"],
    "explanation/test_explainer.py": [
        "explanation/composing", "explanation/explanation", "explanation/fragment", "explanation/interactions",
        "explanation/provenance",
    ],
    "faithfulness/test_checking.py": [
        "faithfulness/deletion", "faithfulness/fidelity", "faithfulness/ladder", "faithfulness/stability",
    ],
    "commands/test_check.py": ["faithfulness/summary", "faithfulness/table"],
    "laws/test_imports.py": ["basics/faces"],
    "commands/test_options.py": ["basics/choices"],
    "models/test_ast_roberta.py": ["models/tokens"],
    "models/test_hub.py": ["commands/models", "models/classifiers", "models/front_ends"],
    "models/test_musicnn.py": ["models/musicnn_minilm", "models/tensorflow_checkpoint"],
    "song/audio/test_truncation.py": ["song/audio/chunks", "song/audio/packets"],
    "song/audio/test_recording.py": ["song/audio/decoding"],
    "song/lyrics/test_files.py": ["song/lyrics/boilerplate"],
    "song/stems/test_neural.py": ["song/stems/cache", "song/stems/weights"],
    "song/test_manifest.py": ["song/datasets"],
    "surrogate/shapley/test_levels.py": ["surrogate/shapley/level_fit"],
    "surrogate/test_crossed.py": ["surrogate/crossed_errors"],
    "training/test_monitor.py": ["training/callbacks"],
    "training/test_training.py": [
        "commands/train", "demo/catalogue", "models/contract", "training/fitting", "training/labels", "training/learner",
        "training/recipes", "training/scores", "training/song_trainer", "training/songs", "training/starting",
        "training/table", "training/testing",
    ],
    "variants/test_asking.py": ["variants/forward"],
    "views/page/test_page.py": [
        "views/page/document", "views/page/mixes", "views/page/packing", "views/page/sheet", "views/page/song",
        "views/page/sound", "views/page/trust",
    ],
    "views/test_exports.py": ["views/exports/annotations", "views/exports/files", "views/exports/tables"],
    "views/test_figures.py": ["training/figures"],
    "views/test_terminal.py": ["views/record"],
}  # fmt: skip

#: Test files of a module beside the one of its name, or of a room as a whole.
BESIDE = {
    "commands/test_broken_cli.py",
    "commands/test_flags.py",
    "corpus/test_trust.py",
    "explanation/test_explainer_laws.py",
    "explanation/test_slips.py",
    "song/audio/test_resampling.py",
    "views/page/test_hostile.py",
    "views/page/test_in_chromium.py",
}

MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix()
    for path in ROOT.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)


def name_test(module: str) -> str:
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}.py"


LISTED = {module: test for test, modules in TESTED_BY.items() for module in modules}


def test_every_module_has_a_test_file_of_its_name_or_is_listed_with_another():
    lacking = [module for module in MODULES if not (TESTS / name_test(module)).exists() and module not in LISTED]
    assert lacking == []


def test_no_entry_is_stale():
    assert set(LISTED) <= set(MODULES)
    assert [module for module in LISTED if (TESTS / name_test(module)).exists()] == []
    assert sum(map(len, TESTED_BY.values())) == len(LISTED), "a module is listed twice"
    assert [test for test in (*TESTED_BY, *BESIDE) if not (TESTS / test).exists()] == []


def test_every_test_file_belongs_to_a_module_or_is_listed():
    own = {name_test(module) for module in MODULES} | set(TESTED_BY) | BESIDE
    files = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    assert {file for file in files - own if file.split("/")[0] not in ("laws", "benchmarks")} == set()


@cache
def reach(path: Path) -> frozenset[str]:
    """Modules that a file imports, directly or through test helpers and other modules, strings of subprocesses included."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        for module in {name for node in ast.walk(ast.parse(text)) for name in list_imports(node)} | set(list_strings(text)):
            file = locate(module)
            if file is not None and str(file) not in found:
                found.add(str(file))
                waiting.append(file)
    return frozenset(found)


def list_imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def list_strings(text: str) -> list[str]:
    """Modules in code that is run in a process of its own, and the command line's."""
    named = re.findall(r"musiclime_torch(?:\.[a-z_]+)+", text)
    return [*named, *(["musiclime_torch.commands.cli"] if "musiclime_torch" in text else [])]


def locate(module: str) -> Path | None:
    """A module of the package, a face of it, or a test helper."""
    parts = module.split(".")
    if parts[0] == "musiclime_torch":
        path = ROOT.joinpath(*parts[1:])
        return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)
    helper = TESTS / "support" / f"{module}.py"
    return helper if helper.exists() else None


def test_a_listed_test_file_reaches_its_modules():
    astray = [
        f"{test} does not reach {module}"
        for module, test in LISTED.items()
        if str(ROOT / f"{module}.py") not in reach(TESTS / test)
    ]
    assert astray == []
