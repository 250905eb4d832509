"""Designs and weights by name: what each name draws, and what is refused."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.basics.choices import DesignName, WeightsName
from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.blocks import draw_blocks, draw_foldover
from musiclime_torch.surrogate.design import draw_bernoulli
from musiclime_torch.surrogate.sampling import (
    MOST,
    PAPER_WIDTH,
    VALUES,
    Sampling,
    allocate,
    draw_design,
    weigh,
    weigh_by_proximity,
)

PLAIN = Sampling("joint", "uniform", 0.25, 200, 3)


@pytest.mark.parametrize("name", [name for name in get_args(DesignName) if name != "auto"])
def test_every_name_draws_masks_of_its_seed(name: DesignName):
    first, other = (draw_design(replace(PLAIN, seed=seed), name, 9, 200) for seed in (3, 4))
    assert first.n_samples >= 200
    assert first.uniform
    assert torch.equal(first.masks, draw_design(PLAIN, name, 9, 200).masks)
    assert not torch.equal(first.masks, other.masks)
    assert bool(first.masks[0].all()) or name != "bernoulli+song"


def test_joint_and_crossed_designs_are_blocks_of_the_better_kind():
    for name in ("joint", "crossed"):
        assert torch.equal(draw_design(PLAIN, name, 30, 900).masks, draw_blocks(30, 900, 3).masks)
    assert torch.equal(draw_design(PLAIN, "foldover", 30, 900).masks, draw_foldover(30, 900, 3).masks)


def test_kernels_weigh_rows_with_their_own_widths():
    masks = draw_foldover(9, 200, 3).masks
    for weights, width in (("lime", 0.5), ("paper", PAPER_WIDTH)):
        design = draw_design(replace(PLAIN, weights=weights, kernel_width=0.5), "foldover", 9, 200)
        assert not design.uniform
        assert torch.equal(design.weights, weigh_by_proximity(masks, width))


def test_every_weighting_has_a_name_for_its_values():
    assert set(VALUES) == set(get_args(WeightsName))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_samples": 0}, "n_samples must be at least 1, got 0"),
        ({"n_samples": (40, -1)}, "n_samples must be at least 1, got -1"),
        ({"n_samples": MOST + 1}, f"n_samples must be at most {MOST}, got {MOST + 1}"),
    ],
)
def test_numbers_of_masks_that_cannot_be_drawn_are_refused(changes: dict[str, Any], message: str):
    """Names are refused in tests/explanation/test_explainer.py, where no checker of annotations comes first."""
    with pytest.raises(InputError, match=message):
        replace(PLAIN, **changes)


def test_totals_add_both_sides_up():
    assert PLAIN.total == 200
    assert replace(PLAIN, n_samples=(40, 80)).total == 120


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


@settings(deadline=None, max_examples=100)
@given(
    size=st.integers(300, 5000),
    variances=st.tuples(st.floats(0, 100), st.floats(0, 100)),
    costs=st.tuples(st.floats(1, 1e6), st.floats(1, 1e6)),
)
def test_masks_are_shared_out_in_whole_blocks_within_the_budget(size, variances, costs):
    blocks, least = (88, 48), (88, 48)
    audio, lyrics = allocate(size, blocks, least, variances, costs)
    assert audio % 88 == lyrics % 48 == 0
    assert audio >= 88
    assert lyrics >= 48
    spent, budget = audio * costs[0] + lyrics * costs[1], size * sum(costs) / 2
    assert spent <= max(budget, 88 * costs[0] + 48 * costs[1]) * (1 + 1e-9)


def test_the_side_that_errs_more_or_costs_less_gets_more_masks():
    even = allocate(4000, (10, 10), (10, 10), (1.0, 1.0), (1.0, 1.0))
    noisy = allocate(4000, (10, 10), (10, 10), (9.0, 1.0), (1.0, 1.0))
    dear = allocate(4000, (10, 10), (10, 10), (1.0, 1.0), (9.0, 1.0))
    assert even == (2000, 2000)
    assert noisy == (3000, 1000)
    assert dear[0] * 9 + dear[1] == pytest.approx(20000, rel=0.01)
    assert dear[1] == 4000
