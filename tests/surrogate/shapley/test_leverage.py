"""Leverage sampling: its designs, regression against a constrained solve written out, and what its intervals cover."""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pretended_cuda import pretended_cuda
from shapley_games import covers, ends, enumerate_masks, multiply, saturate

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.shapley.levels import solve_exact
from musiclime_torch.surrogate.shapley.leverage import LeverageDesign, allocate, count_pairs, draw_leverage, solve_leverage


def least_budget(d: int) -> int:
    return 2 * min(d + 3, 2 ** (d - 1) - 1)


@settings(deadline=None, max_examples=50)
@given(d=st.integers(1, 40), extra=st.integers(0, 300), seed=st.integers(0, 2**31))
def test_designs_are_paired_distinct_and_spread_over_sizes(d: int, extra: int, seed: int):
    n = least_budget(d) + extra
    design = draw_leverage(d, n, seed)
    masks = design.masks
    assert torch.equal(masks[0::2], ~masks[1::2])
    assert design.n_samples == min(n + n % 2, 2**d - 2)
    assert len(set(map(tuple, masks.tolist()))) == design.n_samples
    sizes = masks[0::2].sum(1)
    counts = allocate(d, design.n_samples // 2)
    for size, count in counts.items():
        drawn = torch.minimum(sizes, d - sizes) == size
        assert drawn.sum() == count
        assert torch.allclose(design.rates[0::2][drawn] * count_pairs(d, size), torch.tensor(float(count)).double())
    free = [count / (1 if 2 * size == d else 2) for size, count in counts.items() if count < count_pairs(d, size)]
    assert not free or max(free) - min(free) <= 1


@pytest.mark.parametrize("d", range(1, 9))
def test_a_budget_for_all_coalitions_gives_exact_values(d):
    design = draw_leverage(d, 2**d, 0)
    masks = enumerate_masks(d)
    values = torch.randn(2**d, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(d))
    rows = (design.masks.long() << torch.arange(d)).sum(1)
    fit = solve_leverage(design, values[rows], values[-1], values[0])
    assert torch.allclose(fit.values, solve_exact(masks, values).values, atol=1e-10)
    assert not fit.errors.any()
    assert fit.freedom.isinf().all()


def test_coefficients_equal_the_constrained_problem_written_out():
    """KernelSHAP's own statement: weighted squares over both rows of each pair, with a Lagrange multiplier for the sum."""
    d = 9
    game, _ = multiply(d, {1: 5, 3: 20}, 0)
    design = draw_leverage(d, 80, 1)
    song, empty = ends(game, d)
    rows = design.masks.double().numpy()
    weights = []
    for mask, rate in zip(design.masks, design.rates.tolist(), strict=True):
        size = int(mask.sum())
        weights.append((d - 1) / (math.comb(d, size) * size * (d - size)) / rate)
    gram, targets = rows.T @ (np.array(weights)[:, None] * rows), (game(design.masks) - empty).numpy()
    moments = rows.T @ (np.array(weights)[:, None] * targets)
    bordered = np.block([[gram, np.ones((d, 1))], [np.ones((1, d)), np.zeros((1, 1))]])
    expected = np.linalg.solve(bordered, np.vstack([moments, (song - empty).numpy()]))[:d]
    fit = solve_leverage(design, game(design.masks), song, empty)
    assert np.allclose(fit.values.numpy().T, expected, atol=1e-10)


def test_standard_errors_equal_a_loop_over_pairs():
    d = 7
    game, _ = multiply(d, {1: 5, 3: 20}, 0)
    design = draw_leverage(d, 50, 1)
    song, empty = ends(game, d)
    fit = solve_leverage(design, game(design.masks), song, empty)
    pairs = []
    for row in range(0, design.n_samples, 2):
        mask = design.masks[row].double()
        half = (game(design.masks[row]) - game(design.masks[row + 1])) / 2
        residual = half - (mask - 0.5) @ fit.values.T
        pairs.append((design.weights[row], mask - mask.mean(), residual, design.rates[row]))
    bread = torch.linalg.pinv(sum(weight * torch.outer(x, x) for weight, x, _, _ in pairs))
    meat = torch.zeros(d, 3, dtype=torch.float64)
    for weight, x, residual, rate in pairs:
        influence = weight * bread @ x
        meat += (influence[:, None] * residual / (1 - influence @ x).clamp_min(1e-2).sqrt()) ** 2 * (1 - rate)
    assert torch.allclose(fit.errors.T, meat.sqrt(), rtol=1e-8)


@settings(deadline=None, max_examples=25)
@given(d=st.integers(1, 30), extra=st.integers(0, 60), seed=st.integers(0, 1000))
def test_models_of_second_order_are_met_exactly_and_known_to_be(d: int, extra: int, seed: int):
    game, truth = multiply(d, {1: d, 2: 3 * d if d > 1 else 0}, seed)
    design = draw_leverage(d, least_budget(d) + extra, seed)
    fit = solve_leverage(design, game(design.masks), *ends(game, d))
    assert torch.allclose(fit.values, truth, atol=1e-9)
    assert fit.errors.max() < 1e-9


@settings(deadline=None, max_examples=25)
@given(d=st.integers(1, 30), seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_values_share_out_what_the_song_has_over_silence(d: int, seed: int, scale: float):
    design = draw_leverage(d, least_budget(d) + 20, seed)
    values = scale * torch.randn(design.n_samples + 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    fit = solve_leverage(design, values[2:], values[0], values[1])
    assert torch.allclose(fit.values.sum(1), values[0] - values[1], rtol=0, atol=1e-10 * max(scale, 1))
    assert fit.errors.isfinite().all()
    assert (fit.freedom > 0).all()


def test_permuted_components_permute_the_fit():
    game, _ = saturate(9, 0)
    design = draw_leverage(9, 60, 0)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    other = LeverageDesign(design.masks[:, order], design.weights, design.rates)
    outputs, both = game(design.masks), ends(game, 9)
    plain, permuted = solve_leverage(design, outputs, *both), solve_leverage(other, outputs, *both)
    assert torch.allclose(plain.values[:, order], permuted.values, atol=1e-12)
    assert torch.allclose(plain.errors[:, order], permuted.errors, atol=1e-12)
    assert torch.allclose(plain.freedom[:, order], permuted.freedom)


def test_equal_seeds_give_equal_masks_and_global_random_state_stays():
    before = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())
    assert torch.equal(draw_leverage(20, 100, 3).masks, draw_leverage(20, 100, 3).masks)
    assert not torch.equal(draw_leverage(20, 100, 3).masks, draw_leverage(20, 100, 4).masks)
    assert before[0] == random.getstate()
    assert before[1] == np.random.get_state()[1].tobytes()
    assert torch.equal(before[2], torch.get_rng_state())


@pytest.mark.parametrize(("d", "n", "least"), [(2, 0, 2), (3, 4, 6), (30, 64, 66)])
def test_too_few_coalitions_name_the_number_needed(d, n, least):
    with pytest.raises(InputError, match=f"{n} coalitions .* at least {least}"):
        draw_leverage(d, n, 0)
    assert draw_leverage(d, least, 0).n_samples == least


def test_nothing_to_explain_is_refused():
    with pytest.raises(InputError, match="0 components"):
        draw_leverage(0, 10, 0)


def test_solving_asks_the_host_for_nothing():
    with pretended_cuda() as guard, torch.device("cuda"):
        weights = torch.ones(60, dtype=torch.float64)
        design = LeverageDesign(torch.ones(60, 12, dtype=torch.bool), weights, weights)
        values = torch.zeros(60, 2), torch.zeros(2), torch.zeros(2)
        guard.seen.clear()
        fit = solve_leverage(design, *values)
    assert fit.errors.shape == fit.freedom.shape == (2, 12)
    assert fit.values.device.type == "cuda"
    assert guard.seen == []


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 100, 300])
@pytest.mark.parametrize("kind", ["products", "saturating", "wide"])
def test_intervals_cover_the_truth_as_often_as_they_say(kind, n):
    d = 30 if kind == "wide" else 12
    game, truth = saturate(d, 1) if kind == "saturating" else multiply(d, {1: d, 2: d, 3: 3 * d}, 0)
    both, covered = ends(game, d), []
    for seed in range(150):
        design = draw_leverage(d, n + (40 if kind == "wide" else 0), seed)
        covered.append(covers(solve_leverage(design, game(design.masks), *both), truth))
    assert 0.92 <= torch.stack(covered).double().mean() <= 0.98


