"""Blocks are balanced, come from their seed alone, and are of the sizes that were asked for."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.surrogate.blocks import (
    draw_blocks,
    draw_foldover,
    draw_half_folded,
    draw_kerdock,
    draw_unfolded,
    fit_order,
    is_better_unfolded,
)
from musiclime_torch.surrogate.design import draw_bernoulli, enumerate_masks
from musiclime_torch.surrogate.nested import draw_nested


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


DRAWS = {
    "foldover": draw_foldover,
    "unfolded": draw_unfolded,
    "kerdock": draw_kerdock,
    "blocks": draw_blocks,
    "bernoulli": draw_bernoulli,
    "half folded": lambda d, n, seed: draw_half_folded(draw_foldover(d, 1, seed), n, seed),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [1, 88, 89, 600])
def test_every_design_comes_from_its_seed_alone_in_whole_blocks(name: str, n: int):
    draw, d = DRAWS[name], 33
    n = max(n, d + 2) if name == "bernoulli" else n
    one, same, other = draw(d, n, 5), draw(d, n, 5), draw(d, n, 6)
    assert torch.equal(one.masks, same.masks)
    assert not torch.equal(one.masks, other.masks)
    assert one.masks.shape == (one.n_samples, d)
    least = draw_foldover(d, 1, 0).n_samples if name == "half folded" else 0
    assert max(n, least) <= one.n_samples < max(n, least) + one.block
    assert one.n_samples % one.block == 0
    assert one.uniform is True
    assert torch.equal(one.weights, torch.ones(one.n_samples))
    assert torch.equal(one.masks[0 : one.folded : 2], ~one.masks[1 : one.folded : 2])
    # Every column is on about as often as off, and no two are the same or each other's complement.
    coded = 2 * one.masks.double() - 1
    spread = 5 / one.n_samples**0.5
    assert coded.mean(0).abs().max() <= spread
    assert (coded.T @ coded / one.n_samples - torch.eye(d)).abs().max() <= spread
    # Signs are random: in no row of a block are all columns on, which a matrix's own first row would be.
    assert not one.masks.all(1).any()


def test_the_smallest_and_the_largest_of_each_kind():
    assert draw_foldover(3, 2, 0).n_samples == draw_foldover(3, 1, 0).n_samples == draw_foldover(3, 0, 0).n_samples
    assert draw_unfolded(3, 2, 0).block == draw_unfolded(3, 0, 0).n_samples
    assert draw_foldover(40, 89, 0).n_samples == 176
    assert draw_unfolded(40, 45, 0).n_samples == 88
    assert draw_kerdock(64, 128, 0).n_samples == draw_kerdock(64, 0, 0).n_samples == 128
    assert draw_kerdock(64, 129, 0).n_samples == 256
    assert draw_kerdock(10, 4096, 0).n_samples == 4096
    assert draw_kerdock(10, 4097, 0).n_samples == 4224
    assert draw_bernoulli(5, 7, 0).n_samples == 7
    assert draw_bernoulli(5, 7, 0).block == 1
    assert enumerate_masks(20).n_samples == 2**20
    assert enumerate_masks(1).uniform is True


@pytest.mark.parametrize(
    ("d", "n", "draw"),
    [
        (40, 256, draw_nested),
        (40, 255, draw_foldover),
        (20, 128, draw_nested),
        (19, 3072, draw_foldover),
        (47, 511, draw_foldover),
        (47, 512, draw_kerdock),
        (52, 512, draw_nested),
        (40, 3071, draw_nested),
        (40, 3072, draw_kerdock),
        (64, 4096, draw_kerdock),
        (65, 4096, draw_nested),
        (89, 512, draw_nested),
        (89, 511, draw_foldover),
        (90, 4096, draw_foldover),
    ],
)
def test_blocks_are_of_the_kind_that_errs_least(d: int, n: int, draw):
    assert torch.equal(draw_blocks(d, n, 3).masks, draw(d, n, 3).masks)


@settings(deadline=None, max_examples=50)
@given(d=st.integers(1, 120), n=st.integers(1, 1500), seed=st.integers(0, 2**31))
def test_fitted_blocks_are_as_many_and_leave_fewer_masks_over(d: int, n: int, seed: int):
    short = draw_foldover(d, n, seed)
    fitted = draw_foldover(d, n, seed, fit_order(d, n))
    assert n <= fitted.n_samples <= short.n_samples
    blocks = fitted.n_samples // fitted.block
    assert blocks >= min(2, short.n_samples // short.block)
    assert blocks >= n // short.block
    coded = fitted.masks.double() - 0.5
    assert torch.allclose(coded.T @ coded, fitted.n_samples / 4 * torch.eye(d, dtype=torch.float64))
    assert torch.equal(coded[0::2], -coded[1::2])


def test_a_fitted_number_of_masks_of_a_hundred_words_is_nearly_what_was_asked():
    asked = (448, 500, 560, 700, 1000)
    assert [draw_blocks(100, n, 0, fitted=True).n_samples for n in asked] == [448, 512, 560, 720, 1024]
    assert [draw_blocks(100, n, 0).n_samples for n in asked] == [624, 624, 624, 832, 1040]


@pytest.mark.parametrize("pairs", [1, 2])
@pytest.mark.parametrize("n", [0, 24, 48, 49, 60, 61, 200])
def test_a_half_folded_design_is_the_pilot_and_the_next_blocks_of_its_seed(pairs: int, n: int):
    pilot = draw_foldover(9, 24 * pairs, 7)
    assert (pilot.n_samples, pilot.block) == (24 * pairs, 24)
    design = draw_half_folded(pilot, n, 7)
    more = max(-(-(n - pilot.n_samples) // 12), 0)
    assert design.n_samples == pilot.n_samples + 12 * more
    assert (design.folded, design.block, design.units) == (pilot.n_samples, 12, pilot.n_samples // 2 + 12 * more)
    assert torch.equal(design.masks[: pilot.n_samples], pilot.masks)
    # None of the rows is one that the pilot has drawn: they come after all of these, with a block between.
    drawn = draw_unfolded(9, 12 * (pairs + 1 + more), 7).masks
    assert torch.equal(design.masks[pilot.n_samples :], drawn[12 * (pairs + 1) :])


@pytest.mark.parametrize(("order", "expected"), [(2, False), (3, True)])
def test_complements_are_given_up_where_odd_terms_rule(order, expected):
    design = draw_foldover(20, 96, 0)
    signs = 2 * design.masks.double() - 1
    generator = torch.Generator().manual_seed(1)
    columns = torch.stack([torch.randperm(20, generator=generator)[:order] for _ in range(40)])
    values = signs[:, columns].prod(2).sum(1)
    assert is_better_unfolded(design, values, 1.0) is expected
    assert is_better_unfolded(design, 1e6 + 3 * values, 1.0) is expected
    assert not is_better_unfolded(design, values, 0.4)


def test_a_block_without_freedom_recommends_nothing():
    assert not is_better_unfolded(draw_foldover(3, 1, 0), torch.randn(8), 1.0)
