"""The mixes that a page plays are the variants whose outputs it shows."""

import pytest
import torch

from musiclime_torch import to_html
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track
from musiclime_torch.views.page.document import lay_out_lyrics
from musiclime_torch.views.page.mixes import make_versions


def look(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
    """Decides by the first stem's second quarter, and by a word."""
    level = audio[:, :, 4000:8000].square().mean((1, 2)).sqrt()
    return torch.stack([10 * level + torch.tensor([2.0 * line.count("hold") for line in text]), 3 + 0 * level], 1)


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
