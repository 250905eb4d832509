"""BeatNet's features and network: shapes and laws with random weights, beats of known songs with the trained ones."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from clicks import make_clicks

from musiclime_torch.basics.errors import InputError
from musiclime_torch.demo.plan import plan_song
from musiclime_torch.demo.song import make_track
from musiclime_torch.models.beatnet import HOP, RATE, BeatNet, load_beatnet, make_bank
from musiclime_torch.song.beats import track_beats
from musiclime_torch.song.segments import place_segments

has_weights = pytest.mark.skipif(find_spec("BeatNet") is None, reason="needs BeatNet's weights")


def test_the_bank_has_triangles_of_sum_one_that_rise_in_pitch():
    bank = make_bank()
    assert bank.shape == (705, 136)  # as many as the trained weights have inputs for, with their rises
    torch.testing.assert_close(bank.sum(0), torch.ones(136))
    peaks = bank.argmax(0)
    assert (peaks.diff() > 0).all()
    assert (bank >= 0).all()


def test_a_step_is_centred_on_its_time_and_rises_are_of_one_step():
    network, sound = BeatNet().eval(), torch.zeros(RATE)
    sound[10 * HOP] = 1.0
    features = network.measure(sound)
    assert features.shape == (50, 272)
    loudest = features[:, :136].sum(1)
    assert int(loudest.argmax()) == 10
    torch.testing.assert_close(features[1:, 136:], (features[1:, :136] - features[:-1, :136]).clamp_min(0))
    with torch.inference_mode():
        chances = network(sound)
    assert chances.shape == (50, 2)
    assert (chances >= 0).all()
    assert (chances.sum(1) <= 1).all()


def test_what_was_heard_before_counts_and_nothing_after():
    network = BeatNet().eval()
    sound = torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, cut = network(sound), network(torch.cat([sound[: RATE // 2], torch.zeros(RATE // 2)]))
    torch.testing.assert_close(whole[:22], cut[:22])
    assert not torch.allclose(whole[30:], cut[30:])


@has_weights
@pytest.mark.parametrize("tempo", [70, 110, 150])
def test_beats_of_clicks_are_found_in_place(tempo: int):
    sound, times = make_clicks(tempo, 16, start=0.3 + tempo / 700)
    beats = track_beats(sound, RATE, load_beatnet())
    assert beats is not None
    assert beats.tempo == pytest.approx(tempo, rel=0.01)
    gaps = np.abs(np.array(beats.times)[:, None] - np.array(times))
    assert float(np.median(gaps.min(1))) < 0.01
    assert float(gaps.min(1).max()) < 0.03


@has_weights
def test_generated_songs_are_never_counted_double():
    """Onsets alone count four of these twelve songs double."""
    network, tempi = load_beatnet(), []
    for seed in range(12):
        song = make_track(plan_song(7_000_000 + seed, set()))
        beats = track_beats(song.stems.sum(0), song.sample_rate, network)
        assert beats is not None
        tempi.append(beats.tempo)
    assert all(90 < tempo < 130 for tempo in tempi)


@has_weights
def test_bars_are_asked_for_by_name():
    song = make_track(plan_song(7_000_000, set()))
    timeline = place_segments(song, "bars:beatnet")
    assert timeline.source == "bars:beatnet"
    assert "by BeatNet" in timeline.notes[0]


def test_what_it_cannot_do_is_one_sentence(track, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(InputError, match="beatnet finds beats: give beats, bars, 4bars or sections:beatnet"):
        place_segments(track, "lyrics:beatnet")
    monkeypatch.setattr("musiclime_torch.models.checkpoints.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'run pip install --no-deps "BeatNet==1.1.3"'):
        place_segments(track, "bars:beatnet")
    monkeypatch.setattr("musiclime_torch.models.beatnet.find_weights", lambda *names: tmp_path)
    with pytest.raises(InputError, match="can't be read as BeatNet's weights"):
        place_segments(track, "bars:beatnet")
