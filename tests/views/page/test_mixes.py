"""The mixes that a page plays are the variants whose outputs it shows."""

import pytest
import torch

from musiclime_torch import to_html
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track
from musiclime_torch.views.page.document import lay_out_lyrics
from musiclime_torch.views.page.mixes import make_versions


def look(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
    """Decides by the first stem's second quarter, and by a word."""
    level = audio[:, :, 4000:8000].square().mean((1, 2)).sqrt()
    return torch.stack([10 * level + torch.tensor([2.0 * line.count("hold") for line in text]), 3 + 0 * level], 1)


@pytest.mark.parametrize("baseline", ["-12 dB", "low-pass 1000 Hz", "median", "drums=-6 dB, vocals=noise", "takes"])
def test_versions_of_edits_and_the_smallest_edit_are_what_the_model_heard(track, baseline):
    other = Track(0.1 * torch.randn(1, 1, 5000), ("mix",), 8000, title="another")
    stand_in = {"drums": other, "vocals": "+3 semitones"} if baseline == "takes" else baseline
    options = {"sample_rate": 8000, "segments": 4, "n_samples": 100, "modalities": ("audio",), "baseline": stand_in}

    def bands(audio: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(audio[:, 0, 4000:8000]).abs()
        return torch.stack([spectrum[:, 500:].mean(1) / 10, 2.0 + 0 * spectrum[:, 0]], 1)

    found = explain(bands, track, edits=True, **options)
    versions = make_versions(found, track, stand_in if baseline == "takes" else None)
    assert {version.name for version in versions} >= {"song", "edited"}
    for version in versions:
        heard = versions[0].sound if version.sound is None else version.sound
        assert float(bands(heard[None])[0, found.target]) == pytest.approx(version.output, abs=1e-3)
    page = to_html(found, track, baseline=stand_in if baseline == "takes" else None)
    assert "The smallest edit that flips it" in page
    assert page.count("data:audio/mpeg") == sum(version.sound is not None for version in versions)
    assert "with everything removed" not in page
    if baseline == "takes":
        with pytest.raises(InputError, match=r"those of the song 'drums=another, vocals=\+3 semitones': give its track"):
            make_versions(found, track, None)


def test_the_edited_lyrics_show_the_other_word(track):
    found = explain(
        lambda texts: torch.tensor([[0.5 - ("dear" in text)] for text in texts]), track, modalities=("lyrics",),
        output_kind="multilabel", lyrics_baseline="love=dear", edits=True,
    )  # fmt: skip
    assert found.evidence.edit.columns in ((3,), (6,))
    page = to_html(found, track)
    assert "<s>love</s><span> dear" in page
    assert "Dear in place of love (line 2, word 1)" in page or "Dear in place of love (line 2, word 4)" in page


@pytest.mark.parametrize("baseline", ["silence", "noise", "song"])
def test_versions_are_what_the_model_said_it_of(track, baseline):
    """The mix and the lyrics of a page, given to the model once more, get the outputs the page shows."""
    other = Track(0.1 * torch.randn(1, 1, 5000), ("vocals",), 8000, title="another")
    stand_in = other if baseline == "song" else baseline
    found = explain(look, track, sample_rate=8000, segments=4, n_samples=200, evidence=True, baseline=stand_in)
    versions = make_versions(found, track, other if baseline == "song" else None)
    # Noise instead of the loud moment is as loud: nothing flips this decision.
    assert [version.name for version in versions] == ["song", "keeping", "flipping"][: 2 if baseline == "noise" else 3]
    for version in versions:
        heard = versions[0].sound if version.sound is None else version.sound
        read = "".join(
            piece.text
            for line in lay_out_lyrics(track.lyrics, found.components)
            for piece in line.pieces
            if piece.column is None or version.kept[piece.column]
        )
        if version.sound is None and not version.kept[: found.components.n_audio].any():
            heard = torch.zeros_like(heard)
        output = look(heard[None], [read])[0, found.target]
        assert float(output) == pytest.approx(version.output, abs=1e-4)
    page = to_html(found, track, baseline=other if baseline == "song" else None)
    assert page.count("data:audio/mpeg") == sum(version.sound is not None for version in versions)
