"""What lyrics sites add is taken out, and what may be sung stays."""

import pytest
from hypothesis import given, strategies as st

from musiclime_torch.song.lyrics.boilerplate import PATTERNS, describe_stripped, strip_boilerplate
from musiclime_torch.song.lyrics.lyrics import parse_lyrics


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("12 ContributorsNight Lyrics[Verse 1]\nhold me\nYou might also like\nnow5Embed", "[Verse 1]\nhold me\n\nnow"),
        ("Night Lyrics\nhold me", "hold me"),
        ("hold meYou might also like[Chorus]\nnow", "hold me[Chorus]\nnow"),
        ("hold me\nSee Them LiveGet tickets as low as $49\nnow", "hold me\n\nnow"),
        ("hold me\n******* This Lyrics is NOT for Commercial use *******\n(1409617829201)", "hold me"),
        ("hold me\nLyrics licensed by Nobody", "hold me"),
        ("nowEmbed", "now"),
        ("now2.1KEmbed", "now"),
    ],
)
def test_what_sites_add_is_taken_out_and_told(text: str, left: str):
    found = strip_boilerplate(text)
    assert found.text == left
    assert found.found
    assert strip_boilerplate(left).text == left
    assert "1 songs" in describe_stripped([found, strip_boilerplate("la")])


@pytest.mark.parametrize(
    "text",
    [
        "you might also like the rain\nembed me in your heart",
        "I sing you might also like",
        "three contributors came\nmy lyrics are gone",
        "hold me, and embed",
        "[Chorus]\nla la\n",
        "",
    ],
)
def test_what_may_be_sung_stays(text: str):
    assert strip_boilerplate(text).text == text
    assert parse_lyrics(text).warnings == ()


@given(
    st.lists(st.sampled_from(["hold me", "You might also like", "[Chorus]", "3Embed", "12 Contributors", "Lyrics", "\n"]))
)
def test_stripping_never_adds_and_ends(parts: list[str]):
    text = "".join(parts)
    once = strip_boilerplate(text)
    assert len(once.text) <= len(text)
    assert set(once.found) <= set(PATTERNS)
    assert describe_stripped([]) == ""
