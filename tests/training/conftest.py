"""Generated songs with labels, and tiny encoders as the hub has them."""

from pathlib import Path

import pytest
from taggers import TAGS
from tiny_hub import save_ast, save_roberta

from musiclime_torch.demo.catalogue import main as make_catalogue
from musiclime_torch.song.manifest import Entry, read_manifest


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of 30 generated songs with three labels."""
    folder = tmp_path_factory.mktemp("catalogue")
    make_catalogue(["--songs", "30", "--tags", TAGS, "--out", str(folder)])
    return folder / "manifest.csv"


@pytest.fixture
def entries(catalogue: Path) -> tuple[Entry, ...]:
    return read_manifest(catalogue)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Tiny AST and RoBERTa as the hub has them."""
    folder = tmp_path_factory.mktemp("hub")
    return str(save_ast(folder / "ast")), str(save_roberta(folder / "roberta"))
