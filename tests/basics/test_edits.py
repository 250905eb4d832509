"""Edits and other words as people write them: read loosely, written in one form, refused in one sentence."""

import pytest
from hypothesis import given, strategies as st

from musiclime_torch.basics.edits import (
    Edit,
    find_edit,
    read_edit,
    read_lyrics_baseline,
    read_words,
    refuse_deaf_edit,
    split_stems,
)
from musiclime_torch.basics.errors import InputError


@pytest.mark.parametrize(
    ("written", "edit", "done"),
    [
        ("-12 dB", "-12 dB", "12 dB lower"),
        ("−12dB", "-12 dB", "12 dB lower"),
        ("6 db", "+6 dB", "6 dB louder"),
        ("lowpass 1 kHz", "low-pass 1000 Hz", "low-passed at 1000 Hz"),
        ("Low Pass 800", "low-pass 800 Hz", "low-passed at 800 Hz"),
        ("hp 1.5k", "high-pass 1500 Hz", "high-passed at 1500 Hz"),
        ("3 semitones", "+3 semitones", "3 semitones higher"),
        ("-1st", "-1 semitone", "1 semitone lower"),
        ("+0.5 semitones", "+0.5 semitones", "0.5 semitones higher"),
        ("median", "median 0.3 s", "smoothed by medians over 0.3 s"),
        ("medians 500 ms", "median 0.5 s", "smoothed by medians over 0.5 s"),
        (" Silence ", "silence", "removed"),
        ("NOISE", "noise", "replaced by noise"),
    ],
)
def test_edits_are_read_loosely_and_written_in_one_form(written: str, edit: str, done: str):
    assert str(read_edit(written)) == edit
    assert read_edit(written).done == done
    assert read_edit(edit) == read_edit(written)


@given(
    st.sampled_from(["gain", "pitch", "low-pass", "high-pass", "median"]),
    st.floats(0.02, 20).map(lambda amount: float(f"{amount:.4g}")),
)
def test_the_one_form_is_read_back(kind: str, amount: float):
    edit = Edit(kind, amount if kind.endswith("pass") is False else amount * 100)
    edit = Edit(kind, float(f"{edit.amount:.4g}"))
    assert find_edit(str(edit)) == edit


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0 dB", "baseline '0 dB' changes nothing: give another gain, such as -12 dB."),
        ("0 semitones", "changes nothing: give another shift, such as +3 semitones."),
        ("nan dB", "the gain must be between -120 and 40 dB, got nan."),
        ("inf dB", "got inf."),
        ("low-pass 0 Hz", "the cutoff must be positive, in Hz, got 0."),
        ("high-pass nan", "the cutoff must be positive"),
        ("+30 semitones", "the shift must be between -24 and 24 semitones, got 30."),
        ("median 0 s", "the length must be between 0.02 and 60 s, got 0."),
        ("nosie", "baseline 'nosie' is not known (did you mean 'noise'?): use silence, noise, median, a gain (-12 dB)"),
        ("12", "baseline '12' is not known"),
        ("", "baseline '' is not known"),
    ],
)
def test_a_wrong_edit_is_one_sentence(written: str, said: str):
    with pytest.raises(InputError) as caught:
        read_edit(written)
    assert said in str(caught.value)
    assert caught.value.argument == "baseline"


def test_a_filter_beyond_what_the_model_takes_is_refused():
    refuse_deaf_edit(read_edit("low-pass 7999 Hz"), 16000)
    with pytest.raises(InputError, match=r"'low-pass 8000 Hz' changes nothing: the model takes sound up to 8000 Hz"):
        refuse_deaf_edit(read_edit("low-pass 8 kHz"), 16000)
    with pytest.raises(InputError, match="leaves nothing"):
        refuse_deaf_edit(read_edit("high-pass 9 kHz"), 16000)


@pytest.mark.parametrize("text", ["vocals=", "=noise", "vocals=noise,", "vocals=noise,drums", "a=noise,a=-3 dB"])
def test_parts_that_are_no_stem_with_an_edit_are_refused(text: str):
    with pytest.raises(InputError, match="write vocals=-12 dB,drums=noise"):
        split_stems(text)


def test_other_words():
    assert read_lyrics_baseline({"sad": "happy", "night": "bright day"}) == "sad=happy, night=bright day"
    assert read_words("sad=happy, night=bright day") == {"sad": "happy", "night": "bright day"}
    assert read_lyrics_baseline("guess:roberta-base") == "guess:roberta-base"
    assert read_lyrics_baseline("gone") == "gone"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("sad=", "replaces 'sad' by nothing: give both (sad=happy), or gone to take words away."),
        ({"sad": " "}, "replaces 'sad' by nothing"),
        ("=happy", "puts 'happy' in the place of no word"),
        ({"sad": "Sad"}, "replaces 'sad' by itself"),
        ("sad=happy,SAD=glad", "replaces 'SAD' twice"),
        ({"sad": "so, so"}, "can't replace 'sad' by 'so, so'"),
        ({"sad": 3}, "can't replace 'sad' by 3"),
        ("guess:", "'guess:' names no model"),
        ("words", "lyrics baseline 'words' is not known"),
    ],
)
def test_wrong_words_are_one_sentence(asked: object, said: str):
    with pytest.raises(InputError) as caught:
        read_lyrics_baseline(asked)
    assert said in str(caught.value)
