"""Print a constraint on every dependency: the lowest version that pyproject.toml allows. pip can't be asked for these.

Of the extras, those that are named.
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = [requirement for name in sys.argv[1:] for requirement in project["optional-dependencies"][name]]
for requirement in project["dependencies"] + extras:
    if (lowest := re.match(r"([\w-]+)>=([\d.]+)", requirement)) is not None:
        print(f"{lowest[1]}=={lowest[2]}.*")
