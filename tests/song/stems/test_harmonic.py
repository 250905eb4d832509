"""Harmonic and percussive parts against a plain implementation, and their laws."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter

from musiclime_torch.song.stems import harmonic
from musiclime_torch.song.stems.harmonic import split_harmonic

RATE = 8000


def split_plainly(sound: torch.Tensor, size: int) -> torch.Tensor:
    """The harmonic part by torch.stft of the whole song and scipy's median filters (Fitzgerald 2010)."""
    hop, window = size // 4, torch.hann_window(size)
    around = torch.nn.functional.pad(sound, (size, size))
    spectrum = torch.stft(around, size, hop, window=window, center=False, return_complex=True)
    magnitude = spectrum.abs().numpy()
    tones = median_filter(magnitude, (1, 17), mode="constant") ** 2
    hits = median_filter(magnitude, (17, 1), mode="mirror") ** 2
    mask = torch.from_numpy(np.divide(tones, tones + hits, out=np.full_like(tones, 0.5), where=tones + hits > 0))
    total = torch.zeros_like(around)
    for number, frame in enumerate(torch.fft.irfft((spectrum * mask).T, n=size)):
        total[number * hop : number * hop + size] += frame * window / 1.5
    return total[size:-size]


def make_song(seconds: float = 3.0, channels: int = 2) -> torch.Tensor:
    time = torch.arange(round(seconds * RATE)) / RATE
    song = 0.3 * torch.sin(2 * math.pi * 440 * time) + 0.01 * torch.randn(
        channels, len(time), generator=torch.Generator().manual_seed(0)
    )
    song[:, ::2000] += 0.8
    return song


def test_equal_to_the_plain_implementation():
    # A whole number of hops, so that both grids of frames end alike.
    song = make_song()[:, : 256 * 90]
    stems, _ = split_harmonic(song, RATE, "cpu")
    for channel, sound in enumerate(song):
        torch.testing.assert_close(stems[0, channel], split_plainly(sound, 1024), rtol=0, atol=1e-5)


@pytest.mark.parametrize("block", [1, 1 << 13, 1 << 15])
def test_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch, block: int):
    song = make_song(1.5)
    expected, _ = split_harmonic(song, RATE, "cpu")
    monkeypatch.setattr(harmonic, "_BLOCK", block)
    monkeypatch.setattr(harmonic, "_TILE", block)
    found, _ = split_harmonic(song, RATE, "cpu")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 7, 400, 5001])
@pytest.mark.parametrize("rate", [4000, 44100, 384_000])
def test_any_length_and_rate_sums_to_the_song(frames: int, rate: int):
    song = torch.randn(1, frames, generator=torch.Generator().manual_seed(1))
    stems, names = split_harmonic(song, rate, "cpu")
    assert names == ("harmonic", "percussive")
    torch.testing.assert_close(stems.sum(0), song, rtol=0, atol=1e-6)


def test_tones_and_hits_part():
    time = torch.arange(3 * 44100) / 44100
    tones = (0.3 * torch.sin(2 * math.pi * 440 * time))[None]
    hits = torch.zeros_like(tones)
    hits[:, 2000::11025] = 0.9
    (harmonic_part, percussive_part), _ = split_harmonic(tones + hits, 44100, "cpu")
    assert (harmonic_part - tones).square().mean() < 0.05 * tones.square().mean()
    assert (percussive_part - hits)[:, 4096:-4096].square().mean() < 0.3 * hits.square().mean()


def test_silence_stays_silent():
    stems, _ = split_harmonic(torch.zeros(2, 9000), RATE, "cpu")
    assert stems.abs().max() == 0


def test_medians():
    values = torch.randn(40, 30, generator=torch.Generator().manual_seed(2))
    for dim in (0, 1):
        expected = values.unfold(dim, 17, 1).median(-1).values
        assert torch.equal(harmonic._take_median(values, dim), expected)
