"""Take the README's picture from a real run: `python docs/picture.py` writes images/report.png beside this file.

Seed 0, the defaults of `explain` and the class anthem, as in `musiclime demo --out`. It needs playwright, pillow and
chromium. Command and seed are in the picture's metadata.
"""

import io
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, PngImagePlugin
from playwright.sync_api import sync_playwright

from musiclime_torch import explain
from musiclime_torch.demo import load_demo_model, load_demo_track
from musiclime_torch.views import write_report

COMMAND, SEED = "python docs/picture.py", 0

#: CSS pixels of the window, the margin around what is shown, and how many are drawn for each.
WIDTH, HEIGHT, MARGIN, SCALE = 960, 700, 16, 1.25

#: What is shown of the report: from the top of one section to the bottom of another.
FIRST, LAST = "section#sound", "section#words"


def main() -> None:
    """Explain the demo, open its report, and keep its sections on sound and words."""
    track = load_demo_track()
    explanation = explain(load_demo_model(), track, target="anthem", evidence=True, seed=SEED)
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_path = write_report(explanation, track, Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
        page.goto(page_path.as_uri())
        first, last = (page.locator(name).bounding_box() for name in (FIRST, LAST))
        top = first["y"] - MARGIN
        clip = {"x": 0, "y": top, "width": WIDTH, "height": last["y"] + last["height"] + MARGIN - top}
        shot = page.screenshot(full_page=True, clip=clip)
        browser.close()
    save(shot, Path(__file__).parent / "images" / "report.png")


def save(shot: bytes, path: Path) -> None:
    """Write the picture with few colours, which keeps it small, and with how it was made."""
    made = PngImagePlugin.PngInfo()
    made.add_text("Command", COMMAND)
    made.add_text("Seed", str(SEED))
    picture = Image.open(io.BytesIO(shot)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    picture.save(path, pnginfo=made, optimize=True)


if __name__ == "__main__":
    main()
