"""Stability over seeds: what changes is the masks alone."""

import numpy as np
import pytest
import torch
from models import Late

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.faithfulness import check
from musiclime_torch.faithfulness.question import recall
from musiclime_torch.faithfulness.stability import measure_sensitivity, measure_stability
from musiclime_torch.song.track import Track


class Ear(torch.nn.Module):
    """Hears at a rate of its own, and not linearly."""

    modalities, sample_rate, channels = ("audio",), 6000, 1

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        parts = torch.stack([part.abs().mean((1, 2)) for part in audio.chunk(4, -1)], 1)
        return torch.cat([parts.prod(1, keepdim=True) * 100, parts.square()], 1)


def test_noise_stays_while_seeds_of_masks_change(track: Track):
    explanation = explain(Ear(), track, baseline="noise", segments=3, n_samples=64, seed=2**63 - 1)
    question = recall(Ear(), track, explanation, None, None)
    assert torch.equal(question.explain_again().attributions, explanation.attributions)
    found = check(Ear(), track, explanation, seeds=2)
    # Every mask was taken, under any seed.
    assert found.stability.sensitivity.value == 0
    assert found.stability.correlation.value == 1


def test_the_largest_change_stands_beside_the_largest_of_as_many_random_ones():
    draws = torch.randn(18, 6, generator=torch.Generator().manual_seed(0)).double()
    runs, dealt, several = draws[:3], draws[3:8], draws[8:].reshape(5, 2, 6)
    found = measure_stability(runs, dealt, several).sensitivity
    largest = [max(float((row - runs[0]).norm() / runs[0].norm()) for row in pair) for pair in several]
    assert found.value == pytest.approx(float(measure_sensitivity(runs[0], runs[1:])))
    assert (found.random, found.spread) == pytest.approx((np.mean(largest), np.std(largest, ddof=1)))


def test_sensitivity_is_captums():
    from captum.attr import FeatureAblation
    from captum.metrics import sensitivity_max

    ablation = FeatureAblation(lambda x: torch.tanh(x).prod(1) + x[:, 0] ** 2)
    x = torch.tensor([[0.3, -1.2, 0.8, 2.0]])
    noise = 0.1 * torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    theirs = sensitivity_max(ablation.attribute, x, perturb_func=lambda given: given + noise, n_perturb_samples=12)
    ours = measure_sensitivity(ablation.attribute(x)[0], ablation.attribute(x + noise))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_stability_grows_with_masks(track: Track):
    model = Late()
    few, many = (
        check(model, track, explain(model, track, segments=8, n_samples=count), seeds=2, shuffled=()).stability
        for count in (60, 600)
    )
    assert few.seeds == 3
    assert many.correlation.value > few.correlation.value > few.correlation.random
    assert many.sensitivity.value < few.sensitivity.value < few.sensitivity.random
    assert few.overlap.random == pytest.approx(5 / 23, abs=0.15)
