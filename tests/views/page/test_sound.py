"""Loudness is that of ITU-R BS.1770's own test signals; outlines keep every peak."""

import io
import math
import re
import sys
import types

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, strategies as st
from soundfiles import find_lag

from musiclime_torch.views.page.sound import (
    CEILING,
    _check,
    _pass_high,
    _shelve,
    _weigh,
    draw_outline,
    encode_mp3,
    encode_sound,
    match_loudness,
    measure_loudness,
    measure_peaks,
)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_loudness_is_that_of_the_standards_own_signals(rate):
    """EBU Tech 3341: stereo 1 kHz at -23 dBFS is -23 LUFS, and quiet parts around it don't count (cases 1, 2, 3)."""
    time = torch.arange(20 * rate) / rate
    tone = (2 * math.pi * 1000 * time).sin().repeat(2, 1)
    assert measure_loudness(10 ** (-23 / 20) * tone, rate) == pytest.approx(-23, abs=0.1)
    assert measure_loudness(10 ** (-33 / 20) * tone, rate) == pytest.approx(-33, abs=0.1)
    quiet, loud = 10 ** (-36 / 20) * tone[:, : 10 * rate], 10 ** (-23 / 20) * tone.repeat(1, 3)
    assert measure_loudness(torch.cat([quiet, loud, quiet], 1), rate) == pytest.approx(-23, abs=0.1)
    assert measure_loudness(torch.zeros(2, rate), rate) is None


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_matched_sounds_are_equally_loud_after_encoding_and_none_clips(rate):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 3 * rate, generator=generator)
    since = torch.arange(3 * rate) % (rate // 2) / rate
    hits = 0.9 * (2 * math.pi * 300 * since).sin().repeat(2, 1) * (-since / 0.02).exp()
    part = torch.where(torch.arange(3 * rate) < rate, 0.02 * noise, 0.0)
    sounds = [0.1 * noise, hits, part, torch.zeros(2, 3 * rate)]
    gains = match_loudness(sounds, rate)
    exact = [measure_loudness(sound * 10 ** (gain / 20), rate) for sound, gain in zip(sounds[:3], gains, strict=False)]
    assert max(exact) - min(exact) < 0.01
    levels = []
    for sound, gain in zip(sounds, gains, strict=True):
        assert float((sound * 10 ** (gain / 20)).abs().max()) <= 10 ** (CEILING / 20) + 1e-6
        _, data = encode_sound(sound, rate, gain)
        heard, at = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        assert np.abs(heard).max() < 1
        levels.append(measure_loudness(torch.from_numpy(np.ascontiguousarray(heard.T)), at))
    assert levels.pop() is None
    assert gains[3] == 0
    assert max(levels) - min(levels) < 0.5
    assert max(abs(gain) for gain in gains[:3]) > 3, "there was something to match"


@given(frames=st.integers(1, 60), steps=st.integers(1, 20))
def test_peaks_are_the_largest_of_each_stretch_and_none_is_lost(frames, steps):
    sound = torch.randn(2, frames, generator=torch.Generator().manual_seed(frames))
    peaks = measure_peaks(sound, steps)
    assert len(peaks) == min(frames, steps)
    assert float(peaks.max()) == float(sound.abs().max())
    assert (peaks > 0).all()
    if frames % steps == 0:
        assert torch.equal(peaks, sound.abs().amax(0).reshape(steps, -1).amax(1))
    numbers = [float(number) for number in re.findall(r"[\d.]+", draw_outline(peaks, float(peaks.max()), mirrored=True))]
    assert min(numbers) >= 0
    assert max(numbers[1::2]) <= 100
    assert max(numbers[::2]) == 1000


def test_vorbis_is_written_in_pieces(monkeypatch: pytest.MonkeyPatch):
    """A call with minutes of sound overflows the stack of libsndfile's encoder, and the process is gone."""
    monkeypatch.setitem(sys.modules, "lameenc", None)
    write, lengths = soundfile.SoundFile.write, []

    def note(self: soundfile.SoundFile, samples: np.ndarray) -> None:
        lengths.append(len(samples))
        write(self, samples)

    monkeypatch.setattr(soundfile.SoundFile, "write", note)
    sound = 0.1 * torch.randn(2, 16000 * 3 + 77, generator=torch.Generator().manual_seed(0))
    ending, data = encode_sound(sound, 16000, 0.0)
    assert (ending, max(lengths), sum(lengths)) == ("ogg", 16000, sound.shape[1])
    back, rate = soundfile.read(io.BytesIO(data))
    assert (rate, back.shape) == (16000, (sound.shape[1], 2))


def test_minutes_of_sound_are_encoded_whole_without_mp3(monkeypatch: pytest.MonkeyPatch):
    """Given at once, a minute overflows the stack of libsndfile's Vorbis, and ends the process."""
    monkeypatch.setitem(sys.modules, "lameenc", None)
    sound = torch.zeros(2, 44_100 * 60)
    ending, data = encode_sound(sound, 44_100, 0.0)
    assert ending == "ogg"
    assert soundfile.info(io.BytesIO(data)).frames == sound.shape[1]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
def test_an_mp3_is_as_long_as_its_sound_and_begins_with_it(rate, channels):
    """What the first frame says of padding is taken off by players: else lyrics light up too early."""
    sound = 0.1 * torch.randn(channels, rate + 77, generator=torch.Generator().manual_seed(0))
    ending, data = encode_sound(sound, rate, 0.0)
    heard, at = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert (ending, at, heard.shape) == ("mp3", rate, (sound.shape[1], channels))
    assert find_lag(heard[:, 0], sound[0].numpy()) == 0


def test_the_first_frame_of_an_mp3_is_what_libsndfile_writes():
    """Layout and check sum, but for what depends on the encoder's version: its quality and its low pass."""
    sound = 0.1 * torch.randn(1, 48_000, generator=torch.Generator().manual_seed(0))
    ours, buffer = encode_mp3(sound, 16_000, 1.0), io.BytesIO()
    more = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
    with soundfile.SoundFile(buffer, "w", 16_000, 1, format="MP3", **more) as file:
        file.write(sound[0].numpy())
    theirs = buffer.getvalue()
    first = ours.index(b"Info")
    assert theirs.index(b"Info") == first
    assert ours[first : first + 16] == theirs[first : first + 16], "numbers of frames and bytes"
    seeks = zip(ours[first + 16 : first + 116], theirs[first + 16 : first + 116], strict=True)
    assert max(abs(own - other) for own, other in seeks) <= 3, "256ths of the file"
    assert ours[first + 140 : first + 144] == theirs[first + 140 : first + 144], "rate, delay and padding"
    assert ours[first + 148 : first + 152] == theirs[first + 148 : first + 152], "bytes"
    assert _check(theirs[: first + 154]) == int.from_bytes(theirs[first + 154 : first + 156], "big")
    assert _check(ours[: first + 154]) == int.from_bytes(ours[first + 154 : first + 156], "big")


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_weighting_by_blocks_is_the_standards_recursion(rate):
    from scipy.signal import sosfilt

    sound = torch.randn(2, 5 * rate + 11, generator=torch.Generator().manual_seed(0)) + 0.3
    sections = [
        _shelve(rate, 1681.974450955533, 3.999843853973347, 0.7071752369554196),
        _pass_high(rate, 38.13547087602444, 0.5003270373238773),
    ]
    assert np.allclose(_weigh(sound, rate), sosfilt(sections, sound.double().numpy(), axis=-1), atol=1e-5)
    assert _weigh(sound[:, :3], rate).shape == (2, 3)


def test_sounds_may_be_encoded_while_another_thread_still_imports_lame(monkeypatch: pytest.MonkeyPatch):
    """Then it is among the modules, but not described yet."""
    import lameenc

    unfinished = types.ModuleType("lameenc")
    unfinished.Encoder = lameenc.Encoder
    monkeypatch.setitem(sys.modules, "lameenc", unfinished)
    assert unfinished.__spec__ is None
    assert encode_sound(torch.zeros(1, 8000), 16_000, 0.0)[0] == "mp3"
