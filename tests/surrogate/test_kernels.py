"""LIME's kernel against its own formula, and weights that leave too little."""

import numpy as np
import pytest
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.blocks import draw_foldover
from musiclime_torch.surrogate.design import draw_bernoulli
from musiclime_torch.surrogate.sampling import PAPER_WIDTH, weigh, weigh_by_proximity


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
