"""Lyrics from files and tags: words, lines and sections, with times where there are any."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.song.lyrics.files import read_lyrics as read_lyrics
    from musiclime_torch.song.lyrics.lrc import parse_lrc as parse_lrc
    from musiclime_torch.song.lyrics.lyrics import (
        Line as Line,
        Lyrics as Lyrics,
        Section as Section,
        Word as Word,
        parse_lyrics as parse_lyrics,
    )

__getattr__, __dir__, __all__ = lazy(__name__)
