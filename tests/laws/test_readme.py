"""The README's Python runs, block after block in one session, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_python_blocks_run(tmp_path: Path):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], check=True, cwd=tmp_path, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
