"""Pages measured in Chromium as they are drawn: zero lines, overlaps, contrast and width, by `sight.js`."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Chromium without a screen, and without anything that talks to a network.
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
#: Zero lines of a section may differ by this many pixels: half of one is drawn in the same place.
ALIGNED = 0.5

_SCRIPT = Path(__file__).with_suffix(".js")


@dataclass(frozen=True)
class Sight:
    """One page in one window, or the worst of several.

    `spread` is the largest distance in px between the bars' ends, or zero lines, of one section of `rows` bars. `overlaps`
    name pairs of texts that lie on each other, `faint` texts below WCAG 2's contrast (4.5, or 3 where they are large), of
    which `contrast` is the lowest; that of large text counts half as much again. `wide` is by how much the page is wider
    than its window, in px, and `outside` counts texts that stick out.
    """

    rows: int
    texts: int
    spread: float
    overlaps: tuple[str, ...]
    faint: tuple[str, ...]
    contrast: float
    wide: int
    outside: int

    @property
    def faults(self) -> list[str]:
        """In words; none where the page is as it should be."""
        found = [f"zero lines {self.spread:.1f} px apart"] if self.spread > ALIGNED else []
        found += [f"on each other: {pair}" for pair in self.overlaps] + [f"faint, {text}" for text in self.faint]
        found += [f"{self.wide} px too wide"] if self.wide > 0 else []
        return found + ([f"{self.outside} texts stick out"] if self.outside else [])


def measure(page: Any) -> Sight:
    """A page of Playwright that is open."""
    seen = page.evaluate(_SCRIPT.read_text(encoding="utf-8"))
    seen |= {name: tuple(dict.fromkeys(seen[name])) for name in ("overlaps", "faint")}
    return Sight(contrast=seen.pop("lowest"), **seen)


def take_worst(sights: Sequence[Sight]) -> Sight:
    """Everything that is wrong in any of them."""
    return Sight(
        rows=max(sight.rows for sight in sights),
        texts=max(sight.texts for sight in sights),
        spread=max(sight.spread for sight in sights),
        overlaps=tuple(dict.fromkeys(pair for sight in sights for pair in sight.overlaps)),
        faint=tuple(dict.fromkeys(text for sight in sights for text in sight.faint)),
        contrast=min(sight.contrast for sight in sights),
        wide=max(sight.wide for sight in sights),
        outside=max(sight.outside for sight in sights),
    )


@contextmanager
def opening_browser() -> Iterator[Any]:
    """Debian's chromium. RuntimeError where there is none."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise RuntimeError("no Chromium was found: apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def opening_page(browser: Any, path: Path, width: int, scheme: str) -> Iterator[Any]:
    """A page from disk in a window of so many px, in a "light" or a "dark" scheme, its folds open and nothing moving."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    yield page
    context.close()
