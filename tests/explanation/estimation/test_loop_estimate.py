"""Without anything to switch, and passes of models of one side."""

import torch
from models import RATE, Late

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track


def test_a_song_that_the_model_cannot_notice_has_its_two_ends_and_nothing_between(track: Track):
    silent = Track(torch.zeros(1, 1, 16000), ("all",), RATE)
    explanation = explain(lambda audio: audio.square().mean((1, 2))[:, None] + 2, silent, sample_rate=RATE, segments=2,
                          modalities=("audio",))  # fmt: skip
    assert explanation.design == "nothing to switch"
    assert list(explanation.unseen) == [0, 1]
    assert explanation.attributions.tolist() == [[0.0, 0.0]]
    assert explanation.degrees_of_freedom.isinf().all()
    assert explanation.output_song.tolist() == explanation.output_empty.tolist() == explanation.intercept.tolist() == [2.0]
    assert (explanation.n_variants, explanation.audio_passes, explanation.lyrics_passes) == (2, 2, 0)
    assert explanation.interactions is None


def test_passes_count_the_song_and_the_empty_song(track: Track):
    explanation = explain(Late(), track, segments=2, n_samples=100, design="foldover")
    assert explanation.audio_passes == explanation.lyrics_passes == explanation.n_variants + 2
