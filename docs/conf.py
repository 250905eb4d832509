"""The site's settings: `python -m sphinx -W --keep-going -c docs . site`, or `python docs/make_site.py` with versions.

The repository's root is the source folder, so that links between pages, notebooks and files are the same here as on GitHub.
The index is docs/README.md: its bold lines and lists become the groups of the sidebar.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parent.parent

project = "musiclime_torch"
version = release = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
html_title = f"{project} {version}"

extensions = ["myst_parser", "sphinx_copybutton"]
#: Notebooks are read as Markdown, which `add_what_github_lacks` makes of them.
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
root_doc = "docs/README"
include_patterns = ["docs/**", "notebooks/**", "benchmarks/*.md", "[A-Z]*.md"]
exclude_patterns = ["README.md", "**/.*", "**/_build"]

myst_heading_anchors = 3
html_theme = "furo"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_extra_path = ["extra"]
templates_path = ["templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
        "versions.html",
    ]
}
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
copybutton_exclude = ".linenos, .gp, .go"

#: Above each notebook.
HOW = (
    "This notebook is shown without its outputs. To run it, clone the repository, install Jupyter and what the notebook "
    "asks for, and open `{path}`."
)


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", add_what_github_lacks)
    # After furo's own, which makes the tree.
    app.connect("html-page-context", level_captions, priority=900)


def add_what_github_lacks(app: Any, docname: str, source: list[str]) -> None:
    """The sidebar's groups from the index, the API's pages under theirs, and how to run a notebook."""
    if docname == root_doc:
        source[0] += "".join(_write_toctree(title, pages) for title, pages in find_groups(source[0]))
    elif docname == "docs/api":
        source[0] += "\n" + _write_toctree("", re.findall(r"^- \[`.*?`\]\((.*?)\.md\)", source[0], re.MULTILINE))
    elif docname.startswith("notebooks/"):
        source[0] = write_notebook(source[0], f"{docname}.ipynb")


def level_captions(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Captions of the sidebar are headings, which need a level for those who don't see them."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def find_groups(index: str) -> list[tuple[str, list[str]]]:
    """(title, entries of a toctree) of each bold line and the list under it."""
    groups = re.findall(r"^\*\*(.+?)\*\*\n\n(.*?)(?=^\*\*|\Z)", index, re.MULTILINE | re.DOTALL)
    links = re.compile(r"^- \[(.*?)\]\((.*?)\.(?:md|ipynb)\)", re.MULTILINE)
    return [(title, [f"{name} <{page}>" for name, page in links.findall(text)]) for title, text in groups]


def _write_toctree(title: str, pages: list[str]) -> str:
    caption = f":caption: {title}\n" if title else ""
    return f"\n```{{toctree}}\n:hidden:\n{caption}\n" + "\n".join(pages) + "\n```\n"


def write_notebook(text: str, path: str) -> str:
    """A notebook as Markdown, with a note after its title. It isn't run: a test does that."""
    cells = json.loads(text)["cells"]
    title, _, rest = "".join(cells[0]["source"]).partition("\n")
    parts = [title, f"```{{note}}\n{HOW.format(path=path)}\n```", rest]
    for cell in cells[1:]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"````python\n{source}\n````")
    return "\n\n".join(parts) + "\n"
