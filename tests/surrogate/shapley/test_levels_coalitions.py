"""Exact Shapley values against the definition: a mean over all orders in which the components may join."""

import itertools

import pytest
import torch
from hypothesis import given, settings, strategies as st
from pretended_cuda import pretended_cuda
from shapley_games import enumerate_masks

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.shapley.levels import count_freedom, is_supported, solve_exact


def join_in_every_order(masks: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    known = {tuple(mask): value for mask, value in zip(masks.tolist(), values.double(), strict=True)}
    d = masks.shape[1]
    gains = torch.zeros(d, values.shape[1], dtype=torch.float64)
    orders = list(itertools.permutations(range(d)))
    for order in orders:
        present = [False] * d
        for component in order:
            before = known[tuple(present)]
            present[component] = True
            gains[component] += known[tuple(present)] - before
    return gains / len(orders)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 6])
def test_exact_values_are_the_mean_gain_over_all_orders(d):
    masks = enumerate_masks(d)
    values = torch.randn(len(masks), 3, generator=torch.Generator().manual_seed(d), dtype=torch.float64)
    fit = solve_exact(masks, values)
    assert torch.allclose(fit.values.T, join_in_every_order(masks, values), atol=1e-12)
    assert not fit.errors.any()
    assert fit.freedom.isinf().all()


def test_exact_values_equal_shapiq():
    shapiq = pytest.importorskip("shapiq")
    masks = enumerate_masks(7)
    values = torch.rand(len(masks), generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def game(coalitions):
        return values[(torch.from_numpy(coalitions).long() << torch.arange(7)).sum(1)].numpy()

    oracle = shapiq.ExactComputer(game, 7)("SV").get_n_order_values(1)
    assert torch.allclose(solve_exact(masks, values[:, None]).values[0], torch.from_numpy(oracle), atol=1e-10)


@settings(deadline=None, max_examples=20)
@given(d=st.integers(1, 9), seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 1e6]))
def test_values_share_out_what_the_song_has_over_silence(d: int, seed: int, offset: float):
    masks = enumerate_masks(d)
    values = torch.randn(len(masks), 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + offset
    shared = solve_exact(masks, values).values.sum(1)
    assert torch.allclose(shared, values[-1] - values[0], rtol=0, atol=1e-8)


@settings(deadline=None, max_examples=20)
@given(d=st.integers(1, 8), seed=st.integers(0, 1000))
def test_order_of_rows_and_columns_and_idle_components_change_nothing(d: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    masks = enumerate_masks(d)
    values = torch.randn(len(masks), 2, generator=generator, dtype=torch.float64)
    plain = solve_exact(masks, values).values
    rows, columns = torch.randperm(len(masks), generator=generator), torch.randperm(d, generator=generator)
    shuffled = solve_exact(masks[rows][:, columns], values[rows]).values
    assert torch.allclose(shuffled, plain[:, columns], atol=1e-12)
    wider = enumerate_masks(d + 1)
    idle = solve_exact(wider, values.repeat(2, 1)).values
    assert torch.allclose(idle[:, :d], plain, atol=1e-12)
    assert idle[:, d].abs().max() < 1e-12


def test_an_additive_game_gives_its_terms_back():
    masks = enumerate_masks(10)
    terms = torch.randn(10, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(solve_exact(masks, masks.double() @ terms + 5).values.T, terms, atol=1e-12)


def test_missing_coalitions_are_refused():
    masks = enumerate_masks(3)
    with pytest.raises(InputError, match="7 masks and 7 values"):
        solve_exact(masks[1:], torch.zeros(7, 1))


def test_solving_asks_the_host_for_nothing():
    with pretended_cuda() as guard, torch.device("cuda"):
        masks, values = torch.ones(16, 4, dtype=torch.bool), torch.zeros(16, 2)
        guard.seen.clear()
        fit = solve_exact(masks, values)
    assert fit.values.device.type == "cuda"
    assert guard.seen == []


def test_designs_need_full_rank_and_no_row_that_decides_alone():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 3, generator=generator).double()
    sampled = torch.ones(40, dtype=torch.bool)
    assert is_supported(rows, 3, sampled)
    assert not is_supported(torch.cat([rows[:, :2], rows[:, :1]], 1), 3, sampled)
    # A single row has all there is of the last direction: its residual is zero whatever its output is.
    alone = rows.clone()
    alone[:, 2] = 0
    alone[7, 2] = 5
    assert not is_supported(alone, 3, sampled)
    # That is no fault where nothing was left to chance.
    sampled[7] = False
    assert is_supported(alone, 3, sampled)
    assert is_supported(rows[:, :0], 0, sampled)


def test_degrees_of_freedom_are_close_to_bell_and_mccaffreys():
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(60, 4, generator=generator).double()
    influence = rows @ torch.linalg.inv(rows.T @ rows)
    hat = influence @ rows.T
    leverage = hat.diagonal()[:, None]
    residual = torch.eye(60).double() - hat
    weights = influence.square() / (1 - leverage)
    exact = torch.stack(
        [(w * (1 - leverage[:, 0])).sum() ** 2 / (w[:, None] * residual.square() * w).sum() for w in weights.T]
    )
    assert torch.allclose(count_freedom(influence.square(), leverage), exact, rtol=0.05)
