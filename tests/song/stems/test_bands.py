"""Frequency bands: they add up, stay where they are, keep out of each other, and a cause in one is found there."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from soundfiles import make_noise, write

from musiclime_torch.basics.arguments import read_separator
from musiclime_torch.basics.choices import Timeline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.corpus.runs.ahead import load_entry
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.audio.recording import Recording
from musiclime_torch.song.manifest import Entry
from musiclime_torch.song.stems.bands import make_low_passes, name_bands, split_bands
from musiclime_torch.song.stems.separation import separate
from musiclime_torch.song.track import Track, load_track
from musiclime_torch.training.songs import load_stems

RATE = 8000


def make_tone(frequency: float, rate: int = RATE, seconds: float = 1.0) -> torch.Tensor:
    # In float32 the phase of a long tone is noise at -70 dB.
    return torch.sin(2 * torch.pi * frequency * torch.arange(int(rate * seconds), dtype=torch.float64) / rate).float()


@given(
    edges=st.lists(st.integers(20, 3900), min_size=1, max_size=5, unique=True).map(sorted),
    frames=st.integers(1, 20_000),
    channels=st.integers(1, 2),
)
@settings(max_examples=25, deadline=None)
def test_bands_add_up_to_every_stem(edges: list[int], frames: int, channels: int):
    stems = torch.from_numpy(make_noise(2 * frames / RATE, RATE, channels)).view(2, channels, -1)
    bands, names = split_bands(stems, ("drums", "mix"), RATE, edges, "cpu")
    assert len(names) == len(bands) == 2 * (len(edges) + 1)
    for number, stem in enumerate(stems):
        own = bands[number * (len(edges) + 1) : (number + 1) * (len(edges) + 1)]
        assert (own.sum(0) - stem).abs().max() < 1e-6


def test_bands_are_those_of_a_plain_convolution():
    """The slow oracle: numpy's convolution in float64. More than one block, whose borders would show."""
    sound = torch.from_numpy(make_noise(20, RATE, 1))
    edges = [100, 1000]
    bands, _ = split_bands(sound[None], ("mix",), RATE, edges, "cpu")
    low = [np.convolve(sound[0].double(), row, mode="same") for row in make_low_passes(RATE, edges).numpy()]
    slow = np.stack([low[0], low[1] - low[0], sound[0].double().numpy() - low[1]])
    np.testing.assert_allclose(bands[:, 0].numpy(), slow, atol=2e-6)


@pytest.mark.parametrize(("frequency", "band"), [(15, 0), (150, 0), (260, 1), (1400, 1), (2600, 2), (3900, 2)])
def test_a_tone_is_in_its_own_band_and_80_db_down_in_the_others(frequency: float, band: int):
    sound = make_tone(frequency, seconds=2)
    bands, _ = split_bands(sound[None, None], ("mix",), RATE, [200, 2000], "cpu")
    # Away from the song's ends, where a tone that begins is no tone.
    power = bands[:, 0, 4000:-4000].square().mean(1)
    others = [number for number in range(3) if number != band]
    assert power[band] == pytest.approx(0.5, rel=1e-3)
    assert all(10 * torch.log10(power[other] / 0.5) < -75 for other in others)


def test_a_hit_stays_where_it_is():
    sound = torch.zeros(1, 1, RATE)
    sound[..., 3000] = 1
    bands, _ = split_bands(sound, ("mix",), RATE, [300, 1200], "cpu")
    assert bands[:, 0].abs().argmax(1).tolist() == [3000] * 3
    # Symmetric around it: no phase is turned.
    torch.testing.assert_close(bands[..., 2000:3000].flip(-1), bands[..., 3001:4001], rtol=0, atol=1e-6)


def test_names_say_the_range():
    assert name_bands([200]) == ("low (0-200 Hz)", "high (above 200 Hz)")
    assert name_bands([200, 2000, 8000])[2] == "high mid (2000-8000 Hz)"
    assert name_bands([1, 2, 3, 4]) == ("0-1 Hz", "1-2 Hz", "2-3 Hz", "3-4 Hz", "above 4 Hz")


@pytest.mark.parametrize(
    "text", ["bands:", "bands:0", "bands:200,100", "bands:200,200", "bands:-5", "bands:a", "bands:nan", "bands:inf"]
)
def test_edges_must_rise(text: str):
    with pytest.raises(InputError, match="rising frequencies") as caught:
        read_separator(text)
    assert text in str(caught.value)


@pytest.mark.parametrize("text", ["spleeter+bands:200", "hpsss", "+bands:200+", "bandz:200", "hpss:bands:200"])
def test_what_isnt_known_is_quoted(text: str):
    with pytest.raises(InputError) as caught:
        separate(Recording(torch.zeros(1, 100), RATE), text, "cpu", None)
    assert text in str(caught.value)


def test_a_band_beyond_half_the_rate_is_refused():
    with pytest.raises(InputError, match="from 4000 Hz is empty, as the song ends at 4000 Hz"):
        separate(Recording(torch.zeros(1, 100), RATE), "bands:0,200,4000", "cpu", None)


def test_bands_of_separated_and_of_given_stems(tmp_path):
    song = write(tmp_path / "song.wav", make_noise(0.5, RATE, 1), RATE)
    track = load_track(song, separator="hpss+bands:500")
    assert track.stem_names == tuple(f"{stem} {name}" for stem in ("harmonic", "percussive") for name in name_bands([500]))
    assert track.source == "frequency bands of hpss (harmonic and percussive), as asked with edges at 500 Hz"
    (tmp_path / "stems").mkdir()
    for seed, name in enumerate(("drums", "bass")):
        write(tmp_path / "stems" / f"{name}.wav", make_noise(0.5, RATE, 1, seed=seed), RATE)
    given_stems = load_track(tmp_path / "stems", separator="bands:0,500")
    assert len(given_stems.stem_names) == 4
    assert given_stems.stem_names[0] == "bass low (0-500 Hz)"
    plain = load_track(tmp_path / "stems")
    assert (given_stems.stems.sum(0) - plain.stems.sum(0)).abs().max() < 1e-6
    with pytest.raises(InputError, match="leave one out, or ask for bands"):
        load_track(tmp_path / "stems", separator="hpss+bands:500")


