"""The report of a long song: how large its page is without sound, how long it takes to write and to open in Chromium.

Ten minutes, 1,500 words with times and 48 classes, all generated at random; no model runs. Opening is from the
navigation to the second frame after everything is drawn, the median of several times, the page read from disk. Each page is
written by a process of its own, imports included. With `--beside`, another checkout writes its own page of the same song,
in turn with this one; each ratio is taken within its round. Processor time is given too: other work isn't in it.

    python -m benchmarks.overhead.report [--smoke] [--beside CHECKOUT] [--rounds 5]
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.tools.builds import add_options, list_builds
from musiclime_torch import Explanation, Track, list_components
from musiclime_torch.explanation import Interactions
from musiclime_torch.song import parse_lrc
from musiclime_torch.views import write_report as write_report

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
#: Write a page by the functions of a checkout's own script, wherever its version has it; its last line are the seconds.
_WRITE = """
import json, runpy, sys, time
from pathlib import Path
theirs = runpy.run_path(sys.argv[1])
seconds, words, segments, classes = map(int, sys.argv[3:])
track = theirs["invent_track"](seconds, words)
explanation = theirs["invent_explanation"](track, segments, classes)
started, spent = time.perf_counter(), time.process_time()
theirs["write_report"](explanation, track, Path(sys.argv[2]))
print(json.dumps({"seconds": time.perf_counter() - started, "processor": time.process_time() - spent}))
"""
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


def measure_writing(checkout: Path, folder: Path, sizes: tuple[int, ...]) -> dict[str, float]:
    """Seconds and processor seconds of `write_report` in a process that imports the package from a checkout."""
    scripts = (checkout / "benchmarks" / place / "report.py" for place in ("overhead", "."))
    script = next(script for script in scripts if script.exists())
    command = [sys.executable, "-c", _WRITE, str(script), str(folder), *map(str, sizes)]
    search = {"PYTHONPATH": str(checkout)}
    printed = subprocess.run(command, env=os.environ | search, cwd=checkout, check=True, capture_output=True, text=True)
    return json.loads(printed.stdout.splitlines()[-1])


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
    parser.add_argument("--smoke", action="store_true", help="half a minute and 100 words, written and opened once")
    add_options(parser, rounds=5)
    options = parser.parse_args()
    *sizes, times, rounds = (30, 100, 4, 5, 1, 1) if options.smoke else (600, 1500, 60, 48, 7, options.rounds)
    builds = list_builds(options.beside)
    with tempfile.TemporaryDirectory() as folder:
        written: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
        for _ in range(rounds):
            for name, checkout in builds.items():
                written[name].append(measure_writing(checkout, Path(folder, name), tuple(sizes)))
        pages = {name: Path(folder, name, "index.html") for name in builds}
        bytes_of = {name: measure_size(page) for name, page in pages.items()}
        opening = {name: measure_opening(page, times) for name, page in pages.items()}
    table = Table(title=f"{sizes[0]} s, {sizes[1]:,} words, {sizes[3]} classes; medians of {rounds} pages")
    for heading in ("", "page without sound, kB", "seconds to write", "processor seconds", "to open, median", "slowest"):
        table.add_column(heading, justify="right" if heading else "left")
    medians = {
        name: {kind: statistics.median(taken[kind] for taken in some) for kind in some[0]} for name, some in written.items()
    }
    opened = {name: statistics.median(taken) for name, taken in opening.items()}
    for name, taken in medians.items():
        spent = (f"{taken['seconds']:.2f}", f"{taken['processor']:.2f}")
        table.add_row(name, f"{bytes_of[name] / 1000:.0f}", *spent, f"{opened[name]:.2f}", f"{max(opening[name]):.2f}")
    Console(width=110).print(table)
    figures = {
        "bytes": bytes_of["this build"],
        "seconds_to_open": round(opened["this build"], 3),
        "seconds_to_write": round(medians["this build"]["seconds"], 2),
    }
    if options.beside:
        pairs = list(zip(written["the other"], written["this build"], strict=True))
        for kind in ("seconds", "processor"):
            figures[f"times_faster_{kind}"] = round(statistics.median(other[kind] / own[kind] for other, own in pairs), 2)
        print(f"this build writes {figures['times_faster_seconds']} times as fast as the other")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
