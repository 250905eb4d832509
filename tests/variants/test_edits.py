"""What edits do to a sound, against what they say: levels, tones, clicks; nothing moves, and silence stays silence."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.basics.edits import read_edit
from musiclime_torch.variants.edits import edit_stem, find_medians

RATE = 8000

EDITS = ("-12 dB", "low-pass 500 Hz", "high-pass 500 Hz", "+3 semitones", "-5 semitones", "median", "median 2 s")


def make_tone(frequency: float, seconds: float = 1.0) -> torch.Tensor:
    time = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    return torch.sin(2 * torch.pi * frequency * time).float()[None]


def edit(sound: torch.Tensor, text: str, **more: object) -> torch.Tensor:
    return edit_stem(sound, RATE, read_edit(text), **more)


def level(sound: torch.Tensor) -> float:
    """dB of the middle, away from where a tone begins and ends."""
    return 10 * math.log10(max(float(sound[..., 2000:-2000].square().mean()), 1e-30))


def find_frequency(sound: torch.Tensor) -> float:
    middle = sound[0, 1000:-1000] * torch.hann_window(sound.shape[-1] - 2000)
    return float(torch.fft.rfft(middle, n=8 * RATE).abs().argmax()) / 8


@settings(max_examples=20)
@given(frames=st.integers(1, 6000), text=st.sampled_from(EDITS), channels=st.integers(1, 2))
def test_length_and_silence_stay(frames: int, text: str, channels: int):
    sound = torch.randn(channels, frames, generator=torch.Generator().manual_seed(frames))
    edited = edit(sound, text)
    assert edited.shape == sound.shape
    assert edited.dtype == torch.float32
    assert edited.isfinite().all()
    assert not edit(torch.zeros(channels, frames), text).any()


def test_gains_are_exact():
    sound = make_tone(440)
    torch.testing.assert_close(edit(sound, "-20 dB"), 0.1 * sound)
    assert not edit(sound, "silence").any()


@pytest.mark.parametrize(("text", "passes", "stops"), [("low-pass 1000 Hz", 700, 1300), ("high-pass 1000 Hz", 1300, 700)])
def test_filters_keep_one_side_of_the_cutoff(text: str, passes: float, stops: float):
    kept = make_tone(passes)
    assert level(edit(kept, text) - kept) < -60
    assert level(edit(make_tone(stops), text)) < -60
    # Both add up to the sound.
    other = text.replace("low", "LOW").replace("high", "low").replace("LOW", "high")
    torch.testing.assert_close(edit(kept, text) + edit(kept, other), kept, rtol=0, atol=1e-6)


@pytest.mark.parametrize("semitones", [-12, -5, -1, 0.5, 3, 7, 12])
def test_pitch_is_shifted_by_as_much_as_is_said(semitones: float):
    shifted = edit(make_tone(440), f"{semitones:+g} semitones")
    # The spectrum is looked at in steps of an eighth of a Hz.
    assert find_frequency(shifted) == pytest.approx(440 * 2 ** (semitones / 12), abs=0.2)
    assert level(shifted) == pytest.approx(level(make_tone(440)), abs=1)


@pytest.mark.parametrize("text", ["low-pass 500 Hz", "high-pass 500 Hz", "+3 semitones", "-3 semitones"])
def test_nothing_is_moved_in_time(text: str):
    """The middle of a burst's energy stays where it is, to 10 ms of its 50."""
    burst = torch.zeros(1, 2 * RATE)
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0)) * torch.hann_window(400)
    burst[0, 6000:6400] = noise
    power = edit(burst, text)[0].square()
    middle = float((power * torch.arange(2 * RATE)).sum() / power.sum())
    assert middle == pytest.approx(float((noise.square() * torch.arange(6000, 6400)).sum() / noise.square().sum()), abs=80)


def test_medians_keep_what_stays_and_lose_what_changes():
    tone, click = make_tone(440, 2), torch.zeros(1, 2 * RATE)
    click[0, 7990:8010] = 3.0
    smooth = edit(tone + click, "median")
    assert level(smooth) == pytest.approx(level(tone), abs=0.2)
    assert float(smooth[0, 7900:8100].abs().max()) < 1.2
    # Longer than twice the gap, the median is that of what lies around it.
    gap = tone.clone()
    gap[0, 7000:9000] = 0.001 * torch.randn(2000, generator=torch.Generator().manual_seed(0))
    assert 10 * math.log10(float(edit(gap, "median 1 s")[0, 7800:8200].square().mean())) > -10
    assert 10 * math.log10(float(edit(gap, "median 0.1 s")[0, 7800:8200].square().mean())) < -40


def test_medians_in_the_frames_of_the_model():
    """With the window and hop of the model's own spectra, what it sees are the medians, but for overlapping windows."""
    sound = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    smooth = edit(sound, "median 0.2 s", grid=(512, 128))

    def look(audio: torch.Tensor) -> torch.Tensor:
        return torch.stft(audio, 512, 128, window=torch.hann_window(512), pad_mode="constant", return_complex=True).abs()

    wanted = find_medians(look(sound), round(0.2 * RATE / 128 / 2))
    error = (look(smooth) - wanted).square().mean() / wanted.square().mean()
    other = (look(edit(sound, "median 0.2 s", grid=(200, 100))) - wanted).square().mean() / wanted.square().mean()
    assert error < 0.8 * other


@given(reach=st.integers(1, 20), places=st.integers(1, 60))
def test_medians_are_those_of_a_slow_search(reach: int, places: int):
    magnitude = torch.rand(1, 2, places, generator=torch.Generator().manual_seed(places))
    found = find_medians(magnitude, reach)
    apart = math.ceil(reach / 16)
    steps = [apart * step for step in range(-(reach // apart), reach // apart + 1)]
    for place in range(places):
        around = [magnitude[..., min(max(place + step, 0), places - 1)] for step in steps]
        assert torch.equal(found[..., place], torch.stack(around).median(0).values)


@pytest.mark.parametrize("text", ["low-pass 500 Hz", "+3 semitones", "median"])
def test_silence_after_a_sound_stays_silence_to_the_last_bit(text: str):
    edited = edit(torch.cat([make_tone(440), torch.zeros(1, RATE)], 1), text)
    assert not edited[:, -RATE // 2 :].any()
