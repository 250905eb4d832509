"""Draw the picture of docs/getting-started.md: `python notebooks/demo_picture.py` writes demo.svg beside this file.

Seed 0, the defaults of `explain` and the class anthem, as in `musiclime demo`.
"""

import io
import re
from pathlib import Path

from rich.console import Console

from musiclime_torch import explain
from musiclime_torch.demo import load_demo_model, load_demo_track
from musiclime_torch.views import print_table


def main() -> None:
    """Print the demo's table into an SVG that loads nothing from elsewhere."""
    console = Console(record=True, width=96, file=io.StringIO())
    print_table(explain(load_demo_model(), load_demo_track(), target="anthem"), None, 10, False, console)
    svg = console.export_svg(title="musiclime demo", unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    (Path(__file__).parent / "demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
