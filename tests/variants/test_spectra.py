"""Variants as spectra: the song as it is, and medians exactly where parts are removed."""

import pytest
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track
from musiclime_torch.variants.edits import smooth_spectrum

RATE, FFT, HOP = 8000, 256, 64


class Sees:
    """Gives back the magnitude of one bin at one place."""

    sample_rate, channels, modalities, output_kind, classes = RATE, 1, ("audio",), "regression", ("bin",)
    spectrogram, max_seconds = (FFT, HOP), None

    def __init__(self, place: int, bin: int = 14) -> None:
        self.place, self.bin, self.kinds = place, bin, set()

    def __call__(self, audio: torch.Tensor) -> torch.Tensor:
        self.kinds.add("sound")
        return self.hear_spectra(self.to_spectra(audio), told=False)

    def to_spectra(self, audio: torch.Tensor) -> torch.Tensor:
        shape = torch.hann_window(FFT)
        return torch.stft(audio[:, 0], FFT, HOP, window=shape, pad_mode="constant", return_complex=True)[:, None]

    def hear_spectra(self, spectra: torch.Tensor, told: bool = True) -> torch.Tensor:
        self.kinds |= {"spectra"} if told else set()
        return spectra[:, 0, self.bin, self.place].abs()[:, None]


def make_track(stems: int = 2, frames: int = 16000) -> Track:
    sound = 0.3 * torch.randn(stems, 1, frames, generator=torch.Generator().manual_seed(0))
    return Track(sound, ("drums", "vocals")[:stems], RATE)


@pytest.mark.parametrize("place", [20, 120, 200])
def test_song_and_empty_song_are_the_spectra_themselves_and_their_medians(place: int):
    track, model = make_track(), Sees(place)
    explanation = explain(model, track, segments=4, baseline="median 0.2 s", n_samples=64)
    spectra = model.to_spectra(track.stems)
    smooth = torch.stack([smooth_spectrum(own, round(0.2 * RATE / HOP / 2)) for own in spectra])
    for output, wanted in ((explanation.output_song, spectra), (explanation.output_empty, smooth)):
        assert float(output[0]) == pytest.approx(float(wanted.sum(0)[0, 14, place].abs()), rel=1e-4)
    assert model.kinds == {"spectra"}
    # Of two stems, both at the moment of that place.
    segment = place * HOP * 4 // 16000
    assert set(explanation.order()[:2]) == {segment, 4 + segment}


def test_windows_have_spectra_of_their_own():
    track, model = make_track(), Sees(10)
    model.max_seconds = 0.5
    explanation = explain(model, track, segments=4, baseline="median 0.1 s")
    spectra = torch.cat([model.to_spectra(part[None]) for part in track.stems.sum(0).split(4000, -1)])
    assert float(explanation.output_song[0]) == pytest.approx(float(spectra[:, 0, 14, 10].abs().mean()), rel=1e-4)
    # A median may be the value that it replaces.
    assert int((explanation.attributions[0] != 0).sum()) >= 6


def test_other_stand_ins_are_sounds():
    for baseline in ("-12 dB", "drums=median, vocals=silence", "silence"):
        model = Sees(20)
        explain(model, make_track(), segments=2, baseline=baseline, n_samples=32)
        assert model.kinds == {"sound"}


def test_resynthesis_comes_near():
    """A model that declares its frames alone hears nearly the same; one that declares nothing hears other medians."""
    track, song, errors = make_track(1), [], []
    for place in range(20, 220, 10):
        direct, resynthesised, plain = Sees(place), Sees(place), Sees(place)
        resynthesised.to_spectra_of_its_own = resynthesised.to_spectra
        outputs = []
        for model, names in ((direct, ()), (resynthesised, ("hear_spectra",)), (plain, ("hear_spectra", "spectrogram"))):
            options = {"segments": 1, "baseline": "median 0.2 s", "sample_rate": RATE, "modalities": ("audio",)}
            asked = model if not names else (lambda audio, model=model: model(audio))
            if names == ("hear_spectra",):
                asked.spectrogram = model.spectrogram
            explanation = explain(asked, track, output_kind="regression", **options)
            outputs.append(float(explanation.output_empty[0]))
            song.append(float(explanation.output_song[0]))
        errors.append([abs(output - outputs[0]) for output in outputs[1:]])
    declared, undeclared = torch.tensor(errors).mean(0)
    assert declared < 0.8 * undeclared


def test_what_are_no_spectra_is_refused():
    model = Sees(20)
    model.to_spectra = lambda audio: audio
    with pytest.raises(
        InputError, match=r"to_spectra must return complex spectra \(batch, channel, bin, place\) for 2 sounds"
    ):
        explain(model, make_track(), segments=2, baseline="median")
    model = Sees(20)
    model.spectrogram = 512
    with pytest.raises(InputError, match="declares spectrogram=512: it must be window and hop in samples"):
        explain(model, make_track(), segments=2, baseline="median")
