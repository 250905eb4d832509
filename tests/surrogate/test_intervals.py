"""Quantiles, and discoveries against a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy import stats
from scipy.stats import binomtest, rankdata, spearmanr, t as student

from musiclime_torch.surrogate import intervals
from musiclime_torch.surrogate.intervals import bound_share, discover, quantile, rank, rank_correlation


def test_quantiles_are_students():
    freedom = torch.tensor([[1.0, 4.0], [30.0, float("inf")]])
    expected = [[stats.t.ppf(0.975, 1), stats.t.ppf(0.975, 4)], [stats.t.ppf(0.975, 30), stats.norm.ppf(0.975)]]
    assert torch.allclose(quantile(freedom, 0.95), torch.tensor(expected).double(), rtol=1e-6)
    assert quantile(torch.tensor(0.0), 0.95) == float("inf")
    assert quantile(torch.tensor(1e12), 0.5).item() == pytest.approx(stats.norm.ppf(0.75), rel=1e-5)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("effect", [0.0, 3.0])
def test_discoveries_among_many_are_those_of_all_chances_sorted(rate: float, effect: float):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 4, 5000, generator=generator)
    values[:, 1:, :200] += effect
    values[0, 0] = 9.0
    values[0, 1, :50] = values[0, 1, 0]  # ties
    freedom = torch.randint(0, 40, values.shape, generator=generator).float()
    chances = torch.as_tensor(2 * stats.t.sf(values.abs().double().numpy(), freedom.clamp_min(1).numpy()))
    chances[freedom < 1] = 1.0
    ordered = chances.sort(-1).values
    last = torch.where(ordered <= rate * torch.arange(1, 5001) / 5000, torch.arange(1, 5001), 0).amax(-1)
    bound = ordered.gather(-1, (last - 1).clamp_min(0)[..., None])
    expected = (chances <= bound) & (last > 0)[..., None]
    assert torch.equal(discover(values, torch.ones_like(values), freedom, rate), expected)


@settings(deadline=None, max_examples=50)
@given(items=st.integers(1, 40), freedom=st.sampled_from([0.5, 1.0, 5.0, 100.0]), seed=st.integers(0, 999))
def test_discoveries_are_those_of_benjamini_and_hochberg(items: int, freedom: float, seed: int):
    generator = torch.Generator().manual_seed(seed)
    values, errors = 3 * torch.randn(2, items, generator=generator), torch.rand(2, items, generator=generator) + 0.1
    found = discover(values, errors, torch.full((2, items), freedom), 0.1)
    for row in range(2):
        if freedom < 1:
            chance = [1.0] * items
        else:
            chance = [2 * stats.t.sf(abs(v / e), freedom) for v, e in zip(values[row], errors[row], strict=True)]
        ranked = sorted(chance)
        last = max((rank for rank, p in enumerate(ranked, 1) if p <= 0.1 * rank / items), default=0)
        expected = [p <= ranked[last - 1] if last else False for p in chance]
        assert found[row].tolist() == expected


def test_a_value_without_error_is_found_unless_it_is_zero():
    found = discover(torch.tensor([0.0, 1e-9, -2.0]), torch.zeros(3), torch.full((3,), 5.0), 0.05)
    assert found.tolist() == [False, True, True]
    assert discover(torch.zeros(2, 0), torch.zeros(2, 0), torch.zeros(2, 0), 0.05).shape == (2, 0)


def test_hardly_anything_is_found_where_there_is_nothing():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2000, 140, generator=generator)
    found = discover(values, torch.ones_like(values), torch.full_like(values, 1e6), 0.05)
    alone = (values.abs() > 1.96).float().sum(1).mean()
    assert 6 < alone < 8
    assert 0.03 < found.any(1).float().mean() < 0.07


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


def test_wilsons_interval_and_spearmans_correlation_are_scipys():
    for hits in range(8):
        assert bound_share(hits, 7, 0.95) == pytest.approx(
            tuple(binomtest(hits, 7).proportion_ci(method="wilson")), abs=1e-6
        )
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randint(4, (2, 30), generator=generator).double()
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert rank_correlation(one, torch.ones(30)) == 0


@pytest.mark.parametrize("items", [1, 700, 2**18])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("freedom", ["equal", "few", "mixed", "none"])
def test_discoveries_are_those_of_sorting_all_chances(items, scale, freedom, monkeypatch):
    """Benjamini and Hochberg's step up as it is written, whether rows are looked at one by one or together."""
    monkeypatch.setattr(intervals, "ITEMS", items)
    generator = torch.Generator().manual_seed(0)
    values = (1 + scale * torch.rand(4, 1, generator=generator)) * torch.randn(4, 300, generator=generator)
    errors = torch.where(torch.rand(4, 300, generator=generator) < 0.02, 0.0, 1.0)
    drawn = torch.rand(4, 300, generator=generator) * 30
    degrees = {"equal": torch.full_like(drawn, 40.0), "few": torch.full_like(drawn, 2.0), "mixed": drawn, "none": 0 * drawn}[
        freedom
    ]
    passed = intervals.discover(values, errors, degrees, 0.1)
    for row in range(4):
        ratio = (values[row].double() / errors[row].clamp_min(1e-300)).abs()
        chances = np.where(degrees[row] < 1, 1.0, 2 * student.sf(ratio.numpy(), degrees[row].double().clamp_min(1).numpy()))
        order = np.sort(chances)
        most = max((k for k in range(1, 301) if order[k - 1] <= 0.1 * k / 300), default=0)
        assert passed[row].tolist() == (chances <= 0.1 * most / 300).tolist() if most else not passed[row].any()
