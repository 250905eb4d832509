"""README and docs: their Python runs, their links lead somewhere, and what people read first is short."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

HOUSE = Path(__file__).parents[2]
DOCS = HOUSE / "docs"
README = HOUSE / "README.md"

#: Pages people read, but for benchmarks/RESULTS.md, which holds the words of the day of each measurement.
PAGES = [README, *sorted(DOCS.glob("*.md"))]
#: Written by hand: docstrings and help texts, which the others hold, are not counted.
WRITTEN = [path for path in PAGES if path.name not in ("api.md", "command-line.md")]
LINKED = [*PAGES, *sorted(DOCS.glob("api/*.md")), *HOUSE.glob("[A-Z]*.md"), HOUSE / "benchmarks" / "README.md"]
NOTEBOOKS = sorted((HOUSE / "notebooks").glob("*.ipynb"))

PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```\n?", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[(?:[^\]]|\n)*?\]\(([^)\s]+)\)")

#: Words of README, lines of README, and words of a sentence, at most.
WORDS, LINES, SENTENCE = 1100, 135, 35

#: What the report, the terminal and the files speak of; the glossary has a heading with each.
TERMS = [
    "answer", "attribution", "banzhaf", "baseline", "budget", "cell", "class", "component", "contrast", "control",
    "crossed", "decision", "decoy", "design", "empty song", "evidence", "exact", "faithfulness", "fidelity", "finding",
    "foil", "fold-over", "half width", "hash", "importance", "interaction", "intercept", "interval", "late fusion",
    "logit", "log-odds", "log-probability", "look", "mask", "multilabel", "pass", "probability", "reading", "remainder",
    "residual", "segment", "separator", "shapley", "share", "significant", "space", "standard error", "stem", "surrogate",
    "target", "unit", "unseen", "variant", "waterfall", "window",
]  # fmt: skip


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
    """Names of a page's headings as GitHub makes them; the second of a name is name-1."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page), re.MULTILINE)
    names = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {name + (f"-{names[:place].count(name)}" if name in names[:place] else "") for place, name in enumerate(names)}


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
    assert find_anchors("# Check\n## check\n") == {"check", "check-1"}


@pytest.mark.parametrize("path", LINKED, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_external_links_are_well_formed(path: Path):
    """Machines that run the tests can't open them, so that no more is known."""
    external = [target for target in find_targets(read(path)) if re.match(r"\w+:", target)]
    assert [target for target in external if not re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/[^\s<>]*)?", target)] == []


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


def test_the_index_has_every_page_and_notebook():
    listed = set(find_targets(read(DOCS / "README.md")))
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} <= listed
    assert {f"../notebooks/{path.name}" for path in NOTEBOOKS} <= listed


@pytest.fixture(scope="module")
def explanation():
    from musiclime_torch import explain
    from musiclime_torch.demo import load_demo_model, load_demo_track

    return explain(load_demo_model(), load_demo_track(), target="anthem", segments=2, n_samples=128, evidence=True)


def list_keys(value: object) -> set[str]:
    """Keys of a JSON value, however deep; names of classes, scales and settings are values."""
    if isinstance(value, list):
        return set().union(*map(list_keys, value))
    if not isinstance(value, dict):
        return set()
    parts = {key: [*part.values()] if key in ("classes", "interactions") and part else part for key, part in value.items()}
    return set(value).union(*map(list_keys, parts.values()))


def test_columns_and_keys_of_files_are_explained(explanation):
    from musiclime_torch.views import to_record
    from musiclime_torch.views.exports import list_rows

    page = read(DOCS / "exports.md")
    record = to_record(explanation)
    record["provenance"] = None
    names = list_keys(record) | {"audio", "lyrics"} | set(list_rows(explanation)[0])
    assert sorted(name for name in names if f"`{name}`" not in page) == []


def test_terms_that_the_product_uses_are_in_the_glossary(explanation):
    """Names on the report's page, in the terminal, and of the values an explanation has."""
    from musiclime_torch import to_html
    from musiclime_torch.basics.choices import Space
    from musiclime_torch.demo import load_demo_track

    glossary = read(DOCS / "reading-an-explanation.md").split("## Glossary")[1].lower()
    headings = set(re.findall(r"^### (.*)$", glossary, re.MULTILINE))
    assert sorted(term for term in TERMS if not any(term in heading for heading in headings)) == []
    sampled = to_html(explanation, load_demo_track()).split("<h3>How it was sampled</h3>")[1].split("</dl>")[0]
    said = {*re.findall(r"<dt>(.*?)</dt>", sampled), "what acts together", "kept by alone", "flipped by removing"}
    assert len(said) > 8
    words = {word for name in said for word in re.findall(r"[a-z]{4,}", name.lower())} - {"more", "find", "because"}
    assert sorted(word for word in words if word.rstrip("s") not in glossary) == []
    assert [space for space in get_args(Space) if space not in glossary] == []


def test_the_glossary_is_in_order():
    headings = re.findall(r"^### (.*)$", read(DOCS / "reading-an-explanation.md"), re.MULTILINE)
    assert headings == sorted(headings, key=str.lower)


def test_measures_of_a_check_are_explained(explanation):
    from musiclime_torch.demo import load_demo_model, load_demo_track
    from musiclime_torch.faithfulness import check
    from musiclime_torch.faithfulness.summary import list_rows

    rows = list_rows(check(load_demo_model(), load_demo_track(), explanation, chances=2, seeds=2, held_out=64))
    page = read(DOCS / "faithfulness.md").lower()
    assert len(rows) >= 12
    assert [row.name for row in rows if [word for word in re.findall(r"[a-z]+", row.name) if word not in page]] == []


def list_texts() -> list[str]:
    """Every text in the package; what is put into it is left out."""
    nodes = [node for path in (HOUSE / "musiclime_torch").rglob("*.py") for node in ast.walk(ast.parse(read(path)))]
    whole = [
        "\0".join(part.value for part in node.values if isinstance(part, ast.Constant))
        for node in nodes
        if isinstance(node, ast.JoinedStr)
    ]
    return whole + [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_messages_that_are_explained_are_those_of_the_code():
    messages = re.findall(r"^\*\*`((?:[^`]|\n)*?)`\.?\*\*", read(DOCS / "troubleshooting.md"), re.MULTILINE)
    pieces = {piece.strip(" :().") for message in messages for piece in " ".join(message.split()).split("...")}
    texts = "\n".join(list_texts())
    assert len(messages) > 25
    assert sorted(piece for piece in pieces if piece not in texts) == []


def test_the_picture_is_small_and_says_how_it_was_made():
    picture = (DOCS / "images" / "report.png").read_bytes()
    assert len(picture) < 150_000
    assert b"Command\0python docs/picture.py" in picture
    assert b"Seed\0" + b"0" in picture
