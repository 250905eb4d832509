"""Separators by name: stems sum to the song, and what can't be separated is refused."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from soundfiles import make_noise

from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.audio.recording import Recording
from musiclime_torch.song.stems import weights
from musiclime_torch.song.stems.separation import complete, separate


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A machine that has never fetched demucs, whatever this one has."""
    folder = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))


def record(channels: int = 2, frames: int = 6000) -> Recording:
    return Recording(torch.from_numpy(make_noise(frames / 8000, 8000, channels)), 8000)


@pytest.mark.parametrize("separator", [None, "hpss", "midside", "none"])
def test_stems_sum_to_the_song(separator: str | None):
    song = record()
    stems, names, _ = separate(song, separator, "cpu", None)
    assert (stems.sum(0) - song.samples).abs().max() < 1e-6
    assert len(names) == len(stems)
    assert "residual" not in names


def test_the_note_says_what_was_used_and_why():
    song = record()
    assert separate(song, None, "cpu", None)[1:] == (
        ("harmonic", "percussive"),
        "hpss (harmonic and percussive), as the weights of demucs aren't on this machine; "
        "separator demucs fetches them once",
    )
    assert separate(song, "none", "cpu", None)[1:] == (("mix",), "the whole song as one stem, as asked")


def test_mid_and_side():
    song = record()
    stems, names, _ = separate(song, "midside", "cpu", None)
    assert names == ("mid", "side")
    assert torch.equal(stems[0, 0], stems[0, 1])
    torch.testing.assert_close(stems[1, 0], -stems[1, 1], rtol=0, atol=1e-7)
    with pytest.raises(InputError, match="mono"):
        separate(record(1), "midside", "cpu", None)


@pytest.mark.parametrize("separator", ["spleeter", "", "hpss:5", "Demucs", "demucs:/no/such/folder"])
def test_unknown_separators_are_quoted(separator: str):
    with pytest.raises(InputError) as caught:
        separate(record(), separator, "cpu", None)
    assert separator in str(caught.value)


@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 5),
    loss=st.sampled_from([0.0, 1e-9, 1e-3, 1.0]),
    gain=st.sampled_from([1, 1e-3, 50]),
)
@settings(max_examples=60, deadline=None)
def test_the_residual_is_what_is_left_and_absent_where_nothing_is(seed: int, count: int, loss: float, gain: float):
    generator = torch.Generator().manual_seed(seed)
    song = gain * torch.rand(2, 50, generator=generator)
    shares = torch.rand(count, generator=generator)
    stems = song * (shares / shares.sum())[:, None, None] * (1 - loss)
    found, names = complete(song, stems, tuple(f"s{i}" for i in range(count)))
    assert (found.sum(0) - song).abs().max() <= 1e-6 * max(1, gain)
    assert (names[-1] == "residual") == (float((stems.sum(0) - song).abs().max()) > 1e-6 * max(1.0, float(song.abs().max())))


def test_a_residual_that_comes_with_the_stems_takes_the_rest():
    song = torch.ones(1, 4)
    stems = torch.stack([0.5 * song, 0.25 * song])
    found, names = complete(song, stems, ("voice", "residual"))
    assert names == ("voice", "residual")
    assert torch.equal(found.sum(0), song)
    assert stems[1, 0, 0] == 0.25


def test_looking_for_weights_never_asks_the_network(monkeypatch: pytest.MonkeyPatch):
    import socket

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    assert weights.cached_weights() is None
    separate(record(), None, "cpu", None)
