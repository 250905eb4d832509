"""Why two songs are near each other: parts add up, both songs are explained, and unusable references are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models import RATE, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.sentences import to_sentences
from musiclime_torch.explanation.similarity import compare, embed, explain_both, read_taste
from musiclime_torch.song.track import Track

TONES = (300, 700, 1100, 1900)


class Spectra(torch.nn.Module):
    """Embeds sound as its power in four bands, and texts as bands named in them."""

    sample_rate, channels, modalities, output_kind = RATE, 1, ("audio",), "embedding"

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(audio[:, 0]).abs().square() / audio.shape[-1]
        return torch.stack([part.sum(1) for part in power[:, : power.shape[1] // 2].chunk(4, 1)], 1)

    def embed_query(self, queries: list[str]) -> torch.Tensor:
        return torch.stack([torch.tensor([1.0 * (str(band) in query) for band in range(4)]) for query in queries])


def play(*bands: int, seconds: float = 1.0, rate: int = RATE) -> Track:
    """A song whose stems are tones in these bands of `Spectra`."""
    time = torch.arange(round(seconds * rate)) / rate
    stems = torch.stack([0.2 * torch.sin(2 * torch.pi * TONES[band] * time)[None] for band in bands])
    return Track(stems, tuple(f"tone {band}" for band in bands), rate, None, title="+".join(map(str, bands)))


def test_attributions_add_up_to_the_similarity():
    song, other = play(0, 1, 2), play(1, 3)
    explanation = explain(compare(Spectra(), [other]), song, weights="shapley", segments=2)
    assert explanation.space == "cosine"
    moved = explanation.output_song - explanation.output_empty
    assert torch.allclose(explanation.attributions.sum(1), moved, atol=1e-6)
    # Two unit vectors, one with three equal bands and one with two, share one: cosine 1 / √6.
    assert float(explanation.output_song[0]) == pytest.approx(6**-0.5, abs=1e-2)
    assert explanation.top(1)[0][0].stem == "tone 1"


@pytest.mark.parametrize("seed", range(20))
def test_the_stem_that_two_songs_share_comes_first(seed: int):
    rng = np.random.default_rng(seed)
    shared, mine, yours = (int(band) for band in rng.permutation(4)[:3])
    song, other = play(mine, shared), play(yours, shared, seconds=2.0)
    for explanation in explain_both(Spectra(), song, other, segments=1):
        assert explanation.top(1)[0][0].stem == f"tone {shared}"


def test_both_songs_explain_the_same_number():
    first, second = explain_both(Spectra(), play(0, 1), play(1, 2, seconds=2.0), segments=1)
    assert float(first.output_song[0]) == pytest.approx(float(second.output_song[0]), abs=1e-5)
    assert (first.classes, second.classes) == (("1+2",), ("0+1",))


def test_the_foil_is_another_song():
    song = play(0, 1)
    model = compare(Spectra(), [play(0), play(1)], ["low", "high"])
    louder = replace(song, stems=song.stems * torch.tensor([2.0, 1.0])[:, None, None])
    explanation = explain(model, louder, target="low", foil="high", segments=1, evidence=True)
    assert to_sentences(explanation)[0].startswith("The song is nearer to low (cosine 0.9")
    nearest = to_sentences(explanation, "low")
    assert nearest[0].startswith("Of 2, the song is nearest to low: cosine")
    assert nearest[1] == "Tone 0 0:00-0:01 did most: it brings the song nearer to low."
    row = explanation.attributions[-1]
    assert float(row[0]) > 0 > float(row[1])
    assert explanation.evidence is not None
    assert explanation.evidence.flipping == (0,)


def test_a_text_and_a_taste_are_references_like_songs():
    song = play(0, 1)
    taste = embed(Spectra(), play(1))
    outputs = explain(compare(Spectra(), ["band 1", taste, play(1)]), song, segments=1).output_song
    assert torch.allclose(outputs, outputs[0].expand(3), atol=1e-3)


def test_a_song_at_another_rate_is_the_same_reference():
    outputs = explain(compare(Spectra(), [play(1, 3), play(1, 3, rate=2 * RATE)]), play(0, 1), segments=1).output_song
    assert float(outputs[0]) == pytest.approx(float(outputs[1]), abs=5e-3)


def test_late_fusion_compares_sound_and_lyrics(track: Track):
    model = compare(Late(), [track, replace(track, lyrics=None)])
    explanation = explain(model, track, weights="shapley", segments=2)
    assert explanation.output_song.tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    moved = explanation.output_song - explanation.output_empty
    assert torch.allclose(explanation.attributions.sum(1), moved, atol=1e-5)
    assert {component.kind for component in explanation.components} == {"audio", "lyrics"}
    # The second has no lyrics: none of the song's words can bring it nearer.
    assert float(explanation.attributions[1, explanation.components.n_audio :].abs().max()) < 1e-12


def test_a_taste_is_kept_in_a_file(tmp_path: Path):
    np.savez(tmp_path / "taste.npz", **embed(Spectra(), play(1)))
    kept = read_taste(tmp_path / "taste.npz")
    assert np.allclose(kept["audio"], [0, 1, 0, 0], atol=1e-2)
    np.save(tmp_path / "one.npy", kept["audio"])
    np.savez(tmp_path / "named.npz", sound=kept["audio"])
    (tmp_path / "no.npz").write_bytes(b"no vectors")
    for name, message in (
        ("one.npy", "holds a single array: a saved taste has audio or lyrics"),
        ("named.npz", "holds sound: a saved taste has audio or lyrics"),
        ("no.npz", "can't be read as saved vectors"),
        ("none.npz", "can't be read as saved vectors"),
    ):
        with pytest.raises(InputError, match=message):
            read_taste(tmp_path / name)


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ([], "needs a song, a text or a taste"),
        ([" "], "the query is empty"),
        ([{"audio": [1.0, 2.0]}], "has 2 numbers, and Spectra embeds audio in 4: it was made with another model"),
        ([{"lyrics": [1.0, 2.0]}], "embeds audio, and the saved taste is one of lyrics"),
        ([{"audio": [0.0, 0, 0, 0]}], "finite numbers that aren't all zero"),
        ([{"audio": [[1.0, 0, 0, 0]]}], "must be one vector"),
        ([Track(torch.zeros(1, 1, 800), ("mix",), RATE, None, title="quiet")], "gives 'quiet' no direction"),
    ],
)
def test_references_that_cannot_be_used_are_refused(references: list, message: str):
    with pytest.raises(InputError, match=message):
        compare(Spectra(), references)


def test_what_a_model_cannot_compare_is_refused(track: Track):
    with pytest.raises(InputError, match="can't compare songs with words"):
        compare(Late(), ["rainy piano"])
    with pytest.raises(InputError, match="compares songs already"):
        compare(compare(Spectra(), [play(0)]), [play(1)])
    with pytest.raises(InputError, match="evidence needs a decision: compare with a second song"):
        explain(compare(Spectra(), [play(0)]), play(0, 1), segments=1, evidence=True)
    with pytest.raises(InputError, match="2 names for 1 songs"):
        compare(Spectra(), [play(0)], ["a", "b"])


def test_songs_of_one_title_are_numbered():
    assert compare(Spectra(), [play(0), play(1), play(0)]).classes == ("0 (1)", "1", "0 (2)")
