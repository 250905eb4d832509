"""The site: built without a warning, complete in itself, searchable, and usable by anybody on a phone or a desk."""

import json
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chromium import find_faults, open_page, overflow

HOUSE = Path(__file__).parents[2]

#: Seconds that a build may take.
SECONDS = 180

#: Index, first steps, a page with tables and code, generated ones.
PAGES = ("README", "getting-started", "explaining-a-song", "command-line", "api/musiclime_torch")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for name in ("sphinx", "furo", "myst_parser", "sphinx_copybutton"):
        pytest.importorskip(name)
    out = tmp_path_factory.mktemp("site")
    began = time.monotonic()
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", str(out)],
        cwd=HOUSE, capture_output=True, text=True,
    )  # fmt: skip
    assert (built.returncode, built.stderr) == (0, "")
    assert time.monotonic() - began < SECONDS
    return out


@pytest.mark.slow
def test_it_has_every_page_and_notebook_and_nothing_else(site):
    written = {path.relative_to(HOUSE).with_suffix(".html") for path in (HOUSE / "docs").rglob("*.md")}
    written |= {path.relative_to(HOUSE).with_suffix(".html") for path in (HOUSE / "notebooks").glob("*.ipynb")}
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    assert written <= built
    assert {path.parts[0] for path in built - written if len(path.parts) > 1} <= {"benchmarks"}


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site):
    loading = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(\w+:)?//|<link\b[^>]*\bhref=\"(\w+:)?//")
    assert [path.name for path in site.rglob("*.html") if loading.search(path.read_text(encoding="utf-8"))] == []
    fetching = re.compile(r"@import|url\(\s*['\"]?(?:https?:)?//")
    assert [path.name for path in site.rglob("*.css") if fetching.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.slow
def test_links_inside_the_site_lead_to_pages_and_headings(site):
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    broken = []
    for path, text in texts.items():
        for target in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text):
            name, _, anchor = target.partition("#")
            if re.match(r"\w+:", target):
                assert target.startswith("https://")
                continue
            there = (path.parent / name).resolve() if name else path
            # Furo's own buttons go to "#".
            if not there.exists() or (anchor and there in ids and anchor not in ids[there]):
                broken.append((path.name, target))
    assert broken == []


@pytest.mark.slow
# What is dark is laid out alike: its colours are looked at once.
@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("light", 1280), ("dark", 1280)])
@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing_serious_and_nothing_sticks_out(browser, site, page, scheme, width):
    with open_page(browser, site / "docs" / f"{page}.html", width, color_scheme=scheme) as (shown, heard):
        assert "musiclime_torch" in shown.title()
        assert overflow(shown) <= 0
        # Before axe, which asks for the style sheets again.
        assert heard.complaints == []
        assert find_faults(shown) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("interval", "reading-an-explanation"),
        ("load_answering", "api/models"),
        ("resume", "catalogues"),
        ("separator", "explaining-a-song"),
    ],
)
def test_the_search_finds_a_page(browser, site, words, page):
    with open_page(browser, site / "search.html") as (shown, _):
        shown.goto((site / "search.html").as_uri() + f"?q={words}")
        shown.wait_for_selector("#search-results li a")
        links = [link.get_attribute("href") for link in shown.locator("#search-results li a").all()]
        assert any(f"{page}.html" in link for link in links[:8])


def test_a_notebook_becomes_a_page():
    write_notebook = runpy.run_path(str(HOUSE / "docs" / "conf.py"))["write_notebook"]
    cells = [{"cell_type": "markdown", "source": ["# A\n", "b"]}, {"cell_type": "code", "source": ["1 + 1"]}]
    page = write_notebook(json.dumps({"cells": cells}), "notebooks/a.ipynb")
    assert page.startswith("# A\n\n```{note}")
    assert "open `notebooks/a.ipynb`" in page
    assert page.endswith("\nb\n\n````python\n1 + 1\n````\n")


def test_versions_are_listed_newest_first(tmp_path):
    for version in ("0.9.0", "0.10.0"):
        (tmp_path / version / "docs").mkdir(parents=True)
        (tmp_path / version / "docs" / "README.html").touch()
    runpy.run_path(str(HOUSE / "docs" / "make_site.py"))["list_versions"](tmp_path)
    assert re.findall(r">([\d.]+)<", (tmp_path / "versions.html").read_text()) == ["0.10.0", "0.9.0"]
    assert "url=0.10.0/docs/README.html" in (tmp_path / "index.html").read_text()


def test_groups_of_the_sidebar_are_those_of_the_index():
    find_groups = runpy.run_path(str(HOUSE / "docs" / "conf.py"))["find_groups"]
    groups = find_groups((HOUSE / "docs" / "README.md").read_text(encoding="utf-8"))
    assert [title for title, _ in groups][:2] == ["First steps", "Explaining"]
    assert find_groups("x\n\n**A**\n\n- [one](a.md): so\n- [two](../n/b.ipynb)\n") == [("A", ["one <a>", "two <../n/b>"])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clicks", "shown"),
    [
        (["Your own model"], "Every encode_* method returns a tensor with the batch first."),
        (["interval"], "It covers the error of having tried a sample of masks for this song."),
        (["how to resume"], "Run the same command again."),
        (["Separators"], "Using another separator."),
        (["Python API", "explain"], "Explain what a model makes of a track"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_newcomer_finds_it_in_two_clicks(browser, site, clicks, shown):
    with open_page(browser, site / "docs" / "README.html") as (page, _):
        for name in clicks:
            page.locator("article").get_by_role("link", name=name, exact=True).first.click()
        page.wait_for_load_state()
        assert shown in " ".join(page.locator("article").inner_text().split())
        anchor = page.url.partition("#")[2]
        assert not anchor or page.locator(f'[id="{anchor}"]').first.is_visible()
