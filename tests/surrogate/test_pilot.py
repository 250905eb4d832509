"""What a pilot recommends."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.models.batches import count_flops
from musiclime_torch.surrogate.blocks import draw_foldover
from musiclime_torch.surrogate.pilot import allocate, is_better_unfolded


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


def test_operations_are_counted():
    result, flops = count_flops(lambda: torch.ones(3, 4) @ torch.ones(4, 5))
    assert result.shape == (3, 5)
    assert flops == 2 * 3 * 4 * 5
    assert count_flops(lambda: 1)[1] == 1
