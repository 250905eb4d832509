"""Losses are torch's, and stay in float32."""

import pytest
import torch
from taggers import Heads, draw_batch

from musiclime_torch.training.scores import Learner


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_those_of_torch(weighted: bool, smoothing: float):
    weights = torch.tensor([0.5, 1.0, 3.0]) if weighted else None
    audio, ids, attended, labels, known = draw_batch(1)
    everything = torch.ones_like(known)
    out = Learner(Heads(), weights, 0.0)(audio, ids, attended, labels, everything)
    expected = torch.nn.functional.cross_entropy(out["logits"], labels.argmax(1), weight=weights)
    assert torch.allclose(out["loss"], expected)
    out = Learner(Heads("multilabel"), weights, smoothing)(audio, ids, attended, labels, known)
    targets = labels * (1 - 2 * smoothing) + smoothing
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        out["logits"][known], targets[known], pos_weight=None if weights is None else weights.expand(6, 3)[known]
    )
    assert torch.allclose(out["loss"], expected)


def test_heads_and_losses_stay_in_float32_under_autocast():
    model = Heads()
    with torch.autocast("cpu", torch.bfloat16):
        out = Learner(model, None, 0.0)(*draw_batch(2))
    assert model.seen == {torch.float32}
    assert out["loss"].dtype == out["logits"].dtype == torch.float32
    plain = Learner(model, None, 0.0)(*draw_batch(2))["logits"]
    assert 0 < (out["logits"] - plain).abs().max().item() < 0.02
