"""Pieces of text with times become lines of words."""

from hypothesis import given, strategies as st
from lyric_laws import hold_laws

from musiclime_torch.song.lyrics.lyrics import compose
from musiclime_torch.song.lyrics.subtitles import join_pieces, split_pieces


def test_blanks_on_both_sides_of_a_border_become_one():
    verse = join_pieces([(" hold ", 1.0), (" me", 2.0), ("", 3.0)])
    assert (verse.text, verse.seconds, verse.marks) == ("hold me", 1.0, ((0, 1.0), (5, 2.0), (7, 3.0)))


def test_an_empty_piece_ends_a_word():
    lyrics = compose(split_pieces([("Hold ", 1.0), ("on", 1.5), ("", 2.0), ("\nnow", 3.0)]))
    assert [(word.text, word.start_seconds, word.end_seconds) for word in lyrics.words] == [
        ("Hold", 1.0, 1.5),
        ("on", 1.5, 2.0),
        ("now", 3.0, None),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["la", " la", "la ", "\n", "\nla", "/la", "", "-", "愛", "\0"]), st.floats(0, 99) | st.none()
        )
    )
)
def test_laws_hold_for_any_pieces(pieces: list[tuple[str, float | None]]):
    hold_laws(compose(split_pieces(sorted(pieces, key=lambda piece: piece[1] or 0))))
