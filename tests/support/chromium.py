"""Pages in a real browser: Debian's chromium without a screen, and what it said while a page was open."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

#: Nothing that talks to a network.
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def open_chromium() -> Iterator[Any]:
    """A browser; CI installs it, elsewhere its tests are skipped where it lacks."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Heard:
    """What a page said, asked for and did that it shouldn't."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        """Everything but the files it is made of; a page that is as it should be has none."""
        return [*self.console, *self.dialogs, *(url[:80] for url in self.requests if not url.startswith(("file:", "data:")))]


@contextmanager
def open_page(browser: Any, path: Path, width: int = 1280, **options: Any) -> Iterator[tuple[Any, Heard]]:
    """A page from disk in a context of its own."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page, heard = context.new_page(), Heard()
    page.on("console", lambda said: heard.console.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: heard.console.append(str(error)))
    page.on("request", lambda request: heard.requests.append(request.url))
    page.on("dialog", lambda dialog: (heard.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    yield page, heard
    context.close()


def overflow(page: Any) -> int:
    """Pixels by which the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def find_faults(page: Any) -> list[str]:
    """What axe-core's rules find serious or critical: rule, and the first element that breaks it."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    # Of what passes only the rules' names are asked for: describing every element takes longer than looking at them.
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    assert len(found["passes"]) > 10
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]} ({one['nodes'][0]['failureSummary'][:200]})"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
