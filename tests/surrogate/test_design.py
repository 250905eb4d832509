import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.blocks import draw_blocks, draw_foldover, draw_half_folded, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.kernels import PAPER_WIDTH, weigh, weigh_by_proximity
from musiclime_torch.surrogate.rows import draw_bernoulli, draw_bernoulli_with_song, enumerate_masks


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
    with pytest.raises(InputError, match="kernel_width must be above 0"):
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
    ("d", "n", "cycle"),
    [(20, 512, 32), (19, 512, 0), (64, 512, 32), (65, 512, 0), (40, 511, 0), (64, 4096, 32), (20, 513, 32)],
)
def test_kerdock_blocks_are_drawn_where_they_help(d: int, n: int, cycle: int):
    design = draw_blocks(d, n, 3)
    assert design.cycle == cycle
    assert torch.equal(design.masks, (draw_kerdock if cycle else draw_foldover)(d, n, 3).masks)


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


def test_the_first_rows_of_a_design_and_how_many_units_they_are():
    design = draw_half_folded(draw_foldover(9, 24, 0), 60, 0)
    part = design.first(10)
    assert (part.n_samples, part.folded, part.units, len(part.weights)) == (10, 10, 5, 10)
    part = design.first(40)
    assert (part.n_samples, part.folded, part.units) == (40, 24, 28)
    assert torch.equal(part.masks, design.masks[:40])


def test_weights_are_kept_and_counted_by_kish():
    design = draw_foldover(6, 1, 0)
    weights = torch.linspace(0.1, 1, design.n_samples)
    weighted = weigh(design, lambda masks: weights)
    assert weighted.weights is weights
    assert weighted.uniform is False
    assert torch.equal(weighted.masks, design.masks)
    # Eight equal rows are worth eight, one more than six slopes and an intercept; seven are not enough.
    for rows, enough in ((8, True), (7, False)):
        some = torch.zeros(design.n_samples)
        some[:rows] = 3.0
        if enough:
            assert weigh(design, lambda masks, some=some: some).weights is some
        else:
            with pytest.raises(InputError, match=r"effective size of 7\.0 of 16 masks for 6 components"):
                weigh(design, lambda masks, some=some: some)


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
