"""Lyrics from files and tags: which format it is, which encoding, and whether it is text at all.

The encoding is that of `encodings`, unless the caller names one. ``.lrc`` is known by its content too, so that a ``.txt``
with time tags keeps its times; subtitles (``.srt``, ``.vtt``, ``.ass``) are read by `subtitles`, tags by `tags`.
"""

from collections.abc import Iterable
from dataclasses import replace
from os.path import isdir  # pathlib's raise for folders without permission
from pathlib import Path

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import refuse_devices
from musiclime_torch.song.lyrics.boilerplate import LeftOut
from musiclime_torch.song.lyrics.encodings import decode, restore
from musiclime_torch.song.lyrics.lrc import looks_like_lrc, parse_lrc
from musiclime_torch.song.lyrics.lyrics import Lyrics, Verse, compose, parse_lyrics
from musiclime_torch.song.lyrics.subtitles import looks_like_subtitles, read_ass, read_cues, split_pieces
from musiclime_torch.song.lyrics.tags import Timed, read_tags, say_the_same

#: No song has so many words: it must be the wrong file.
_MOST_BYTES = 300_000
_MOST_WORDS = 20_000
#: Text of automatic captions holds every line three times, and a time for each word.
_MOST_SUBTITLES = 3_000_000
_SUBTITLES = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ssa"}


def asks_to_transcribe(lyrics: object) -> bool:
    """Whether lyrics are to be heard in the song: "auto", or "auto:NAME" for another Whisper than the default.

    >>> asks_to_transcribe("auto"), asks_to_transcribe("auto:openai/whisper-small"), asks_to_transcribe("auto.lrc")
    (True, True, False)
    """
    return str(lyrics).partition(":")[0] == "auto"


def read_lyrics(path: str | Path, *, lyrics_encoding: str | None = None) -> Lyrics:
    """Read a lyrics file of any known format.

    ``lyrics_encoding`` is a name that Python knows ("gb18030", "shift_jis", "cp1251"); None finds out, with a warning
    where it isn't Unicode.

    Raises:
        InputError: no such file, a folder, not text, not in the encoding asked for, or no words in it.
    """
    path = Path(path)
    text, warnings = decode(_read_bytes(path), lyrics_encoding, path)
    lyrics = _parse(text, path)
    if not lyrics.words:
        raise InputError(
            f"there are no words in the lyrics {str(path)!r}: leave lyrics out for an instrumental.", argument="lyrics"
        )
    _check_length(lyrics, f" {str(path)!r}")
    if path.suffix.lower() == ".lrc" and not any(line.start_seconds is not None for line in lyrics.lines):
        warnings.append(f"no line of {path.name!r} has a time that can be read: is it in another format than .lrc?")
    return replace(lyrics, warnings=(*warnings, *lyrics.warnings))


def read_text(text: str) -> Lyrics:
    """Lyrics given as text, plain or with LRC time tags; InputError for more words than any song has."""
    lyrics = _parse_text(text)
    _check_length(lyrics, "")
    return lyrics


def embedded_lyrics(path: str | Path) -> Lyrics | None:
    """Lyrics in the tags of an audio file, None where there are none.

    Timed ones come first, unless plain ones are there that say something else: then these are the lyrics, and the timed text
    is a translation, chords or another song's. Unreadable tags mean no lyrics rather than an error: the audio may be fine.
    """
    try:
        tags = read_tags(Path(path))
    except OSError:
        return None
    found = [_parse_tag(tag) for tag in tags if isinstance(tag, Timed) or ("\0" not in tag and len(tag) <= _MOST_BYTES)]
    found = [lyrics for lyrics in found if 0 < len(lyrics.words) <= _MOST_WORDS]
    timed = [lyrics for lyrics in found if any(line.start_seconds is not None for line in lyrics.lines)]
    plain = [lyrics for lyrics in found if lyrics not in timed]
    agreeing = [lyrics for lyrics in timed if any(say_the_same(lyrics.text, other.text) for other in plain)]
    return next(iter((agreeing or plain) if plain else timed), None)


def _parse_tag(tag: str | Timed) -> Lyrics:
    if isinstance(tag, str):
        restored = restore(tag)
        lyrics = _parse_text(tag if restored is None else restored[0])
    else:
        # All pieces at once, for a syllable is too short to tell; the separator is itself in every encoding.
        restored = restore("\x1e".join(text for text, _ in tag.pieces))
        texts = restored[0].split("\x1e") if restored else []
        if len(texts) == len(tag.pieces):
            tag = Timed(tuple((text, start) for text, (_, start) in zip(texts, tag.pieces, strict=True)))
        lyrics = _compose(split_pieces(tag.pieces))
    notes = () if restored is None else (f"the lyrics in the tags {restored[1]}: check them.",)
    return replace(lyrics, warnings=(*notes, *lyrics.warnings))


def _parse_text(text: str) -> Lyrics:
    return parse_lrc(text) if looks_like_lrc(text) else parse_lyrics(text)


def _compose(verses: Iterable[Verse]) -> Lyrics:
    """Lyrics of timed lines, without credits and singers' marks."""
    kept, left_out, name = [], LeftOut(), None
    for verse in verses:
        text = left_out.take(verse.text)
        name = verse.section or name
        if not text:
            continue
        gone = len(verse.text) - len(text)
        marks = tuple((max(0, at - gone), seconds) for at, seconds in verse.marks)
        kept.append(Verse(text, name, verse.seconds, marks))
        name = None
    return compose(kept, left_out.warn())


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
            most = _MOST_SUBTITLES if path.suffix.lower() in _SUBTITLES else _MOST_BYTES
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"the lyrics {str(path)!r} can't be read: {reason or error}.") from error
    if len(data) > most:
        raise InputError(f"the lyrics {str(path)!r} are over {most} bytes long, more than any song: is it the right file?")
    return data


def _parse(text: str, path: Path) -> Lyrics:
    kind = path.suffix.lower()
    if kind in (".ass", ".ssa"):
        try:
            verses = read_ass(text, kind[1:])
        # Somebody else's parser for files from anywhere, whose errors have no class in common: whatever it trips over, the
        # file can't be read. Our own code is read on below.
        except Exception as error:
            raise InputError(
                f"the lyrics {str(path)!r} can't be read as {kind[1:]} ({' '.join(str(error).split())[:200]})."
            ) from error
        return _compose(verses)
    if kind in _SUBTITLES or looks_like_subtitles(text):
        return _compose(read_cues(text, webvtt=text.lstrip("\ufeff").startswith("WEBVTT")))
    return parse_lrc(text) if kind == ".lrc" else _parse_text(text)
