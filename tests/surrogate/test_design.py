"""Designs move between devices and can be cut short."""

import torch

from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded
from musiclime_torch.surrogate.design import CrossedDesign, Design, draw_bernoulli
from musiclime_torch.surrogate.sampling import weigh


def test_a_design_moves_as_one():
    assert isinstance(draw_foldover(5, 10, 0).to("cpu"), Design)


def test_the_first_rows_of_a_design_and_how_many_units_they_are():
    design = draw_half_folded(draw_foldover(9, 24, 0), 60, 0)
    part = design.first(10)
    assert (part.n_samples, part.folded, part.units, len(part.weights)) == (10, 10, 5, 10)
    part = design.first(40)
    assert (part.n_samples, part.folded, part.units) == (40, 24, 28)
    assert torch.equal(part.masks, design.masks[:40])


def test_designs_move_whole():
    """`meta` stands for another device: shapes without numbers."""
    crossed = CrossedDesign(
        weigh(draw_foldover(5, 10, 0), lambda masks: torch.rand(len(masks)) + 1), draw_bernoulli(4, 9, 0)
    )
    moved = crossed.to("meta")
    assert crossed.n_samples == moved.n_samples == crossed.audio.n_samples + 9
    for one in (moved.audio, moved.lyrics):
        assert one.masks.device.type == one.weights.device.type == "meta"
    assert (moved.audio.n_samples, moved.lyrics.n_samples) == (crossed.audio.n_samples, 9)
