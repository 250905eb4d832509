"""What a check asks is what the explanation asked: of the same model and song, with the same stand-ins, in numbers."""

from dataclasses import replace

import pytest
import torch
from counting import ALONE, SMALL, count_words
from models import Additive, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.faithfulness import check
from musiclime_torch.faithfulness.checking import _read as read_attributions  # past `check`'s annotations
from musiclime_torch.faithfulness.question import recall
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track

NAMES = tuple("abcdefghijklmn")


@pytest.fixture
def fourteen(track: Track) -> Track:
    return replace(track, lyrics=parse_lyrics(" ".join(NAMES)))


def test_a_model_that_gives_no_number_as_components_go_is_refused(fourteen: Track):
    """NaN where none of four words is left, but something else is: 32 masks may never show it."""

    def model(text: list[str]) -> torch.Tensor:
        lines = [line.split() for line in text]
        lost = [not set("abcd") & set(line) and bool(set(NAMES) & set(line)) for line in lines]
        return torch.tensor(
            [[float("nan") if gone else len(set(NAMES) & set(line)) / 3] for gone, line in zip(lost, lines, strict=True)]
        )

    for seed in range(20):
        try:
            options = {"design": "bernoulli", "n_samples": 32, "seed": seed}
            explanation = explain(model, fourteen, modalities=("lyrics",), output_kind="multilabel", **options)
        except InputError:
            continue
        with pytest.raises(InputError, match="returned nan for class"):
            check(model, fourteen, explanation, **ALONE)
        return
    pytest.fail("every draw of 32 masks shows it")


def other_song(track: Track, **changes: object) -> Track:
    return replace(track, stems=0.5 * track.stems.flip(-1), lyrics=None, **{"title": "other", **changes})


@pytest.mark.parametrize("title", ["noise", "silence", "other"])
def test_a_song_that_stood_in_is_asked_for_whatever_its_title(track: Track, title: str, tmp_path):
    model, other = Additive(), other_song(track, title=title)
    explain(model, track, baseline=other, **SMALL).save(tmp_path / "it.safetensors")
    explanation = Explanation.load(tmp_path / "it.safetensors")
    with pytest.raises(InputError, match=f"replaced by those of '{title}'"):
        recall(model, track, explanation, None, None)
    assert recall(model, track, explanation, other, None).settings.baseline is other


def test_a_song_that_did_not_stand_in_is_refused(track: Track):
    model, options = Additive(), {"segments": 2, "n_samples": 60}
    for baseline in ("silence", "noise"):
        explanation = explain(model, track, baseline=baseline, **options)
        with pytest.raises(InputError, match=f"replaced by {baseline}, not by the song 'other': leave baseline out"):
            check(model, track, explanation, baseline=other_song(track))
    explanation = explain(model, track, baseline=other_song(track, audio_hash="a"), **options)
    with pytest.raises(InputError, match="this is another song"):
        recall(model, track, explanation, other_song(track, audio_hash="b"), None)


def test_files_without_the_song_that_stood_in_go_by_its_title(track: Track):
    model, other = Additive(), other_song(track)
    for baseline, given in (("silence", None), ("noise", None), (other, other)):
        explanation = explain(model, track, baseline=baseline, segments=2, n_samples=60)
        old = {key: value for key, value in explanation.provenance.items() if key != "baseline_song"}
        recall(model, track, replace(explanation, provenance=old), given, None)


def test_another_model_song_or_text_with_the_same_components_is_refused(track: Track):
    model, track = Additive(), replace(track, audio_hash="a")
    explanation = explain(model, track, segments=2, n_samples=60)
    other = Additive()
    other.gain.data += 1
    text = replace(track.lyrics, text=track.lyrics.text + "!")
    for asked, song, what in (
        (other, track, "another model .*model_hash"),
        (model, replace(track, audio_hash="b"), "another song .*audio_hash a, not b"),
        (model, replace(track, lyrics=text), "other lyrics"),
    ):
        with pytest.raises(InputError, match=what):
            check(asked, song, explanation)
    recall(model, replace(track, audio_hash=""), explanation, None, None)  # made by hand: nothing is known of it


def test_what_a_model_does_not_take_may_be_another(track: Track):
    song = replace(track, audio_hash="a")
    explanation = explain(count_words, song, modalities=("lyrics",))
    recall(count_words, replace(song, audio_hash="b"), explanation, None, None)


class Counting(Late):
    """Tells how many rows each call of an encoder had."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[int]] = {"encode_audio": [], "encode_text": []}

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        self.rows["encode_audio"].append(len(audio))
        return super().encode_audio(audio)

    def encode_text(self, text: TokenBatch) -> torch.Tensor:
        self.rows["encode_text"].append(len(text.embeddings))
        return super().encode_text(text)


@pytest.mark.parametrize(
    ("more", "stacks"),
    [
        # Song and empty song, orders, flips, masks of fidelity.
        (ALONE, 4),
        # Three explanations more, each of song and empty song and of the masks of its side.
        ({"seeds": 2, "shuffled": (1.0,)}, 4 + 3 * 2),
    ],
)
def test_every_measure_asks_one_stack_of_masks_in_full_batches(track: Track, more: dict[str, object], stacks: int):
    size, model = 16, Counting()
    explanation = explain(model, track, segments=6, n_samples=(64, 64), batch_size=size)
    for calls in model.rows.values():
        calls.clear()
    found = check(model, track, explanation, **more)
    assert found.flips is not None
    for calls in model.rows.values():
        assert sum(calls) > 100
        assert max(calls) == size
        # Each stack may end in a batch that isn't full, and no call is anything else.
        assert sum(rows < size for rows in calls) <= stacks
        assert len(calls) <= sum(calls) / size + stacks


@pytest.mark.parametrize("given", [["a"] * 11, {}, [[1.0], [2.0, 3.0]], "loud"])
def test_attributions_that_are_no_numbers_are_told_so(given: object):
    with pytest.raises(InputError, match="can't be read as numbers: give 11"):
        read_attributions(given, 11)


def test_edits_and_takes_are_asked_about_again(track: Track, tmp_path):
    """From the record alone where no song is needed; noise of a single stem stays when the seed of the masks changes."""
    take = other_song(track, audio_hash="a")
    options = {"segments": 2, "n_samples": 60}
    for baseline, given in (("-12 dB", None), ("drums=noise, vocals=median", None), ({"drums": take}, {"drums": take})):
        explanation = explain(Late(), track, baseline=baseline, **options)
        explanation.save(tmp_path / "it.safetensors")
        question = recall(Late(), track, Explanation.load(tmp_path / "it.safetensors"), given, None)
        again = question.explain_again()
        torch.testing.assert_close(again.attributions, explanation.attributions, rtol=1e-4, atol=1e-5)
        if baseline == "drums=noise, vocals=median":
            other_seed = question.explain_again(seed=5)
            torch.testing.assert_close(other_seed.output_empty, explanation.output_empty, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="give that track as baseline"):
        recall(Late(), track, explanation, None, None)
    with pytest.raises(InputError, match="this is another song"):
        recall(Late(), track, explanation, {"drums": other_song(track, audio_hash="b")}, None)
