"""Designs move between devices and can be cut short."""

from dataclasses import replace

import pytest
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.design import CrossedDesign, Design, draw_bernoulli, draw_bernoulli_with_song, enumerate_masks
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


def test_bernoulli_keeps_half_and_the_song_can_come_first():
    assert abs(draw_bernoulli(50, 4000, 0).masks.double().mean() - 0.5) < 0.01
    assert draw_bernoulli_with_song(50, 100, 0).masks[0].all()


def test_too_few_independent_rows_name_the_number_needed():
    with pytest.raises(InputError, match="at least 22"):
        draw_bernoulli(20, 21, 0)


@pytest.mark.parametrize("d", [1, 2, 10, 16])
def test_enumeration_has_every_mask_once_in_complement_pairs(d: int):
    design = enumerate_masks(d)
    assert design.n_samples == design.folded == 2**d
    assert len(design.masks.unique(dim=0)) == 2**d
    assert torch.equal(design.masks[0::2], ~design.masks[1::2])


@pytest.mark.parametrize("d", [0, 21])
def test_what_cannot_be_enumerated_is_refused(d: int):
    with pytest.raises(InputError, match=f"all masks of {d} components"):
        enumerate_masks(d)


def test_designs_know_whether_their_columns_are_orthogonal():
    half = draw_half_folded(draw_foldover(10, 40, 0), 96, 0)
    designs = [draw_foldover(10, 40, 0), draw_unfolded(10, 40, 0), draw_kerdock(10, 300, 0), enumerate_masks(5), half]
    designs += [half.first(half.folded), half.first(half.folded + 12), designs[0].first(24), designs[2].first(128)]
    for design in designs:
        assert design.orthogonal
        coded = design.masks.double() - 0.5
        assert torch.equal(coded.T @ coded, torch.eye(coded.shape[1]).double() * design.n_samples / 4)
        assert (coded.sum(0) == 0).all()
        assert replace(design, masks=design.masks[:, 1:3]).orthogonal
        assert design.to("cpu").orthogonal


def test_parts_of_blocks_weighted_and_independent_rows_are_not_orthogonal():
    folded, half = draw_foldover(10, 40, 0), draw_half_folded(draw_foldover(10, 1, 0), 96, 0)
    assert not folded.first(36).orthogonal
    assert not half.first(12).orthogonal
    assert not half.first(half.folded).first(12).orthogonal
    assert not half.first(half.folded + 6).orthogonal
    assert not draw_bernoulli(10, 40, 0).orthogonal
    assert not replace(folded, uniform=False).orthogonal
    assert not replace(folded, masks=folded.masks[:8], weights=folded.weights[:8], folded=8).orthogonal
