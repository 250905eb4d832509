"""Ranks and their correlation against scipy's; the checks and the monitor use them."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import rankdata, spearmanr

from musiclime_torch.surrogate.intervals import rank, rank_correlation


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.integers(-4, 4), min_size=1, max_size=30))
def test_ranks_equal_scipys_with_ties(values: list[int]):
    assert rank(torch.tensor(values).double()).tolist() == rankdata(values).tolist()


def test_correlation_equals_scipys_and_is_zero_where_nothing_can_be_ranked():
    first, second = torch.randn(2, 40, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rank_correlation(first, -first) == -1
    assert rank_correlation(first, torch.ones(40)) == 0
    assert rank_correlation(first[:1], first[:1]) == 0