def hear(frequency: float, rate: int):
    """A model that listens to one frequency: how much of it there is, in a second at a time."""

    def model(audio: torch.Tensor) -> torch.Tensor:
        seconds = audio.mean(1).unfold(-1, rate, rate)
        time = torch.arange(rate) / rate
        turns = torch.polar(torch.ones(rate), -2 * torch.pi * frequency * time)
        return (seconds.to(turns.dtype) @ turns).abs().sum(-1, keepdim=True) / rate

    return model


@pytest.mark.parametrize("frequency", [12.0, 15_000.0])
def test_what_a_clever_model_listens_to_comes_first(frequency: float):
    """A tone nobody hears, in one second of noise: its band at its moment leads in 20 of 20 songs."""
    rate, found = 44_100, 0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        moment = int(torch.randint(4, (), generator=generator))
        sound = 0.1 * torch.randn(1, 4 * rate, generator=generator)
        sound[0, moment * rate : (moment + 1) * rate] += 0.02 * make_tone(frequency, rate)
        stems, names, source = separate(Recording(sound, rate), "bands:0,20,200,2000,12000", "cpu", None)
        track = Track(stems, names, rate, source=source)
        explanation = explain(
            hear(frequency, rate), track, sample_rate=rate, segments=4, modalities=("audio",), n_samples=64, space="raw",
            output_kind="regression", classes=["tone"],
        )  # fmt: skip
        first = explanation.components.items[explanation.order()[0]]
        planted = "0-20 Hz" if frequency < 20 else "above 12000 Hz"
        found += first.stem == planted and first.start == pytest.approx(moment, abs=0.01)
    assert found == 20


def test_songs_with_stems_in_a_catalogue_and_in_training_are_cut_too(tmp_path):
    """Stems that are there aren't separated again; that must not lose the bands."""
    song = write(tmp_path / "song.wav", make_noise(0.5, RATE, 1), RATE)
    (tmp_path / "stems").mkdir()
    write(tmp_path / "stems" / "drums.wav", make_noise(0.5, RATE, 1, seed=1), RATE)
    for entry in (Entry("a", audio=song, stems=tmp_path / "stems"), Entry("b", audio=tmp_path / "stems")):
        cut = load_entry(entry, {"separator": "hpss+bands:500"})
        assert isinstance(cut, Track), cut
        assert "drums low (0-500 Hz)" in cut.stem_names
        assert not any("harmonic" in name for name in cut.stem_names)
        plain = load_entry(entry, {"separator": "hpss"})
        assert isinstance(plain, Track)
        assert "drums" in plain.stem_names
    training = Entry("c", stems=tmp_path / "stems")
    assert len(load_stems(training, RATE, 900.0, "bands:500")) == 2 * len(load_stems(training, RATE, 900.0, "hpss"))


def test_a_tone_in_a_band_of_one_stem_comes_first():
    """Bands of given stems: the band of the stem at its moment leads in 20 of 20 songs."""
    rate, found = 8000, 0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        stem, moment = int(torch.randint(3, (), generator=generator)), int(torch.randint(4, (), generator=generator))
        stems = 0.1 * torch.randn(3, 1, 4 * rate, generator=generator)
        stems[stem, 0, moment * rate : (moment + 1) * rate] += 0.05 * make_tone(3000.0, rate)
        bands, names = split_bands(stems, ("drums", "bass", "vocals"), rate, [500, 2000], "cpu")
        explanation = explain(
            hear(3000.0, rate), Track(bands, names, rate), sample_rate=rate, segments=4, modalities=("audio",), n_samples=96,
            space="raw", output_kind="regression", classes=["tone"],
        )  # fmt: skip
        first = explanation.components.items[explanation.order()[0]]
        planted = f"{('drums', 'bass', 'vocals')[stem]} high (above 2000 Hz)"
        found += first.stem == planted and first.start == pytest.approx(moment, abs=0.01)
    assert found == 20


@pytest.mark.parametrize("window", [None, 1.0])
def test_bands_cost_no_more_passes_than_as_many_stems(window: float | None):
    """Four bands of a song, in ten segments or named ones, beside its four stems in ten segments."""
    rate, passes = 8000, 0

    def model(audio: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        passes += len(audio)
        return audio.square().mean((1, 2))[:, None]

    model.max_seconds = window
    stems = 0.1 * torch.randn(4, 1, 10 * rate, generator=torch.Generator().manual_seed(0))
    bands, names, source = separate(Recording(stems.sum(0), rate), "bands:0,200,1000,2000", "cpu", None)
    options = {"sample_rate": rate, "modalities": ("audio",), "output_kind": "regression", "space": "raw"}
    counts = []
    for track, segments in (
        (Track(stems, ("drums", "bass", "other", "vocals"), rate), 10),
        (Track(bands, names, rate, source=source), 10),
        (Track(bands, names, rate, source=source), Timeline((0.0, 3.0, 5.0, 10.0), ("verse", "break", "verse"))),
    ):
        passes = 0
        explain(model, track, segments=segments, **options)
        counts.append(passes)
    assert max(counts[1:]) <= counts[0]
