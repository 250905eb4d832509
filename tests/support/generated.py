"""Ten generated songs for runs over a catalogue: fixtures that the `conftest.py` of several rooms hand on."""

from pathlib import Path

import pytest

from musiclime_torch.demo.catalogue import main as make_catalogue
from musiclime_torch.song.manifest import Entry, read_manifest


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten generated songs."""
    folder = tmp_path_factory.mktemp("corpus")
    make_catalogue(["--songs", "10", "--tags", "drum fill,love song", "--out", str(folder)])
    return folder / "manifest.csv"


@pytest.fixture
def entries(manifest: Path) -> tuple[Entry, ...]:
    return read_manifest(manifest)
