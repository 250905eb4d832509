"""Lyrics from files and tags: which format it is, which encoding, and whether it is text at all.

UTF-8 with or without byte order mark, UTF-16 and UTF-32 with one, else Windows-1252 with a warning. ``.lrc`` is
known by its content too, so that a ``.txt`` with time tags keeps its times; subtitles (``.srt``, ``.vtt``,
``.ass``) are read through pysubs2.
"""

import codecs
from dataclasses import replace
from os.path import isdir  # pathlib's raise for folders without permission
from pathlib import Path

import regex

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import refuse_devices
from musiclime_torch.song.lyrics.lrc import looks_like_lrc, parse_lrc
from musiclime_torch.song.lyrics.lyrics import Lyrics, Verse, compose, parse_lyrics, split_lines

#: No song has so many words: it must be the wrong file.
_MOST_BYTES = 300_000
_MOST_WORDS = 20_000
_SUBTITLES = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ssa"}
_SRT = regex.compile(r"\s*\d+\s*\n\s*\d+:\d\d:\d\d[,.]\d+\s*-->")
# UTF-32's little-endian mark begins with UTF-16's, so it is tried first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_lyrics(path: str | Path) -> Lyrics:
    """Read a lyrics file of any known format.

    Raises:
        InputError: no such file, a folder, not text, or no words in it.
    """
    path = Path(path)
    text, warnings = _decode(path, _read_bytes(path))
    lyrics = _parse(text, path)
    if not lyrics.words:
        raise InputError(
            f"there are no words in the lyrics {str(path)!r}: leave lyrics out for an instrumental.", argument="lyrics"
        )
    _check_length(lyrics, f" {str(path)!r}")
    return replace(lyrics, warnings=(*warnings, *lyrics.warnings))


def read_text(text: str) -> Lyrics:
    """Lyrics given as text, plain or with LRC time tags; InputError for more words than any song has."""
    lyrics = _parse_text(text)
    _check_length(lyrics, "")
    return lyrics


def embedded_lyrics(path: str | Path) -> Lyrics | None:
    """Lyrics in the tags of an audio file (USLT, SYLT, ©lyr, LYRICS), the timed ones first; None where there are none.

    Unreadable tags mean no lyrics rather than an error: the audio may be fine.
    """
    from tinytag import TinyTag, TinyTagException

    try:
        tags = TinyTag.get(str(path)).other.get("lyrics", [])
    except (TinyTagException, OSError):
        return None
    texts = [str(text) for text in tags if "\0" not in str(text) and len(str(text)) <= _MOST_BYTES]
    texts.sort(key=looks_like_lrc, reverse=True)
    for text in texts:
        lyrics = _parse_text(text)
        if 0 < len(lyrics.words) <= _MOST_WORDS:
            return lyrics
    return None


def _parse_text(text: str) -> Lyrics:
    return parse_lrc(text) if looks_like_lrc(text) else parse_lyrics(text)


def _check_length(lyrics: Lyrics, named: str) -> None:
    if len(lyrics.words) > _MOST_WORDS:
        raise InputError(
            f"the lyrics{named} have {len(lyrics.words)} words, more than any song (up to {_MOST_WORDS}): are they the "
            f"right ones?"
        )


def _read_bytes(path: Path) -> bytes:
    if isdir(path):
        raise InputError(f"the lyrics {str(path)!r} are a folder: give the file with the text.")
    refuse_devices(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"the lyrics {str(path)!r} can't be read: {reason or error}.") from error
    if len(data) > _MOST_BYTES:
        raise InputError(
            f"the lyrics {str(path)!r} are over {_MOST_BYTES} bytes long, more than any song: is it the right file?"
        )
    return data


def _decode(path: Path, data: bytes) -> tuple[str, list[str]]:
    refusal = InputError(f"the lyrics {str(path)!r} aren't text: save them as plain text (UTF-8), .lrc or .srt.")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # Windows-1252 reads almost anything, so control characters distinguish text from other data.
        if encoding != "utf-8-sig" or regex.search(rb"[\x00-\x08\x0e-\x1f\x7f\x81\x8d\x8f\x90\x9d]", data):
            raise refusal from error
        warning = f"the lyrics {path.name!r} aren't UTF-8 and were read as Windows-1252: check letters with accents."
        return data.decode("cp1252"), [warning]
    if "\0" in text:
        raise refusal
    return text, []


def _parse(text: str, path: Path) -> Lyrics:
    kind = path.suffix.lower()
    if kind in _SUBTITLES or _SRT.match(text.lstrip("\ufeff")):
        return _parse_subtitles(text, _SUBTITLES.get(kind, "srt"), path)
    return parse_lrc(text) if kind == ".lrc" else _parse_text(text)


def _parse_subtitles(text: str, kind: str, path: Path) -> Lyrics:
    import pysubs2

    try:
        events = pysubs2.SSAFile.from_string(text, format_=kind)
        events.sort()
        said = [(max(0.0, event.start / 1000), event.plaintext) for event in events if event.type == "Dialogue"]
    # Somebody else's parser for files from anywhere, whose errors have no class in common: whatever it trips over, the file
    # can't be read. Our own code stands outside of the block.
    except Exception as error:
        raise InputError(
            f"the lyrics {str(path)!r} can't be read as {kind} ({' '.join(str(error).split())[:200]})."
        ) from error
    return compose([Verse(row, None, start) for start, text in said for row in split_lines(text) if row])
