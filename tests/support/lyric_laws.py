"""What holds of all lyrics, wherever they come from."""

from musiclime_torch.song.lyrics.lyrics import Lyrics


def hold_laws(lyrics: Lyrics) -> None:
    """What every consumer of lyrics relies on, whatever was parsed."""
    assert all(lyrics.text[word.start : word.end] == word.text for word in lyrics.words)
    assert all(left.end <= right.start for left, right in zip(lyrics.words, lyrics.words[1:], strict=False))
    assert all(left.end < right.start for left, right in zip(lyrics.lines, lyrics.lines[1:], strict=False))
    assert all(left.end < right.start for left, right in zip(lyrics.sections, lyrics.sections[1:], strict=False))
    for word in lyrics.words:
        line, section = lyrics.lines[word.line], lyrics.sections[word.section]
        assert section.start <= line.start <= word.start < word.end <= line.end <= section.end
        assert word.end_seconds is None or word.start_seconds is None or word.end_seconds >= word.start_seconds
        assert (word.start_seconds or 0) >= 0
        assert (word.end_seconds or 0) >= 0
    assert {word.line for word in lyrics.words} == set(range(len(lyrics.lines)))
    assert {word.section for word in lyrics.words} == set(range(len(lyrics.sections)))
    assert all("\n" not in lyrics.text[line.start : line.end] for line in lyrics.lines)
