"""Joint masks end to end: when complements are given up, and what is said of the masks."""

from dataclasses import replace

import pytest
import torch
from models import RATE

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import Track

SEGMENTS = 6


class Products(torch.nn.Module):
    """Which of 4 × 6 cells sound is read off the audio, and products of their signs are added up: order three or two."""

    sample_rate, channels, modalities, output_kind = RATE, 1, ("audio",), "regression"

    def __init__(self, order: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.terms = torch.stack([torch.randperm(4 * SEGMENTS, generator=generator)[:order] for _ in range(60)])

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        parts = torch.stack(audio[:, 0].chunk(SEGMENTS, -1), 1).mean(2).round()
        on = torch.stack([(parts.long() >> stem) & 1 for stem in range(4)], 1).flatten(1)
        return (2.0 * on - 1)[:, self.terms].prod(2).sum(1, keepdim=True)


@pytest.fixture
def bits() -> Track:
    """Stem k is a constant 2ᵏ, so that their sum says which of them are on."""
    return Track(2.0 ** torch.arange(4)[:, None, None].expand(4, 1, 1200), ("a", "b", "c", "d"), RATE)


@pytest.mark.parametrize(("order", "unfolds"), [(3, True), (2, False)])
def test_complements_are_given_up_where_odd_terms_dominate_and_only_there(bits: Track, order: int, unfolds: bool):
    explanation = explain(Products(order), bits, segments=SEGMENTS, n_samples=512)
    design = "joint, a fold-over block, then rows without complements" if unfolds else "joint, nested fold-over blocks"
    assert explanation.design == design
    asked = explain(Products(order), bits, segments=SEGMENTS, n_samples=320, design="foldover")
    assert asked.design == "joint, fold-over blocks"


class Together(torch.nn.Module):
    """A sum over segments of products of three stems, in signs, and the main effects of the first stem."""

    sample_rate, channels, modalities, output_kind = RATE, 1, ("audio",), "regression"

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        # In the middle of each segment, where nothing fades.
        parts = torch.stack(audio[:, 0].chunk(SEGMENTS, -1), 1)[:, :, 100].round()
        signs = torch.stack([2.0 * ((parts.long() >> stem) & 1) - 1 for stem in range(4)], 2)
        return (3 * signs[:, :, 1:].prod(2) + signs[:, :, 0]).sum(1, keepdim=True)


@pytest.mark.parametrize("quiet", [None, 3])
def test_products_of_the_stems_of_a_segment_cost_main_effects_nothing(bits: Track, quiet: int | None):
    """Also where a stem's column is one that the model can't notice: the others move up in the masks."""
    track = bits if quiet is None else replace(bits, stems=bits.stems * (torch.arange(4) != quiet)[:, None, None])
    explanation = explain(Together(), track, segments=SEGMENTS, n_samples=256, design="joint", residual=True)
    assert len(explanation.unseen) == (0 if quiet is None else SEGMENTS)
    if quiet is None:
        assert explanation.design == "joint, nested fold-over blocks"
    expected = torch.zeros(4, SEGMENTS)
    expected[0] = 2.0
    assert torch.allclose(explanation.attributions[0], expected.flatten().to(explanation.attributions), atol=1e-5)


def test_looks_after_the_pilot_see_the_rows_that_it_chose(bits: Track):
    at_once = explain(Products(3), bits, segments=SEGMENTS, n_samples=512)
    waited = explain(Products(3), bits, segments=SEGMENTS, n_samples=512, until="width 0.0001")
    assert waited.looks == 3
    assert waited.design == at_once.design
    assert torch.equal(waited.attributions, at_once.attributions)


def test_every_mask_is_taken_where_the_budget_has_room_and_leaves_no_error(bits: Track):
    explanation = explain(Products(2), bits, segments=2, n_samples=256)
    assert explanation.design == "every one of the 256 masks"
    assert explanation.stopped == "every mask was taken"
    assert not explanation.standard_errors.any()
    assert explanation.degrees_of_freedom.isinf().all()
    assert explanation.interactions is not None
    assert not explanation.interactions.standard_errors.any()
    sampled = explain(Products(2), bits, segments=2, n_samples=255)
    assert "every" not in sampled.design


def test_fewer_masks_than_a_block_are_rounded_up_and_said(bits: Track):
    explanation = explain(Products(2), bits, segments=SEGMENTS, n_samples=5)
    assert explanation.n_variants == 56
    assert "5 masks are fewer than one block for 24 components: rounded up to 56." in explanation.warnings
