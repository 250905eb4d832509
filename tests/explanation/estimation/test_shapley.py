"""Shapley values end to end: which way they are estimated, and that the three ways agree."""

import pytest
import torch
from models import Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.estimation import shapley
from musiclime_torch.explanation.estimation.shapley import share_masks
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track


def test_sampled_values_agree_with_those_of_all_coalitions(track: Track):
    """Eleven components have 2,048 coalitions. Six standard errors: none of 33 numbers misses by so much."""
    exact = explain(Late(), track, segments=2, weights="shapley", n_samples=2048)
    crossed = explain(Late(), track, segments=2, weights="shapley", n_samples=400)
    joint = explain(Late(), track, segments=2, weights="shapley", n_samples=400, design="joint")
    assert exact.design == "every one of the 2048 masks"
    assert crossed.design.startswith("crossed at 4 inclusion levels")
    assert joint.design == "coalitions of all sizes, in pairs"
    assert not exact.standard_errors.any()
    for sampled in (crossed, joint):
        assert ((sampled.attributions - exact.attributions).abs() <= 6 * sampled.standard_errors + 1e-5).all()
        assert torch.allclose(sampled.intercept, sampled.output_empty)
        assert (sampled.fidelity <= 1).all()


def test_classes_are_solved_alike_however_many_at_a_time(track: Track, monkeypatch: pytest.MonkeyPatch):
    plain = explain(Late(), track, segments=2, weights="shapley", n_samples=400)
    monkeypatch.setattr(shapley, "CLASSES", 1)
    single = explain(Late(), track, segments=2, weights="shapley", n_samples=400)
    assert torch.allclose(single.attributions, plain.attributions, atol=1e-9)
    assert torch.allclose(single.standard_errors, plain.standard_errors, rtol=1e-6)
    assert torch.allclose(single.degrees_of_freedom, plain.degrees_of_freedom, rtol=1e-6)


def test_masks_for_each_side_need_a_crossed_design(track: Track):
    with pytest.raises(InputError, match=r"n_samples \(48, 64\) gives each side its own number"):
        explain(Late(), track, weights="shapley", n_samples=(48, 64), design="joint")


def test_masks_are_shared_by_the_root_of_each_sides_components():
    assert share_masks(300, 4, 16) == (100, 200)
    assert sum(share_masks(1001, 7, 90)) == 1001
