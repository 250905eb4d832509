"""Similarities are cosines with references, weighted over the sides that both have."""

import pytest
import torch
from models import RATE, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.care import hash_weights
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.models.similarity import Reference, Similarity, find_towers
from musiclime_torch.models.subject import Subject, describe_model


class Levels(torch.nn.Module):
    """Embeds sound as the levels of its quarters, through a layer of its own."""

    sample_rate, channels, modalities, output_kind = RATE, 1, ("audio",), "embedding"

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4, bias=False)
        torch.nn.init.eye_(self.layer.weight)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.stack([part.square().mean((1, 2)).sqrt() for part in audio.chunk(4, -1)], 1))


def describe(model: object) -> Subject:
    return describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)


def test_outputs_are_cosines_whatever_the_lengths_of_vectors():
    directions = torch.tensor([[1.0, 0, 0, 0], [3.0, 4, 0, 0]])
    references = [Reference(name, {"audio": row}) for name, row in zip("ab", directions, strict=True)]
    model = Similarity(find_towers(describe(Levels())), references)
    audio = torch.randn(5, 1, 400, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.cosine_similarity(Levels()(audio)[:, None], directions[None], dim=2)
    assert torch.allclose(model(audio), expected, atol=1e-6)
    assert model.classes == ("a", "b")
    assert model.modalities == ("audio",)
    assert (model(torch.zeros(1, 1, 400)) == 0).all()


def test_sound_and_lyrics_are_averaged_where_both_are_known():
    towers = find_towers(describe(Late()))
    generator = torch.Generator().manual_seed(0)
    sizes = {"audio": 4, "lyrics": 4}
    full = {side: torch.randn(size, generator=generator) for side, size in sizes.items()}
    both = Similarity(towers, [Reference("both", full), Reference("sound", {"audio": full["audio"]})], (1.0, 3.0))
    audio = torch.randn(2, 1, 400, generator=generator)
    ids = torch.tensor([[28, 3, 4, 29]])
    text = Late().embed_text(ids)
    batch = TokenBatch(text.expand(2, -1, -1), torch.ones(2, 4, dtype=torch.bool))
    sides = {"audio": towers["audio"](audio), "lyrics": towers["lyrics"](batch)}
    cosines = {side: sides[side] @ torch.nn.functional.normalize(full[side], dim=0) for side in sides}
    out = both(audio, batch)
    assert torch.allclose(out[:, 0], 0.25 * cosines["audio"] + 0.75 * cosines["lyrics"], atol=1e-6)
    assert torch.allclose(out[:, 1], cosines["audio"], atol=1e-6)
    pairs = both.fuse_pairs(both.encode_audio(audio), both.encode_text(batch))
    assert torch.allclose(pairs.diagonal().T, out, atol=1e-6)


def test_only_sides_that_a_reference_has_are_asked():
    model = Similarity(find_towers(describe(Late())), [Reference("words", {"lyrics": torch.ones(4)})])
    assert model.modalities == ("lyrics",)


def test_other_references_are_another_model():
    towers = find_towers(describe(Levels()))
    hashes = {hash_weights(Similarity(towers, [Reference("a", {"audio": torch.eye(4)[row]})])) for row in (0, 1, 0)}
    assert len(hashes) == 2


def test_a_model_without_embeddings_is_refused_with_the_way_out():
    def classify(audio: torch.Tensor) -> torch.Tensor:
        return audio.mean(2)

    classify.sample_rate, classify.modalities = RATE, ("audio",)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"gives no embeddings to compare songs by: it needs embed_sound\(audio\)"):
        find_towers(describe(classify))
