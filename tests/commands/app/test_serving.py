"""The app in a real browser, on the demo's own song."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chromium import open_chromium

from musiclime_torch.demo.bundle import demo_song


def test_help_needs_neither_gradio_nor_torch():
    script = (
        "import sys; sys.argv = ['musiclime', 'app', '--help']; sys.modules['gradio'] = sys.modules['torch'] = None\n"
        "from musiclime_torch.commands.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "--max-upload-mb" in done.stdout
    assert "127.0.0.1" in done.stdout
    assert "--share" not in done.stdout


@pytest.mark.slow
def test_the_app_finds_the_demos_own_causes_in_a_browser():
    pytest.importorskip("gradio")
    with open_chromium() as browser, run_app("--max-upload-mb", "2", "--max-duration", "60") as address:
        check_upload_limit(address)
        page, asked, complaints = open_app(browser, address)
        page.get_by_role("button", name="Explain").click()
        page.get_by_text("there is no song yet: drop an audio file first.").wait_for()
        page.get_by_role("button", name="Take the demonstration").click()
        page.get_by_text("0:12").first.wait_for()
        page.get_by_label("Class to explain").click()
        page.get_by_role("option", name="anthem").click()
        page.get_by_label("How precisely").click()
        page.get_by_role("option", name="512 masks").click()
        page.get_by_role("button", name="Explain").click()
        page.get_by_text(", the last").wait_for(timeout=120_000)
        assert "the order of the" in page.locator("#status").text_content()
        page.get_by_role("tab", name="Report").click()
        page.locator("iframe").wait_for(timeout=120_000)
        check_answer(page)
        page.get_by_role("tab", name="Why is it slow?").click()
        page.get_by_text("passes with sound").wait_for()
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
        assert complaints == []


@contextmanager
def run_app(*options: str) -> Iterator[str]:
    """The command itself on a free port of the loopback: its address. Ended by Ctrl-C, it leaves nothing uploaded behind."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as scratch:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        command = [sys.executable, "-m", "musiclime_torch", "app", "--separator", "hpss", "--device", "cpu", "--port", port]
        # Its own word that it listens is the only one on standard error.
        process = subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": scratch}
        )
        try:
            said = process.stderr.readline()
            assert said == f"Open http://127.0.0.1:{port}/ in a browser; Ctrl-C ends it.\n"
            yield said.split()[1]
            assert list(Path(scratch).glob("musiclime-app-*"))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert not list(Path(scratch).glob("musiclime-app-*"))


def open_app(browser, address: str):
    page, asked, complaints = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answered = page.goto(address)
    assert "default-src 'self'" in answered.headers["content-security-policy"]
    return page, asked, complaints


def check_answer(page) -> None:
    """What was planted leads: the shout's half-bar, and the word."""
    rows = page.locator(".gradio-container .musiclime tr td:first-child").all_text_contents()
    assert "tonight (line 7)" in rows[:3]
    assert sum("0:04.90-0:06.12" in row for row in rows[:3]) == 2
    report = page.frame_locator("iframe")
    assert report.locator("h1").text_content() == demo_song().stem
    assert "anthem" in report.locator("#class option:checked").text_content()
    # The song and the evidence alone; the song without one word sounds as before, and has no player of its own.
    assert report.locator("audio").count() >= 2


def check_upload_limit(address: str) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        + bytes(3_000_000)
        + b"\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{address}gradio_api/upload", body, headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 413
