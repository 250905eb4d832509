"""Build the site of this version, or of a tag, beside those of others: `python docs/make_site.py [TAG ...] [--out site]`.

Each goes to OUT/VERSION. OUT/index.html leads to the newest version, OUT/versions.html lists all that are there.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

HOUSE = Path(__file__).parent.parent
PAGE = '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>musiclime_torch</title>\n{}\n</html>\n'


def main() -> None:
    """Build what was asked for, then list everything that is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tags", nargs="*", metavar="TAG", help="tags to build; the working tree if none is given")
    parser.add_argument("--out", type=Path, default=HOUSE / "site")
    asked = parser.parse_args()
    for tag in asked.tags:
        build_tag(tag, asked.out.resolve())
    if not asked.tags:
        build(HOUSE, asked.out.resolve())
    list_versions(asked.out)


def build_tag(tag: str, out: Path) -> None:
    """A tag's own pages, with its own settings, from a checkout that is removed again."""
    with TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "-C", HOUSE, "worktree", "add", "--detach", tree, tag], check=True)
        try:
            build(tree, out)
        finally:
            subprocess.run(["git", "-C", HOUSE, "worktree", "remove", "--force", tree], check=True)


def build(tree: Path, out: Path) -> Path:
    """The site of a source tree in OUT/VERSION; warnings are errors."""
    version = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    strict = ["-W", "--keep-going", "-q"]
    subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, "-A", "versioned=1", "-c", tree / "docs", tree, out / version], check=True
    )
    return out / version


def list_versions(out: Path) -> None:
    """Write index.html and versions.html of the folder."""
    versions = [path.parent.parent.name for path in out.glob("*/docs/README.html")]
    versions.sort(key=lambda version: [int(number) for number in re.findall(r"\d+", version)], reverse=True)
    links = [f'<li><a href="{version}/docs/README.html">{version}</a></li>' for version in versions]
    (out / "versions.html").write_text(
        PAGE.format("<h1>Versions</h1>\n<ul>\n" + "\n".join(links) + "\n</ul>"), encoding="utf-8"
    )
    newest = f"{versions[0]}/docs/README.html"
    lead = f'<meta http-equiv="refresh" content="0; url={newest}">\n<p><a href="{newest}">Documentation</a></p>'
    (out / "index.html").write_text(PAGE.format(lead), encoding="utf-8")


if __name__ == "__main__":
    main()
