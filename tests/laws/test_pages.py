"""README and docs: their Python runs, their links lead somewhere, and what people read first is short."""

import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
DOCS = HOUSE / "docs"
README = HOUSE / "README.md"

#: Pages people read, but for benchmarks/RESULTS.md, which holds the words of the day of each measurement.
PAGES = [README, *sorted(DOCS.glob("*.md"))]
#: Written by hand: docstrings and help texts, which the others hold, are not counted.
WRITTEN = [path for path in PAGES if path.name not in ("api.md", "command-line.md")]
LINKED = [*PAGES, *HOUSE.glob("[A-Z]*.md"), HOUSE / "benchmarks" / "README.md"]

PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```\n?", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[(?:[^\]]|\n)*?\]\(([^)\s]+)\)")

#: Words of README, lines of README, and words of a sentence, at most.
WORDS, LINES, SENTENCE = 1100, 135, 35


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def lay_out_code(page: str) -> str:
    """The page's blocks as one script with the page's own line numbers: an error names the line to look at."""
    lines = [""] * page.count("\n")
    for block in PYTHON.finditer(page):
        first = page[: block.start(1)].count("\n")
        for number, line in enumerate(block[1].splitlines()):
            lines[first + number] = line
    return "\n".join(lines) + "\n"


def find_targets(page: str) -> list[str]:
    """What the links of a page point at, code left out."""
    return LINK.findall(re.sub(r"`[^`\n]*`", "", FENCED.sub("", page)))


def find_anchors(page: str) -> set[str]:
    """Names of a page's headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def split_sentences(page: str) -> list[str]:
    """Sentences of the prose; items of lists, cells of tables and headings end one."""
    prose = re.sub(r"<!--.*?-->", "", FENCED.sub("\n\n", page), flags=re.DOTALL)
    prose = re.sub(r"!?\[((?:[^\]]|\n)*?)\]\([^)]*\)", r"\1", prose)
    prose = re.sub(r"^\s*(?:[-*] |\d+\. |#+ )", "\n\n", prose, flags=re.MULTILINE).replace("|", "\n\n")
    pieces = [piece for part in re.split(r"\n\s*\n", prose) for piece in re.split(r"(?<=[.!?])\s+", " ".join(part.split()))]
    return [piece for piece in pieces if re.search(r"\w", piece)]


def count_words(sentence: str) -> int:
    return len([word for word in sentence.split() if re.search(r"\w", word)])


@pytest.mark.parametrize("path", [path for path in PAGES if PYTHON.search(read(path))], ids=lambda path: path.stem)
def test_python_blocks_run_in_an_empty_folder_one_session_a_page(path: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    exec(compile(lay_out_code(read(path)), path.name, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", LINKED, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_links_lead_to_files_and_headings_that_are_there(path: Path):
    broken = []
    for target in find_targets(read(path)):
        name, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        file = path if not name else path.parent / name
        if not file.exists() or (anchor and anchor not in find_anchors(read(file))):
            broken.append(target)
    assert broken == []


def test_a_broken_link_would_be_found():
    assert find_targets("see [this\npage](docs/none.md#part), `[not](this)` and ![a](b.png)") == [
        "docs/none.md#part",
        "b.png",
    ]
    assert find_anchors("# Whole songs\n## `explain`, and `Answers`\n") == {"whole-songs", "explain-and-answers"}


def test_the_readme_is_a_front_page():
    page = read(README)
    assert len(page.split()) <= WORDS
    assert page.count("\n") <= LINES


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_sentences_are_short(path: Path):
    assert [text for text in split_sentences(read(path)) if count_words(text) > SENTENCE] == []


def test_a_long_sentence_would_be_found():
    assert max(map(count_words, split_sentences("One two. " + "word " * 36 + "end.\n\n| a | b |\n- item"))) == 37


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_prose_is_the_fields_own(path: Path):
    """Phrases that have crept in before, and what to say instead: zero, again, depends on, significant."""
    strange = re.findall(r"\bnought\b|\banew\b|\bhangs? on\b|told from zero|\bis none\b", read(path))
    assert strange == []


def test_the_index_has_every_page():
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} <= set(find_targets(read(DOCS / "README.md")))


def test_terms_are_in_the_glossary():
    glossary = read(DOCS / "reading-an-explanation.md").split("## An example")[0]
    terms = [
        "component",
        "attribution",
        "banzhaf",
        "shapley",
        "logit",
        "interval",
        "significant",
        "fidelity",
        "interaction",
        "evidence",
        "foil",
        "mask",
    ]
    assert [term for term in terms if not re.search(rf"^\*\*[^*]*{term}[^*]*\*\*", glossary, re.MULTILINE | re.I)] == []


def test_the_picture_is_small_and_says_how_it_was_made():
    picture = (DOCS / "images" / "report.png").read_bytes()
    assert len(picture) < 150_000
    assert b"Command\0python docs/picture.py" in picture
    assert b"Seed\0" + b"0" in picture
