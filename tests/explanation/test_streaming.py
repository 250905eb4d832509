"""Explanations that sharpen: each narrower than the one before, the last what `explain` gives, and little asked twice."""

from itertools import pairwise

import pytest
import torch
from models import Additive, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.streaming import explain_in_steps, plan_steps


@pytest.mark.parametrize("design", ["auto", "joint"])
def test_each_step_is_sharper_and_the_last_is_explain_itself(track, design):
    options = {"segments": 5, "seed": 3, "design": design}
    steps = list(explain_in_steps(Late(), track, n_samples=1024, first=128, **options))
    widths = [float(one.half_width[one.target].mean()) for one in steps]
    assert len(steps) >= 3
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == len(widths)
    plain = explain(Late(), track, n_samples=1024, **options)
    for name in ("attributions", "standard_errors", "degrees_of_freedom", "fidelity", "output_song"):
        assert torch.equal(getattr(steps[-1], name), getattr(plain, name)), name
    assert steps[-1].provenance["model"] == plain.provenance["model"]
    assert steps[-1].n_variants == plain.n_variants
    assert 0 < steps[-1].audio_passes <= 1.1 * plain.audio_passes


def test_a_late_fusion_model_encodes_no_batch_twice(track):
    model, plain = Late(), Late()
    steps = list(explain_in_steps(model, track, n_samples=1024, first=128, segments=4))
    explain(plain, track, n_samples=1024, segments=4)
    for side, passes in (("audio", "audio_passes"), ("lyrics", "lyrics_passes")):
        assert model.encoded[side] == getattr(steps[-1], passes)
        assert model.encoded[side] < 2 * plain.encoded[side]


def test_any_other_model_is_asked_hardly_more_often(track):
    model, plain = Additive(), Additive()
    list(explain_in_steps(model, track, n_samples=1024, first=128, segments=4))
    explain(plain, track, n_samples=1024, segments=4)
    asked, once = (sum(shape[0] for shape in one.heard) for one in (model, plain))
    assert 0 < asked <= 1.1 * once


def test_evidence_is_searched_for_at_the_end(track):
    steps = list(explain_in_steps(Late(), track, n_samples=512, first=128, segments=4, evidence=True))
    assert [one.evidence is None for one in steps] == [True] * (len(steps) - 1) + [False]


def test_steps_double_and_failures_come_at_once(track):
    for total in (1, 255, 256, 511, 512, 3000, 16384):
        steps = plan_steps(total, 256)
        assert steps[-1] == total
        assert steps[0] < 512
        assert all(2 * one <= other for one, other in pairwise(steps))
    with pytest.raises(InputError, match="choose one of"):
        next(explain_in_steps(Late(), track, n_samples=512, target="opera"))


def test_without_a_number_it_ends_once_effects_are_settled(track):
    """The last step is what `explain` gives, and takes at most as many passes again."""
    steps = list(explain_in_steps(Additive(), track, first=128, segments=20, design="joint", evidence_in_passing=True))
    assert len(steps) == 2
    plain = explain(Additive(), track, segments=20, design="joint")
    assert torch.equal(steps[1].attributions, plain.attributions)
    assert steps[1].n_variants == plain.n_variants < 512
    assert steps[1].audio_passes <= 2 * steps[0].audio_passes


def test_a_song_that_is_not_settled_goes_on_to_the_budget(track):
    generator = torch.Generator().manual_seed(0)

    def model(audio: torch.Tensor) -> torch.Tensor:
        return torch.randn(len(audio), 2, generator=generator)

    given = {"sample_rate": 8000, "modalities": ("audio",), "output_kind": "regression", "segments": 8}
    counts = [one.n_variants for one in explain_in_steps(model, track, first=512, **given)]
    assert len(counts) == 3
    assert counts[-1] >= 2048
