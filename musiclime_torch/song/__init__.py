"""A song taken apart: recordings, lyrics and stems from files, manifests of many; the value is a `Track`."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.song.audio.recording import Recording as Recording, read_audio as read_audio, resample as resample
    from musiclime_torch.song.lyrics.files import read_lyrics as read_lyrics
    from musiclime_torch.song.lyrics.lrc import parse_lrc as parse_lrc
    from musiclime_torch.song.lyrics.lyrics import (
        Line as Line,
        Lyrics as Lyrics,
        Section as Section,
        Word as Word,
        parse_lyrics as parse_lyrics,
    )
    from musiclime_torch.song.manifest import Entry as Entry, read_folder as read_folder, read_manifest as read_manifest
    from musiclime_torch.song.segments import place_segments as place_segments, read_labels as read_labels
    from musiclime_torch.song.stems.files import StemSet as StemSet, read_stems as read_stems
    from musiclime_torch.song.stems.separation import separate as separate
    from musiclime_torch.song.track import Track as Track, fold_quiet as fold_quiet, load_track as load_track

__getattr__, __dir__, __all__ = lazy(__name__)
