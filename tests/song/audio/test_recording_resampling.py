"""Resampling: exact lengths, any pair of rates, clean."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.song.audio.recording import resample


@given(
    frames=st.integers(1, 5000),
    old=st.integers(4000, 48000),
    new=st.integers(4000, 48000),
    shape=st.sampled_from([(), (1,), (2, 3)]),
)
@settings(max_examples=40, deadline=None)
def test_lengths(frames: int, old: int, new: int, shape: tuple[int, ...]):
    resampled = resample(torch.ones(*shape, frames), old, new)
    assert resampled.shape == (*shape, round(frames * new / old))
    assert resampled.dtype == torch.float32


def test_rows_are_resampled_alone_and_the_same_rate_changes_nothing():
    samples = torch.randn(2, 3, 4000, generator=torch.Generator().manual_seed(0))
    together = resample(samples, 44100, 16000)
    assert torch.equal(together[1, 2], resample(samples[1, 2], 44100, 16000))
    assert resample(samples, 8000, 8000) is samples


@pytest.mark.parametrize("rates", [(44100, 16000), (44101, 16000), (22050, 48000), (384_000, 44100)])
def test_tones_keep_their_place_and_height(rates: tuple[int, int]):
    old, new = rates

    def tone(rate: int) -> torch.Tensor:
        return torch.sin(2 * math.pi * 1000 * torch.arange(rate, dtype=torch.float64) / rate).float()

    error = resample(tone(old), old, new) - tone(new)
    assert error[1000:-1000].abs().max() < 1e-4


def test_nothing_is_folded_back_below_the_new_limit():
    tone = torch.sin(2 * math.pi * 8400 * torch.arange(44100, dtype=torch.float64) / 44100).float()
    assert resample(tone, 44100, 16000)[1000:-1000].abs().max() < 1e-5
