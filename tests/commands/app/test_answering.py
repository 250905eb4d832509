"""What the app refuses, what it answers, and what it needn't ask again."""

from dataclasses import replace
from pathlib import Path
from threading import active_count

import numpy as np
import pytest
import soundfile

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import State
from musiclime_torch.commands.app.answering import Limits, Memory, Question, Shelf, answer, check_question, read_song

LIMITS = Limits(megabytes=1.0, seconds=30.0)


TIMED = "[00:00.50]<00:00.50>love <00:00.80>me"


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf(("demo", "nowhere:model"), "cpu")


@pytest.fixture
def question(tmp_path: Path) -> Question:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=32000), 16000)
    return Question(str(tmp_path / "a.wav"), "love me\ndo", None, "demo", None, None, 256, separator="none")


def read(question: Question, limits: Limits = LIMITS):
    return read_song(question, limits, "cpu", Path(question.song or "a").parent / "own")


def ask(question: Question, shelf: Shelf, memory: Memory | None = None):
    """The explanations alone."""
    news = answer(question, shelf, LIMITS, Memory() if memory is None else memory, Path(question.song).parent)
    return [item[1] for item in news if not isinstance(item, State)]


@pytest.mark.parametrize(
    ("change", "limits", "said"),
    [
        ({"song": None}, LIMITS, "drop an audio file first"),
        ({}, Limits(0.05, 30), r"the song has 0\.1 MB, more than the 0\.05 that are allowed here"),
        ({}, Limits(1, 1.5), r"1\.5 s are allowed"),
        ({"lyrics": "la " * 400_000}, LIMITS, "1,200,000 characters: give the words of one song"),
    ],
)
def test_limits_are_sentences(question, change, limits, said):
    with pytest.raises(InputError, match=said):
        read(replace(question, **change), limits)


def test_a_lyrics_file_has_a_limit_too(question, tmp_path):
    (tmp_path / "a.txt").write_text("la " * 400_000)
    with pytest.raises(InputError, match=r"the lyrics file has 1\.2 MB"):
        read(replace(question, lyrics_file=str(tmp_path / "a.txt")))


def test_lyrics_come_from_the_file_else_the_text_with_its_times(question, tmp_path):
    assert [word.text for word in read(question).lyrics.words] == ["love", "me", "do"]
    assert [word.start_seconds for word in read(replace(question, lyrics=TIMED)).lyrics.words] == [0.5, 0.8]
    (tmp_path / "a.txt").write_text("goodbye")
    assert read(replace(question, lyrics_file=str(tmp_path / "a.txt"))).lyrics.text == "goodbye"
    assert read(replace(question, lyrics=" \n")).lyrics is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_samples": 10**9}, "1000000000 masks can't be chosen here"),
        ({"model": "os:system"}, "'os:system' is not offered here: choose one of demo"),
        ({"model": "nowhere:model"}, "can't be made"),
        ({"segments": "/etc/passwd.txt"}, "segments '/etc/passwd.txt' are not understood"),
        ({"segments": "bars:/etc/labels.txt"}, "are not understood"),
        ({"segments": "0"}, "0 segments can't cover a song"),
        ({"separator": "demucs:/root"}, "'demucs:/root' aren't offered here"),
        ({"separator": "bands:x"}, "aren't offered here"),
        ({"start": 5.0, "end": 2.0}, "the part from 5 s to 2 s is empty"),
        ({"target": 99}, "no class 99"),
        ({"target": 3, "foil": 3}, "'love song' can't be contrasted with itself"),
    ],
)
def test_only_what_is_offered_is_answered_before_a_song_is_read(question, shelf, change, said):
    with pytest.raises(InputError, match=said):
        next(answer(replace(question, song="nowhere.wav", **change), shelf, LIMITS, Memory(), Path()))


def test_whoever_serves_may_pick_a_folder(question, shelf):
    check_question(replace(question, separator="demucs:mine"), shelf, replace(LIMITS, separator="demucs:mine"))


def test_answers_sharpen_and_end_with_the_evidence(question, shelf):
    steps = ask(replace(question, n_samples=512, target=3), shelf)
    assert len(steps) == 2
    assert steps[-1].classes[steps[-1].target] == "love song"
    assert [one.evidence is None for one in steps] == [True, False]


def test_where_the_work_is_comes_before_the_answers(question, shelf):
    news = list(answer(question, shelf, LIMITS, Memory(), Path(question.song).parent))
    names = [item.name for item in news if isinstance(item, State)]
    assert "reading a.wav" in names
    assert isinstance(news[0], State)


def test_another_question_about_the_song_asks_the_model_nothing(question, shelf):
    memory = Memory()
    first = ask(question, shelf, memory)
    other = ask(replace(question, target=2, foil=3), shelf, memory)
    assert first[-1].audio_passes > 0
    assert other[-1].audio_passes == other[-1].lyrics_passes == 0
    assert other[-1].classes[-1].startswith(f"{shelf.list_classes('demo')[2]} rather than")
    track = memory.track
    # Other segments are other renderings of the same track; another part is another song.
    assert ask(replace(question, segments="2"), shelf, memory)[-1].audio_passes > 0
    assert memory.track is track
    part = ask(replace(question, start=0.5, end=1.5, segments="2"), shelf, memory)[-1]
    assert part.audio_passes > 0
    assert part.components[0].start == 0.5
    assert len(memory.answers) == 1


def test_a_song_with_its_own_stems(question, shelf, tmp_path):
    sound, rate = soundfile.read(question.song)
    for number, name in enumerate(("voice", "rest")):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / f"{name}.wav", sound * (0.25 + 0.5 * number), rate, "FLOAT")
    stems = tuple(str(tmp_path / name / f"{name}.wav") for name in ("voice", "rest"))
    track = read(replace(question, stems=stems))
    assert set(track.stem_names) == {"voice", "rest"}


def test_a_question_that_is_left_stops_its_work(question, shelf):
    before = active_count()
    news = answer(replace(question, n_samples=4096), shelf, LIMITS, Memory(), Path(question.song).parent)
    next(news)
    news.close()
    assert active_count() == before


def test_what_a_model_raises_comes_here(question, shelf):
    with pytest.raises(InputError, match="isn't audio"):
        ask(replace(question, song=__file__), shelf)
