"""Pieces of text with times, as ID3's SYLT and karaoke subtitles have them: syllables, words or lines, joined again."""

from collections.abc import Iterable, Sequence

from musiclime_torch.song.lyrics.lyrics import Verse

Piece = tuple[str, float | None]


def join_pieces(pieces: Iterable[Piece], seconds: float | None = None) -> Verse:
    """One line of pieces that stand as they are sung: blanks are theirs. It begins with the first piece, or at `seconds`.

    >>> verse = join_pieces([("morn", 1.2), ("ing", 1.4), (" light", 1.6)])
    >>> verse.text, verse.seconds, verse.marks
    ('morning light', 1.2, ((0, 1.2), (4, 1.4), (8, 1.6)))
    """
    body, marks = "", []
    for text, start in pieces:
        # Blanks on both sides of a border become one, and the piece begins with its first letter.
        text = text.lstrip() if not body or body[-1].isspace() else text
        if start is not None:
            marks.append((len(body) + len(text) - len(text.lstrip()), start))
        body += text
    body = body.rstrip()
    first = marks[0][1] if marks and seconds is None else seconds
    return Verse(body, None, first, tuple((min(at, len(body)), start) for at, start in marks))


def split_pieces(pieces: Sequence[Piece]) -> list[Verse]:
    """Lines of a song whose pieces say where one begins: by a newline, or as karaoke files do by a slash, a backslash.

    Where none says so, each piece is a line, unless blanks at their borders show that they are parts of one. Pieces that
    neither begin nor end with a blank, several a line, are whole words.
    """
    named = [(text.replace("\r\n", "\n").replace("\r", "\n").strip("\0"), start) for text, start in pieces]
    if sum(text.startswith(("/", "\\")) for text, _ in named) > 1:
        named = [("\n" + text[1:] if text.startswith(("/", "\\")) else text, start) for text, start in named]
    edged = any(text.strip("\n") != text.strip() for text, _ in named)
    if not any("\n" in text for text, _ in named) and not edged:
        named = [("\n" + text, start) for text, start in named]
    lines: list[list[Piece]] = [[]]
    for text, start in named:
        before, *rows = text.split("\n")
        lines[-1].append((before, start if before or not rows else None))
        lines += [[(row, start if row else None)] for row in rows]
    verses = [join_pieces(line if edged else _space(line)) for line in lines]
    return [verse for verse in verses if verse.text]


def _space(line: list[Piece]) -> list[Piece]:
    return [(text if text.endswith("-") else f"{text} ", start) for text, start in line if text or start is not None]
