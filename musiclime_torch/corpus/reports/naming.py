"""Names from catalogues as people see them: words, classes and ids may hold anything."""

from rich.text import Text

from musiclime_torch.variants.components import shorten


def label(kind: str, name: str) -> str:
    """A feature's name; segments count from one where people read them."""
    stem, _, place = name.rpartition(" ")
    return f"{stem}, segment {int(place) + 1}" if kind == "audio" and place.isdigit() else name


def clean(text: str) -> str:
    """In one line, and without what a terminal would obey."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "·" for one in text)


def show(text: str) -> str:
    """In one short line."""
    return shorten(clean(text))


def make_cell(text: str) -> Text:
    """In a table's column that gives way to numbers."""
    return Text(show(text), no_wrap=True, overflow="ellipsis")


def make_label(kind: str, name: str) -> Text:
    """A feature in such a column; a segment's number, which comes last, isn't cut off but put below."""
    if kind != "audio":
        return make_cell(name)
    stem, parted, place = name.rpartition(" ")
    return Text(label(kind, f"{show(stem)}{parted}{place}"), overflow="ellipsis")
