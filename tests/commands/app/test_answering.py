"""What the app refuses, and what it answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.app.answering import Limits, Question, Shelf, answer, describe_step, read_song

LIMITS = Limits(megabytes=1.0, seconds=30.0)


TIMED = "[00:00.50]<00:00.50>love <00:00.80>me"


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf(("demo", "nowhere:model"), "cpu")


@pytest.fixture
def question(tmp_path: Path) -> Question:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=32000), 16000)
    return Question(str(tmp_path / "a.wav"), "love me\ndo", None, "demo", None, 256)


def read(question: Question, limits: Limits = LIMITS):
    return read_song(question, limits, "none", "cpu")


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
    ],
)
def test_only_what_is_offered_is_answered(question, shelf, change, said):
    with pytest.raises(InputError, match=said):
        next(answer(replace(question, **change), read(question), shelf))


def test_answers_sharpen_and_end_with_the_evidence(question, shelf):
    steps = list(answer(replace(question, n_samples=512, target=3), read(question), shelf))
    assert len(steps) == 2
    assert steps[-1].classes[steps[-1].target] == "love song"
    assert [one.evidence is None for one in steps] == [True, False]
    assert f"{steps[-1].n_variants:,} variants" in describe_step(steps[-1], 2, last=True)
