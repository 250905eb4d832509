"""Shape annotations are checked while tests run; the small track that many of them explain."""

import gc
import os
from collections.abc import Iterator
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side: a thread for each of them, and for what they start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from chromium import open_chromium
from hypothesis import settings
from typechecking import check_calls_of

# How long an example takes depends on who else uses the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

PACKAGE = Path(find_spec("musiclime_torch").origin).parent


def list_shaped() -> list[str]:
    """Modules that have shapes to check. In the others, lyrics above all, checking calls takes longer than the calls."""
    paths = [path for path in PACKAGE.rglob("*.py") if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in sorted(paths)]


check_calls_of(list_shaped())

from musiclime_torch.song.lyrics.lyrics import Line, Lyrics, Section, Word  # noqa: E402 - the hook goes before any import
from musiclime_torch.song.track import Track  # noqa: E402

#: The files that take longest. They are begun first: by itself xdist begins with files of many tests, and a long file of few
#: tests that is begun last keeps one worker busy while the others wait.
LONGEST = (
    "laws/test_notebooks", "corpus/runs/test_on_ray", "laws/test_site", "training/test_recipes", "commands/test_corpus",
    "commands/test_train", "demo/test_training", "laws/test_broken_audio", "corpus/runs/test_running", "laws/test_pages",
    "commands/app/test_serving", "views/page/test_in_chromium", "training/test_fitting", "views/page/test_hostile",
    "explanation/test_edits", "models/answering/test_transcribing", "laws/test_interrupted", "commands/test_broken_cli",
)  # fmt: skip
PLACES = {f"tests/{name}.py": place for place, name in enumerate(LONGEST)}


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    gc.disable()


def pytest_collection_finish() -> None:
    # What was imported and collected stays until the end. Looked through each time that garbage is collected, which some
    # libraries ask for by themselves, it would take a sixth of the time.
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: PLACES.get(item.nodeid.partition("::")[0], len(PLACES)))


@pytest.fixture
def lyrics() -> Lyrics:
    """Two lines, seven words, "love" twice on the second line."""
    text = "hold me now\nlove is my love"
    words, here = [], 0
    for line, sentence in enumerate(text.split("\n")):
        for word in sentence.split():
            here = text.index(word, here)
            words.append(Word(word, here, here + len(word), line, 0))
            here += len(word)
    return Lyrics(text, tuple(words), (Line(0, 11), Line(12, 27)), (Section(0, 27, "section 1"),))


@pytest.fixture
def track(lyrics: Lyrics) -> Track:
    """Two seconds of two noisy mono stems at 8 kHz."""
    stems = 0.3 * torch.randn(2, 1, 16000, generator=torch.Generator().manual_seed(1))
    return Track(stems, ("drums", "vocals"), 8000, lyrics, title="noise", source="made by hand")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, in which pages are looked at; the test is skipped where it is missing."""
    with open_chromium() as found:
        yield found
