import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musiclime_torch.design import Design, draw_bernoulli, draw_bernoulli_with_song, draw_foldover, enumerate_masks, weigh
from musiclime_torch.designs.kernels import PAPER_WIDTH, weigh_by_proximity
from musiclime_torch.failures import InputError


@settings(deadline=None, max_examples=25)
@given(d=st.integers(1, 90), n=st.integers(1, 600), seed=st.integers(0, 2**31))
def test_foldover_is_balanced_orthogonal_and_free_of_two_way_terms(d: int, n: int, seed: int):
    design = draw_foldover(d, n, seed)
    coded = design.masks.double() - 0.5
    rows = design.n_samples
    assert rows >= n
    assert rows % design.block == 0
    assert rows - n < design.block
    assert torch.equal(coded[0::2], -coded[1::2])
    assert torch.equal(coded.sum(0), torch.zeros(d, dtype=torch.float64))
    assert torch.allclose(coded.T @ coded, rows / 4 * torch.eye(d, dtype=torch.float64))
    if d >= 3:
        assert torch.equal(coded.T @ (coded[:, 0] * coded[:, 1]), torch.zeros(d, dtype=torch.float64))


def test_the_same_seed_gives_the_same_masks_and_another_seed_others():
    assert torch.equal(draw_foldover(20, 100, 3).masks, draw_foldover(20, 100, 3).masks)
    assert not torch.equal(draw_foldover(20, 100, 3).masks, draw_foldover(20, 100, 4).masks)
    assert torch.equal(draw_bernoulli(20, 100, 3).masks, draw_bernoulli(20, 100, 3).masks)


def test_blocks_differ_from_one_another():
    design = draw_foldover(20, 200, 0)
    first, second = design.masks[: design.block], design.masks[design.block : 2 * design.block]
    assert not torch.equal(first, second)


def test_drawing_moves_no_global_random_state():
    before = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())
    draw_foldover(20, 100, 0)
    draw_bernoulli(20, 100, 0)
    assert before[0] == random.getstate()
    assert before[1] == np.random.get_state()[1].tobytes()
    assert torch.equal(before[2], torch.get_rng_state())


def test_bernoulli_keeps_half_and_the_song_can_come_first():
    assert abs(draw_bernoulli(50, 4000, 0).masks.double().mean() - 0.5) < 0.01
    assert draw_bernoulli_with_song(50, 100, 0).masks[0].all()


def test_too_few_independent_rows_name_the_number_needed():
    with pytest.raises(InputError, match="at least 22"):
        draw_bernoulli(20, 21, 0)


def test_paper_kernel_is_inert_and_lime_kernel_is_not():
    masks = draw_bernoulli(140, 5000, 0).masks
    masks[0], masks[1] = True, False
    paper = weigh_by_proximity(masks, PAPER_WIDTH)
    assert paper.min() > 0.9991
    assert paper[0] == 1
    lime = weigh_by_proximity(masks, 0.25)
    assert lime[0] == 1
    assert lime[1] < 1e-3


def test_lime_kernel_equals_the_formula_of_its_code():
    masks = draw_bernoulli(30, 200, 1).masks
    for row, weight in zip(masks.numpy(), weigh_by_proximity(masks, 0.25).tolist(), strict=True):
        ones = np.ones(30)
        distance = 1 - row @ ones / (np.linalg.norm(row.astype(float)) * np.linalg.norm(ones))
        assert weight == pytest.approx(np.sqrt(np.exp(-(distance**2) / 0.25**2)), rel=1e-5)


def test_weights_that_underflow_are_refused():
    with pytest.raises(InputError, match="effective size"):
        weigh(draw_foldover(140, 5000, 0), lambda masks: weigh_by_proximity(masks, 0.001))
    with pytest.raises(InputError, match="not above zero"):
        weigh_by_proximity(draw_foldover(5, 10, 0).masks, 0.0)


def test_a_design_moves_as_one():
    assert isinstance(draw_foldover(5, 10, 0).to("cpu"), Design)


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
