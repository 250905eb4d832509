"""The closed form against slow re-implementations: numpy's lstsq, scikit-learn's ridge, sums over pairs in a loop."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn.linear_model import Ridge

from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.design import Design, draw_bernoulli
from musiclime_torch.surrogate.fit import count_freedom, enlarge
from musiclime_torch.surrogate.kerdock import share_third_order, spare
from musiclime_torch.surrogate.solver import CHUNK, solve, trace_errors


def noisy_outputs(design: Design, classes: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    slopes = torch.randn(design.masks.shape[1], classes, generator=generator)
    return design.masks.float() @ slopes + torch.randn(design.n_samples, classes, generator=generator) + 3


def weighted(design: Design, seed: int) -> Design:
    weights = 0.2 + torch.rand(design.n_samples, generator=torch.Generator().manual_seed(seed))
    return replace(design, weights=weights, uniform=False)


@pytest.mark.parametrize("ridge", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("draw", [draw_foldover, draw_bernoulli])
def test_coefficients_intercept_and_fidelity_equal_scikit_learn(draw, ridge):
    design = weighted(draw(30, 2 * CHUNK + 100, 0), 1)
    outputs = noisy_outputs(design, 4, 2)
    fit = solve(design, outputs, ridge)
    x, y, w = design.masks.double().numpy(), outputs.double().numpy(), design.weights.double().numpy()
    oracle = Ridge(alpha=max(ridge, 1e-12)).fit(x, y, sample_weight=w)
    assert np.allclose(fit.coefficients.values.numpy(), oracle.coef_, atol=1e-8)
    assert np.allclose(fit.intercept.numpy(), oracle.intercept_, atol=1e-8)
    misses, mean = y - oracle.predict(x), np.average(y, axis=0, weights=w)
    assert np.allclose(fit.fidelity.numpy(), 1 - (w @ misses**2) / (w @ (y - mean) ** 2), atol=1e-8)


@pytest.mark.parametrize("weigh", [False, True])
def test_standard_errors_equal_a_loop_over_pairs(weigh):
    design = draw_foldover(11, 3 * CHUNK, 0)
    design = weighted(design, 3) if weigh else design
    outputs = noisy_outputs(design, 2, 4).double()
    fit = solve(design, outputs, 0.0)
    x = np.c_[np.ones(design.n_samples), design.masks.double().numpy()]
    w = design.weights.double().numpy()
    bread = np.linalg.inv(x.T @ (w[:, None] * x))
    slopes = bread @ x.T @ (w[:, None] * outputs.numpy())
    for column in range(2):
        contributions = (w * (outputs[:, column].numpy() - x @ slopes[:, column]))[:, None] * x
        meat = np.zeros((12, 12))
        for pair in contributions.reshape(-1, 2, 12):
            total = pair.sum(0)
            meat += np.outer(total, total)
        units = design.n_samples // 2
        expected = np.sqrt(np.diag(bread @ meat @ bread)[1:] * units / (units - 11))
        assert np.allclose(fit.coefficients.errors[column].numpy(), expected, rtol=1e-8)
    assert (fit.coefficients.freedom == design.n_samples // 2 - 11).all()


def test_standard_errors_of_independent_rows_are_hc1():
    design = draw_bernoulli(7, 300, 0)
    outputs = noisy_outputs(design, 1, 1).double()
    fit = solve(design, outputs, 0.0)
    x = np.c_[np.ones(300), design.masks.double().numpy()]
    bread = np.linalg.inv(x.T @ x)
    residuals = outputs[:, 0].numpy() - x @ bread @ x.T @ outputs[:, 0].numpy()
    expected = np.sqrt(np.diag(bread @ (x.T * residuals**2) @ x @ bread)[1:] * 300 / (300 - 8))
    assert np.allclose(fit.coefficients.errors[0].numpy(), expected, rtol=1e-8)


@settings(deadline=None, max_examples=20)
@given(d=st.integers(1, 40), seed=st.integers(0, 1000))
def test_an_additive_model_gives_its_coefficients_back_exactly(d: int, seed: int):
    design = draw_foldover(d, 1, seed)
    slopes = torch.randn(d, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    fit = solve(design, design.masks.double() @ slopes + 7, 0.0)
    assert torch.allclose(fit.coefficients.values, slopes.T, atol=1e-10)
    assert torch.allclose(fit.intercept, torch.tensor(7.0, dtype=torch.float64), atol=1e-9)
    assert fit.coefficients.errors.max() < 1e-9


def test_foldover_is_exact_on_second_order_models_and_says_so():
    design = draw_foldover(20, 1, 0)
    z = design.masks.double() - 0.5
    fit = solve(design, (2 * z[:, 0] + 5 * z[:, 1] * z[:, 2])[:, None], 0.0)
    expected = torch.zeros(20, dtype=torch.float64)
    expected[0] = 2
    assert torch.allclose(fit.coefficients.values[0], expected, atol=1e-12)
    assert fit.coefficients.errors.max() < 1e-12
    assert fit.fidelity[0] < 0.6


def test_permuted_components_permute_the_fit():
    design = draw_bernoulli(12, 200, 0)
    outputs = noisy_outputs(design, 2, 0)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    permuted = replace(design, masks=design.masks[:, order])
    plain, other = solve(design, outputs, 0.0), solve(permuted, outputs, 0.0)
    assert torch.allclose(plain.coefficients.values[:, order], other.coefficients.values, rtol=1e-10)
    assert torch.allclose(plain.coefficients.errors[:, order], other.coefficients.errors, rtol=1e-10)


def test_a_large_offset_costs_no_accuracy():
    design = draw_foldover(10, 1, 0)
    outputs = design.masks.double()[:, :1] + 1e8
    assert torch.allclose(
        solve(design, outputs, 0.0).coefficients.values[:, 0], torch.ones(1, dtype=torch.float64), atol=1e-6
    )


def test_dependent_columns_are_flagged_not_fitted():
    design = draw_bernoulli(6, 100, 0)
    design.masks[:, 4] = design.masks[:, 1]
    assert solve(design, noisy_outputs(design, 1, 0), 0.0).dependent.tolist()[4]
    constant = draw_bernoulli(6, 100, 0)
    constant.masks[:, 2] = True
    assert solve(constant, noisy_outputs(constant, 1, 0), 0.0).dependent.tolist()[2]
    assert not solve(draw_bernoulli(6, 100, 0), noisy_outputs(design, 1, 0), 0.0).dependent.any()


def test_duplicated_columns_share_their_weight_under_a_ridge():
    design = draw_bernoulli(4, 200, 0)
    design.masks[:, 3] = design.masks[:, 0]
    fit = solve(design, design.masks[:, :1].double(), 1e-3)
    assert not fit.dependent.any()
    assert math.isclose(fit.coefficients.values[0, 0].item(), fit.coefficients.values[0, 3].item(), rel_tol=1e-6)
    assert fit.coefficients.values[0, 0].item() == pytest.approx(0.5, abs=1e-3)


def test_outputs_that_never_vary_are_explained_wholly_by_the_intercept():
    design = draw_foldover(5, 1, 0)
    fit = solve(design, torch.full((design.n_samples, 1), 2.0), 0.0)
    assert fit.fidelity.tolist() == [1.0]
    assert fit.intercept.tolist() == pytest.approx([2.0])


def test_intervals_cover_the_truth_as_often_as_they_say():
    """2,000 intervals of a third-order model over 200 seeds: 95% nominal, within the 92-98% asked for."""
    from scipy.special import stdtrit

    generator = torch.Generator().manual_seed(0)
    slopes, triples = torch.randn(10, generator=generator).double(), torch.randint(10, (12, 3), generator=generator)
    covered = []
    for seed in range(200):
        design = draw_foldover(10, 96, seed)
        z = 2 * design.masks.double() - 1
        outputs = z @ slopes / 2 + (z[:, triples[:, 0]] * z[:, triples[:, 1]] * z[:, triples[:, 2]]).sum(1)
        truth = slopes.clone()
        for a, b, c in triples.tolist():
            # A factor squared is 1: what is left of a triple with a repeated index is a main effect.
            for left in ([c] if a == b else []) + ([b] if a == c != b else []) + ([a] if b == c != a else []):
                truth[left] += 2
        fit = solve(design, outputs[:, None], 0.0)
        half = fit.coefficients.errors[0] * float(stdtrit(count_freedom(design), 0.975))
        covered.append((fit.coefficients.values[0] - truth).abs() <= half)
    assert 0.92 <= torch.stack(covered).double().mean() <= 0.98


@pytest.mark.parametrize("weigh", [False, True])
def test_scores_add_up_to_the_standard_errors(weigh):
    design = draw_half_folded(draw_foldover(9, 48, 0), 80, 0)
    design = weighted(design, 3) if weigh else design
    outputs = noisy_outputs(design, 3, 4)
    fit = solve(design, outputs, 0.0)
    for column in range(3):
        contributions = trace_errors(design, outputs[:, column], 0.0)
        assert contributions.shape == (design.units, 9)
        assert torch.allclose(contributions.square().sum(0).sqrt(), fit.coefficients.errors[column], rtol=1e-9)


def test_pairs_and_rows_that_stand_alone_are_solved_as_one():
    design = draw_half_folded(draw_foldover(9, 48, 0), 80, 0)
    outputs = noisy_outputs(design, 2, 4).double()
    x = np.c_[np.ones(design.n_samples), design.masks.double().numpy()]
    slopes = np.linalg.lstsq(x, outputs.numpy(), rcond=None)[0]
    fit = solve(design, outputs, 0.0)
    assert np.allclose(fit.coefficients.values.numpy(), slopes[1:].T, atol=1e-9)
    contributions = x * (outputs.numpy() - x @ slopes)[:, [0]]
    bread = np.linalg.inv(x.T @ x)
    n, folded = design.n_samples, design.folded
    units = [contributions[i : i + 2].sum(0) * (n / (n - 18)) ** 0.5 for i in range(0, folded, 2)]
    units += [contributions[i] * (n / (n - 10)) ** 0.5 for i in range(folded, n)]
    meat = sum(np.outer(unit, unit) for unit in units)
    assert np.allclose(fit.coefficients.errors[0].numpy(), np.sqrt(np.diag(bread @ meat @ bread))[1:], rtol=1e-8)


def test_unfolded_blocks_are_better_on_odd_terms_and_worse_on_even_ones():
    def error(draw, power):
        misses = []
        for seed in range(60):
            design = draw(12, 128, seed)
            z = 2 * design.masks.double() - 1
            y = sum(z[:, i] * z[:, i + 1] * (z[:, i + 2] if power == 3 else 1) for i in range(10))
            misses.append(solve(design, y[:, None], 0.0).coefficients.values.square().mean())
        return float(torch.stack(misses).mean())

    assert error(draw_foldover, 2) < 1e-20 < error(draw_unfolded, 2)
    assert 0.3 < error(draw_unfolded, 3) / error(draw_foldover, 3) < 0.8


def test_the_smallest_designs_have_no_freedom_and_say_so():
    pairs, rows = draw_foldover(4, 1, 0), draw_bernoulli(4, 6, 0)
    assert count_freedom(pairs) == pairs.n_samples // 2 - 4
    assert count_freedom(rows) == 6 - 4 - 1
    half = draw_half_folded(draw_foldover(4, 1, 0), pairs.n_samples + 1, 0)
    assert count_freedom(half) == half.units - 4 - 1
    tight = replace(pairs, masks=pairs.masks[:8], weights=pairs.weights[:8], folded=8)
    assert solve(tight, noisy_outputs(tight, 1, 0), 1e-6).coefficients.freedom.unique().tolist() == [0]
    # A unit's leverage is at most all of it: half a row is left to divide by.
    assert enlarge(tight, True) == 8 / 0.5
    assert enlarge(rows, False) == 6 / 1
    assert enlarge(pairs, True) == pairs.n_samples / (pairs.n_samples - 8)


def test_outputs_that_hardly_vary_are_explained_no_better_than_others():
    design = draw_bernoulli(5, 40, 0)
    outputs = noisy_outputs(design, 1, 0).double()
    small = solve(design, outputs * 1e-6, 0.0)
    assert torch.allclose(small.fidelity, solve(design, outputs, 0.0).fidelity, atol=1e-9)
    assert small.fidelity < 0.99


def test_what_third_order_terms_leave_is_measured_beside_main_effects_of_any_size():
    design = draw_kerdock(24, 1024, 0)
    signs = 2 * design.masks.double() - 1
    third = (signs[:, 0:22:3] * signs[:, 1:23:3] * signs[:, 2:24:3]).sum(1, keepdim=True)
    fifth = torch.stack([signs[:, start : start + 5].prod(1) for start in range(0, 16, 2)], 1).sum(1, keepdim=True)
    outputs = third + fifth + 7 * signs[:, :1]
    fit, apart = solve(design, outputs, 0.0), solve(replace(design, cycle=0), outputs, 0.0)
    first, second = outputs[0::2], outputs[1::2]
    odd = (first - second) / 2 - signs[0::2] @ fit.coefficients.values.T / 2
    share = share_third_order(signs[0::2], odd)
    assert 0.02 < float(share) < 0.98
    left = (fit.coefficients.errors / apart.coefficients.errors).square()
    assert left.mean() == pytest.approx(float(spare(design.third_order, share)), rel=1e-6)


def test_blocks_of_a_cycle_err_by_what_third_order_terms_leave():
    """After a quarter of a cycle third-order terms make 1 − 7/31 of the variance that they make in blocks drawn apart."""
    design = draw_kerdock(24, 1024, 0)
    signs = 2 * design.masks.double() - 1
    third = signs[:, 0:22:3] * signs[:, 1:23:3] * signs[:, 2:24:3]
    outputs = third.sum(1, keepdim=True) + signs[:, :1]
    fit, apart = solve(design, outputs, 0.0), solve(replace(design, cycle=0), outputs, 0.0)
    left = (fit.coefficients.errors / apart.coefficients.errors).square()
    assert torch.allclose(left, left.mean().expand_as(left))
    assert 1 - 7 / 31 - 1e-9 <= left.mean() < 0.9
    contributions = trace_errors(design, outputs[:, 0], 0.0)
    assert torch.allclose(contributions.square().sum(0).sqrt(), fit.coefficients.errors[0], rtol=1e-9)
