"""The report of a long song: how large its page is without sound, how long it takes to write and to open in Chromium.

Ten minutes, 1,500 words with times and 48 classes, all generated at random; no model runs. Opening is from the
navigation to the second frame after everything is drawn, the median of several times, the page read from disk.

    python -m benchmarks.overhead.report [--smoke]
"""

import argparse
import json
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch import Explanation, Track, list_components
from musiclime_torch.explanation import Interactions
from musiclime_torch.song import parse_lrc
from musiclime_torch.views import write_report

RATE = 16_000
#: Chromium without a screen, and without anything that talks to a network.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Painted twice after the load event: what the script drew is on the screen.
_OPENED = (
    """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"""
)


def invent_track(seconds: float, words: int) -> Track:
    """Four noisy stems, and lyrics of eight words a line."""
    generator = torch.Generator().manual_seed(0)
    stems = 0.1 * torch.randn(4, 1, round(seconds * RATE), generator=generator)
    lines = []
    for first in range(0, words, 8):
        start = seconds * first / words
        sung = " ".join(f"word{number % 400}" for number in range(first, min(first + 8, words)))
        lines.append(f"[{int(start // 60):02d}:{start % 60:05.2f}]{sung}")
    return Track(
        stems,
        ("drums", "bass", "other", "vocals"),
        RATE,
        parse_lrc("\n".join(lines)),
        title="a long song",
        source="invented",
    )


def invent_explanation(track: Track, segments: int, classes: int) -> Explanation:
    """Drawn numbers for every class, an eighth of them far from zero, and every pair of a cell and a word."""
    generator = torch.Generator().manual_seed(1)
    components = list_components(track, segments, "word", ("audio", "lyrics"))
    names, d = tuple(f"class {number}" for number in range(classes)), len(components)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    large = (torch.rand(classes, d, generator=generator) < 0.125).double()
    columns = torch.cartesian_prod(torch.arange(components.n_audio), torch.arange(components.n_audio, d))
    pairs = len(columns)
    interactions = Interactions(
        spaces=("probability",),
        classes=tuple(range(classes)),
        risk=0.05,
        part_freedom=100.0,
        columns=columns,
        values=0.01 * draw(1, classes, pairs),
        standard_errors=torch.full((1, classes, pairs), 0.002, dtype=torch.float64),
        degrees_of_freedom=torch.full((1, classes, pairs), 100.0, dtype=torch.float64),
        explained=torch.full((1, classes), 0.1, dtype=torch.float64),
        parts=torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).expand(1, classes, 3),
        part_errors=torch.full((1, classes, 3), 0.01, dtype=torch.float64),
    )
    return Explanation(
        components=components,
        classes=names,
        target=0,
        value="Banzhaf value",
        space="logit",
        attributions=large * draw(classes, d) + 0.01 * draw(classes, d),
        standard_errors=torch.full((classes, d), 0.01, dtype=torch.float64),
        degrees_of_freedom=torch.full((classes, d), 100.0, dtype=torch.float64),
        intercept=draw(classes),
        fidelity=torch.full((classes,), 0.8, dtype=torch.float64),
        output_song=draw(classes),
        output_empty=draw(classes),
        interactions=interactions,
        evidence=None,
        design="invented",
        n_variants=2048,
        audio_passes=1024,
        lyrics_passes=1024,
        looks=1,
        stopped="",
        confidence=0.95,
        unseen={},
        warnings=(),
        provenance={"title": track.title, "model": "invented", "settings": {"baseline": "silence", "seed": 0}},
    )


def measure_size(page: Path) -> int:
    """Bytes of the page without what sound is embedded in it."""
    return len(re.sub(rb"data:audio/[^\"]*", b"", page.read_bytes()))


def measure_opening(page: Path, times: int) -> list[float]:
    """Seconds, each in a new tab of one browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        seconds = []
        for _ in range(times):
            tab = browser.new_page()
            tab.goto(page.as_uri())
            seconds.append(tab.evaluate(_OPENED) / 1000)
            tab.close()
        browser.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="half a minute and 100 words, opened once")
    options = parser.parse_args()
    seconds, words, segments, classes, times = (30, 100, 4, 5, 1) if options.smoke else (600, 1500, 60, 48, 7)
    track = invent_track(seconds, words)
    explanation = invent_explanation(track, segments, classes)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        page = write_report(explanation, track, Path(folder))
        writing = time.perf_counter() - started
        size, opening = measure_size(page), measure_opening(page, times)
    table = Table(title=f"{seconds} s, {words:,} words, {len(explanation.components):,} components, {classes} classes")
    for heading in ("page without sound, kB", "seconds to write", "to open, median", "slowest"):
        table.add_column(heading, justify="right")
    opened = statistics.median(opening)
    table.add_row(f"{size / 1000:.0f}", f"{writing:.1f}", f"{opened:.2f}", f"{max(opening):.2f}")
    Console(width=100).print(table)
    print(json.dumps({"bytes": size, "seconds_to_open": round(opened, 3), "seconds_to_write": round(writing, 2)}))


if __name__ == "__main__":
    main()
