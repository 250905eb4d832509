"""`musiclime app` as somebody waits for it: seconds from the click to the first picture, and to the report, in Chromium.

Thirty seconds of invented music in stereo, MusiCNN with MiniLM; the app runs in a process of its own, and has loaded the
model when it says where it listens. A second question about the same song shows what kept answers save: it takes no pass.

    python -m benchmarks.overhead.app [--smoke] [--picture docs/images/app.jpg]
"""

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from benchmarks.overhead.report import ARGUMENTS

RATE = 44_100
#: Seconds that are waited for anything.
PATIENCE = 120.0


def invent_song(path: Path, seconds: float) -> Path:
    """Chords and hits, so that both stems of hpss have something to hold."""
    rng, frames = np.random.default_rng(0), round(seconds * RATE)
    clock = np.arange(frames) / RATE
    chords = sum(np.sin(2 * np.pi * pitch * clock) * (1 + np.sin(clock / 3)) for pitch in (220, 277.2, 329.6)) / 20
    hits = rng.normal(size=frames) * np.exp(-30 * (clock % 0.5)) / 5
    sound = np.stack([chords + hits, chords - 0.3 * hits], 1)
    soundfile.write(path, sound, RATE)
    return path


@contextmanager
def run_app(model: str) -> Iterator[str]:
    """The command itself on a free port: its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "musiclime_torch", "app", "--model", model, "--separator", "hpss", "--port", port]
    process = subprocess.Popen([*command, "--device", "cpu"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None, "it is a pipe"
    try:
        yield process.stderr.readline().split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def ask(page: Any) -> tuple[float, float]:
    """Seconds from the click to the first step's picture, and to the report."""
    started, first, begun = time.perf_counter(), 0.0, False
    page.get_by_role("button", name="Explain").click()
    while (waited := time.perf_counter() - started) < PATIENCE:
        said = page.locator("#status").inner_text()
        # Until the song is read the status is that of the question before.
        begun = begun or "Reading" in said or "Asking" in said
        if begun and "Step" in said:
            first = first or waited
            if ", the last" in said:
                return first, waited
        page.wait_for_timeout(20)
    raise TimeoutError(f"the app didn't answer in {PATIENCE:g} s: {page.locator('#status').inner_text()}")


def measure(address: str, song: Path, open_browser: Callable[[], Any], picture: Path | None) -> dict[str, float]:
    """A first question, and a second one about another class; the page after the first as a `picture`."""
    page = open_browser().new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.locator("input[type=file]").first.set_input_files(str(song))
    page.get_by_text("0:").first.wait_for()
    first, report = ask(page)
    if picture is not None:
        page.wait_for_timeout(1000)
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=picture, type="jpeg", quality=60)
    page.get_by_label("Class to explain").click()
    page.get_by_role("option").nth(2).click()
    again, _ = ask(page)
    page.get_by_role("tab", name="Why is it slow?").click()
    told = page.get_by_text("passes were made").or_(page.get_by_text("passes with sound")).first.text_content()
    return {"first": first, "report": report, "again": again, "passes_again": float(told.split()[2].replace(",", ""))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="five seconds of song, and the embedded model")
    parser.add_argument("--picture", type=Path, help="write a picture of the page here, as JPEG")
    options = parser.parse_args()
    seconds, model = (5, "demo") if options.smoke else (30, "musicnn-minilm")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, run_app(model) as address, sync_playwright() as playwright:
        song = invent_song(Path(folder) / "song.wav", seconds)
        path = shutil.which("chromium")
        found = measure(
            address, song, lambda: playwright.chromium.launch(executable_path=path, args=ARGUMENTS), options.picture
        )
    table = Table(title=f"{seconds} s of song, {model}")
    for heading in ("first picture, s", "report, s", "another class, s", "its passes"):
        table.add_column(heading, justify="right")
    table.add_row(*(f"{found[name]:.1f}" for name in ("first", "report", "again")), f"{found['passes_again']:.0f}")
    Console(width=100).print(table)
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


if __name__ == "__main__":
    main()