@pytest.mark.parametrize("d", [1029, 1030, 1031, 1100])
def test_any_number_of_components_is_drawn_and_solved(d):
    """From 1,030 on, C(d, d / 2) is more than the largest float."""
    slopes = torch.randn(d, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(d))
    design = draw_leverage(d, 2 * math.ceil(1.05 * d), 0)
    fit = solve_leverage(design, design.masks.double() @ slopes, slopes.sum(0), torch.zeros(1))
    torch.testing.assert_close(fit.values, slopes.T)
    assert fit.errors.isfinite().all()


def test_the_shares_of_five_thousand_components_are_equal_too():
    counts = allocate(5000, 5500)
    assert sum(counts.values()) == 5500
    assert set(counts.values()) == {1, 2, 3}


@pytest.mark.parametrize("d", [85, 150, 400])
def test_the_least_budget_named_is_enough(d):
    """Leverages are (d - 1) / pairs on average: with a fixed number of spare pairs no draw would do at a large d."""
    with pytest.raises(InputError, match=r"n_samples must be at least \d+") as refused:
        draw_leverage(d, d, 0)
    least = int(str(refused.value).split()[-1].rstrip("."))
    assert draw_leverage(d, least, 0).n_samples == least


def test_pairs_beyond_any_float_are_infinitely_many_and_none_else():
    assert count_pairs(1000, 500) == math.comb(1000, 500) // 2
    assert count_pairs(160_000, 2) == math.comb(160_000, 2)
    assert count_pairs(160_000, 70_000) == math.inf
    assert sum(allocate(2000, 5000).values()) == 5000
