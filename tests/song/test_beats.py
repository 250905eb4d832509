"""Beats of click tracks whose tempo is known, bars, and sections that were planted."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from clicks import make_clicks

from musiclime_torch.song.beats import Beats, Limits, find_changes, group_beats, track_beats

RATE = 22050


def find_misses(found: tuple[float, ...], true: list[float]) -> tuple[float, float]:
    """How far the worst beat that was found is from a true one, and the other way round, in seconds."""
    gaps = np.abs(np.array(found)[:, None] - np.array(true))
    return float(gaps.min(1).max()), float(gaps.min(0).max())


@pytest.mark.parametrize("tempo", range(60, 181, 10))
@pytest.mark.parametrize("noise", [0.003, 0.05])
def test_beats_of_clicks_are_found_within_10_ms(tempo: int, noise: float):
    sound, times = make_clicks(tempo, 16, noise=noise, start=0.3 + tempo / 700, seed=tempo)
    beats = track_beats(sound, RATE)
    assert beats is not None
    # The 30 ms that are asked for, and no lead or lag of its own.
    assert max(find_misses(beats.times, times)) < 0.01
    assert beats.tempo == pytest.approx(tempo, rel=0.005)
    assert max(find_misses(beats.bars, times[::4])) < 0.03


@pytest.mark.parametrize("pickup", range(4))
def test_bars_begin_with_the_strong_beats(pickup: int):
    sound, times = make_clicks(110, 14, pickup=pickup)
    beats = track_beats(sound, RATE)
    assert beats is not None
    assert max(find_misses(beats.bars, times[pickup::4])) < 0.01


def test_beats_are_the_same_at_any_rate_and_in_any_channels():
    sound, times = make_clicks(117, 12, rate=16000)
    beats = track_beats(torch.cat([sound, 0.5 * sound]), 16000)
    assert beats is not None
    assert max(find_misses(beats.times, times)) < 0.03


def test_silence_tones_and_noise_have_no_beat():
    assert track_beats(torch.zeros(1, 10 * RATE), RATE) is None
    assert track_beats(torch.sin(torch.arange(10 * RATE) * 0.1)[None], RATE) is None
    for seed in range(6):
        noise = torch.randn(1, (4 + seed) * RATE, generator=torch.Generator().manual_seed(seed))
        assert track_beats(noise, RATE) is None
    assert track_beats(make_clicks(120, 2)[0], RATE) is None, "two seconds are too short"


def test_sections_change_where_the_music_does():
    tempo = 120
    sound, _ = make_clicks(tempo, 65, start=0.1)
    beats = track_beats(sound, RATE)
    assert beats is not None
    assert find_changes(sound, RATE, beats.bars, 9) == []
    times = torch.arange(sound.shape[-1]) / RATE
    for bar, pitch in ((8, 220.0), (16, 330.0), (24, 550.0)):
        inside = (times >= 0.1 + 2 * bar) & (times < 0.1 + 2 * (bar + 8))
        sound = sound + 0.2 * inside * torch.sin(2 * torch.pi * pitch * times)
    assert find_changes(sound, RATE, beats.bars, 9) == [8, 16, 24]
    assert len(find_changes(sound, RATE, beats.bars, 2)) == 2


def make_beats(count: int, phase: int = 0) -> Beats:
    return Beats(tuple(0.5 * number for number in range(count)), 120.0, phase)


def test_bars_are_grouped_until_there_are_few_enough():
    groups = group_beats(make_beats(40), "bars", Limits(), 20.0)
    assert groups.names == tuple(f"bar {number}" for number in range(1, 11))
    assert groups.edges == tuple(2.0 * number for number in range(11))
    assert groups.notes == ()
    # Where the last bar ends, a beat is no bar.
    assert group_beats(make_beats(41), "bars", Limits(), 20.5).names[-1] == "bar 10"
    groups = group_beats(make_beats(480), "bars", Limits(), 240.0)
    assert groups.names[:2] == ("bar 1-16", "bar 17-32")
    assert len(groups.names) <= 10
    assert "groups of 16 bars were made" in groups.notes[0]
    assert group_beats(make_beats(40), "4bars", Limits(), 20.0).names == ("bar 1-4", "bar 5-8", "bar 9-10")


def test_beats_are_named_by_their_bar():
    assert group_beats(make_beats(8), "beats", Limits(), 4.0).names[3:5] == ("bar 1 beat 4", "bar 2 beat 1")
    groups = group_beats(make_beats(16), "beats", Limits(), 8.0)
    assert groups.names[:3] == ("bar 1 beats 1-2", "bar 1 beats 3-4", "bar 2 beats 1-2")
    assert "groups of 2 beats" in groups.notes[0]


def test_no_group_is_shorter_than_the_limit():
    # Seventeen bars: the seventeenth alone would be short.
    groups = group_beats(make_beats(68), "bars", Limits(10, 3.0), 34.0)
    assert groups.names[-1] == "bar 15-17"
    assert min(np.diff(groups.edges)) >= 3.0


def test_a_long_beginning_is_a_segment_without_a_name():
    late = Beats(tuple(5 + 0.5 * number for number in range(16)), 120.0, 1)
    groups = group_beats(late, "bars", Limits(), 13.0)
    assert (groups.names[:2], groups.edges[:2]) == (("", "bar 1"), (0.0, 5.5))


def test_explaining_needs_no_torchaudio():
    """It loads libraries of the one torch it was built for; a song is explained without it unless beats are asked for."""
    script = "import sys; sys.modules['torchaudio'] = None; import musiclime_torch; musiclime_torch.explain"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
