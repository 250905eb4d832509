import re
from dataclasses import replace

import pytest
import torch
from models import Additive, Late

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.sentences import say_percent
from musiclime_torch.song.track import Track
from musiclime_torch.views.terminal import to_text

#: A row of the table whose attribution is below zero.
NEGATIVE = re.compile(r" -\d.*█")


def test_what_cannot_be_told_from_zero_is_counted_not_ranked(track: Track):
    generator = torch.Generator().manual_seed(0)

    def fickle(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        return torch.randn(len(audio), 1, generator=generator) + torch.tensor([[2.0 * line.count("love")] for line in text])

    explanation = explain(fickle, track, sample_rate=8000, segments=4, n_samples=400)
    text = " ".join(to_text(explanation, None, 15, positive_only=False).split())
    assert "love (line 2, word 1)" in text
    assert "are not significant" in text
    assert text.count("drums") <= 2


@pytest.mark.parametrize("kind", ["logits", "multilabel", "probabilities"])
def test_percentages_stand_beside_logits(track: Track, kind: str):
    explanation = explain(Additive(), track, segments=2, n_samples=64, output_kind=kind, evidence=kind != "probabilities")
    text, row = " ".join(to_text(explanation, None, 3, positive_only=False).split()), explanation.target
    song, empty = explanation.output_song, explanation.output_empty
    if kind == "probabilities":
        assert f"probability {float(song[row]):.3g} on the song, {float(empty[row]):.3g} with" in text
        return
    chances = [say_percent(float((torch.sigmoid if kind == "multilabel" else softmax)(ends)[row])) for ends in (song, empty)]
    said = f"logit {float(song[row]):.3g} ({chances[0]}) on the song, {float(empty[row]):.3g} ({chances[1]}) with everything"
    assert said in text
    assert explanation.evidence is not None
    kept, chance = explanation.evidence.output_keeping, explanation.evidence.chance_keeping
    assert kept is not None
    assert chance is not None
    assert f"(logit {kept:.3g}, {say_percent(chance)})" in text


def softmax(outputs: torch.Tensor) -> torch.Tensor:
    return outputs.double().softmax(0)


def test_positive_only_leaves_the_rest_out(track: Track):
    explanation = explain(Additive(), track, segments=2, n_samples=100)
    assert NEGATIVE.search(to_text(explanation, "wild", 30, positive_only=False))
    assert not NEGATIVE.search(to_text(explanation, "wild", 30, positive_only=True))


def test_class_names_and_lyrics_are_not_markup(track: Track):
    class Odd(Additive):
        classes = ("[bold]calm", "wild", "sad")

    text = to_text(explain(Odd(), track, target="[bold]calm", n_samples=1), None, 5, positive_only=False)
    assert "[bold]calm: logit" in text
    assert "[bold]calm gets" in " ".join(text.split())


def test_where_sampling_makes_no_error_it_is_said(track: Track):
    exact = to_text(explain(Additive(), track, n_samples=100), None, 5, positive_only=False)
    assert "the only error is rounding" in " ".join(exact.split())
    sampled = to_text(explain(Late(), track, segments=4, n_samples=100), None, 5, positive_only=False)
    assert "sampling made no error" not in " ".join(sampled.split())


def test_one_pass_is_said_as_one(track: Track):
    found = replace(explain(Late(), track, segments=2, n_samples=64), audio_passes=1234, lyrics_passes=1)
    assert "from 1,234 audio passes, 1 lyrics pass (" in " ".join(to_text(found, None, 5, positive_only=False).split())
