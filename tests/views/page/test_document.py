"""Lyrics on a page: the pieces join to the text, and each span belongs to its component."""

import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.variants.components import list_components
from musiclime_torch.views.page.document import lay_out_lyrics


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("ab' \n[]é愛-"), max_size=80), units=st.sampled_from(["word", "type", "line", "section"])
)
def test_cut_up_lyrics_join_to_the_text_and_every_span_is_its_components(text, units):
    lyrics = parse_lyrics(text)
    track = Track(torch.zeros(1, 1, 8000), ("all",), 8000, lyrics)
    components = list_components(track, 2, units, ("audio", "lyrics"))
    lines = lay_out_lyrics(lyrics, components)
    assert "\n".join("".join(piece.text for piece in line.pieces) for line in lines) == lyrics.text
    owned = dict.fromkeys(range(components.n_audio, len(components)), "")
    for line in lines:
        for piece in line.pieces:
            if piece.column is not None:
                owned[piece.column] += piece.text
    for column, spans in enumerate(components.lyric_spans, components.n_audio):
        assert owned[column] == "".join(lyrics.text[start:end].replace("\n", "") for start, end in spans)
