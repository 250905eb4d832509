"""Independent rows, and every mask once."""

import pytest
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.design import draw_bernoulli, draw_bernoulli_with_song, enumerate_masks


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
