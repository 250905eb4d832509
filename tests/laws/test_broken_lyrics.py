"""Broken and strange lyrics through the entry point: read and explained, or refused in a sentence; no hang, no traceback."""

from pathlib import Path

import pytest
from broken_lyrics import WHOLE, Strange, make_strange
from hypothesis import given, settings, strategies as st
from models import Late
from soundfiles import make_noise, write
from watchdog import time_limit

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.lyrics.files import read_lyrics
from musiclime_torch.song.track import load_track
from musiclime_torch.variants.components import MOST_COMPONENTS
from musiclime_torch.views.exports.files import to_json

#: Seconds that one file may take, on a machine that does other things too.
LIMIT = 30


def run(song: Path, strange: Strange, folder: Path, explained: set[str]) -> list[str]:
    """What is wrong about the answer to one file. Words that were `explained` before aren't explained again."""
    path = folder / strange.name
    path.write_bytes(strange.data)
    try:
        with time_limit(LIMIT):
            track = load_track(song, lyrics=path, separator="none")
    except InputError as error:
        return [f"refused: {error}"] if strange.words or "\n" in str(error) else []
    lyrics = track.lyrics
    assert lyrics is not None
    found = [f"read {word.text!r}" for word in lyrics.words if lyrics.text[word.start : word.end] != word.text]
    if strange.words is not None and tuple(word.text for word in lyrics.words) != strange.words:
        found.append(f"read {len(lyrics.words)} words, {lyrics.words[:3]}")
    times = [time for word in lyrics.words for time in (word.start_seconds, word.end_seconds) if time is not None]
    if not all(0 <= time < float("inf") for time in times):
        found.append(f"times from {min(times)} to {max(times)}")
    if lyrics.text in explained:
        return found
    explained.add(lyrics.text)
    try:
        with time_limit(LIMIT):
            to_json(explain(Late(), track, segments=1, n_samples=4, units="line" if len(lyrics.words) > 400 else "word"))
    except InputError as error:
        found += [str(error)] * ("\n" in str(error) or len(lyrics.lines) < MOST_COMPONENTS)
    return found


def test_strange_lyrics_are_read_or_refused(tmp_path: Path):
    song = write(tmp_path / "song.wav", make_noise(0.2, 8000, 1), 8000)
    files = list(make_strange(0))
    assert len(files) >= 250
    wrong: list[str] = []
    explained: set[str] = set()
    for strange in files:
        try:
            wrong += [f"{strange.name}: {fault}" for fault in run(song, strange, tmp_path, explained)]
        except Exception as error:
            wrong.append(f"{strange.name}: {error!r}")
    assert len(explained) > 50
    assert not wrong, "\n".join(wrong)


def test_more_words_than_can_be_told_apart_are_named(tmp_path: Path):
    song, words = write(tmp_path / "a.wav", make_noise(0.2, 8000, 1), 8000), tmp_path / "a.txt"
    words.write_text("la " * (MOST_COMPONENTS + 1))
    with pytest.raises(InputError, match=f"{MOST_COMPONENTS + 2} components are more"):
        explain(Late(), load_track(song, lyrics=words, separator="none"), segments=1)


@settings(deadline=None, max_examples=150)
@given(
    suffix=st.sampled_from([name[1:] for name in WHOLE]),
    parts=st.lists(
        st.sampled_from([*WHOLE.values(), "[", "]", "<", ">", "00:01.00", "-->", "\n", "{", "}", "la"]), max_size=8
    ),
    text=st.text(max_size=60),
)
def test_any_text_gets_an_answer(tmp_path_factory: pytest.TempPathFactory, suffix: str, parts: list[str], text: str):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_text("".join(parts) + text, encoding="utf-8", errors="surrogatepass")
    try:
        lyrics = read_lyrics(path)
    except InputError:
        return
    assert [lyrics.text[word.start : word.end] for word in lyrics.words] == [word.text for word in lyrics.words]
    assert all(
        lyrics.lines[word.line].start <= word.start < word.end <= lyrics.lines[word.line].end for word in lyrics.words
    )
