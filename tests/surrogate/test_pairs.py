"""Interactions of joint designs against the definition over all masks, and against shapiq."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import polynomials as games
import pytest
import torch

from musiclime_torch.surrogate.blocks import draw_foldover, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.design import Design, draw_bernoulli, enumerate_masks
from musiclime_torch.surrogate.intervals import quantile
from musiclime_torch.surrogate.pairs import PairFit, list_pairs, solve_pairs
from musiclime_torch.surrogate.solver import solve


def look(terms, design: Design) -> torch.Tensor:
    return torch.sigmoid(games.join(terms, design.masks))


def find(terms, design: Design, saturate: bool = True) -> PairFit:
    values = look(terms, design) if saturate else games.join(terms, design.masks)
    return solve_pairs(design, values, solve(design, values, 0.0))


@pytest.mark.parametrize("d", [2, 3, 7, 12])
def test_all_masks_give_the_definition_of_the_banzhaf_interaction_index(d):
    terms = games.draw_terms(d, 0, (2,) if d == 2 else (2, 3), 12, 1)
    found = find(terms, enumerate_masks(d))
    assert torch.equal(found.columns, list_pairs(d))
    codes = torch.arange(2**d)
    masks = (codes[:, None] >> torch.arange(d)) & 1 == 1
    values = torch.sigmoid(games.join(terms, masks))[:, 0]
    for number, (i, j) in enumerate(combinations(range(d), 2)):
        rest = codes[~masks[:, i] & ~masks[:, j]]
        mixed = values[rest + 2**i + 2**j] - values[rest + 2**i] - values[rest + 2**j] + values[rest]
        assert found.coefficients.values[0, number] == pytest.approx(float(mixed.mean()), abs=1e-12)
    assert found.coefficients.errors.max() < 1e-9 or d > 2


def test_all_masks_equal_shapiq():
    shapiq = pytest.importorskip("shapiq")
    terms = games.draw_terms(8, 0, (2, 3), 20, 2)
    exact = shapiq.ExactComputer(
        n_players=8, game=lambda masks: torch.sigmoid(games.join(terms, torch.as_tensor(np.asarray(masks))))[:, 0].numpy()
    )
    index = exact("BII", order=2)
    design = enumerate_masks(8)
    found = find(terms, design)
    for (i, j), value in zip(found.columns.tolist(), found.coefficients.values[0].tolist(), strict=True):
        assert value == pytest.approx(index[(i, j)], abs=1e-10)
    values = look(terms, design)
    main = solve(design, values, 0.0).coefficients.values[0]
    banzhaf = exact("BV", order=1)
    assert torch.allclose(main, torch.tensor([banzhaf[(i,)] for i in range(8)]).double(), atol=1e-10)


def test_many_folded_rows_find_second_order_models_without_error():
    terms = games.draw_terms(9, 0, (2,), 15, 0)
    truth = find(terms, enumerate_masks(9), saturate=False).coefficients.values
    found = find(terms, draw_foldover(9, 240, 0), saturate=False)
    # Least squares spends a degree of freedom on each of the 36 pairs.
    assert (found.coefficients.freedom == 120 - 36 - 1).all()
    assert torch.allclose(found.coefficients.values, truth, atol=1e-9)
    assert found.coefficients.errors.max() < 1e-9
    by_moments = find(terms, draw_foldover(9, 40, 0), saturate=False)
    assert (by_moments.coefficients.freedom == 24 - 1).all()


@pytest.mark.parametrize("n", [40, 240])
@pytest.mark.parametrize("draw", [draw_foldover, draw_unfolded, draw_bernoulli])
def test_intervals_hold_the_truth(draw, n):
    terms = games.draw_terms(8, 0, (2, 3), 20, 4)
    truth, covered, misses = find(terms, enumerate_masks(8)).coefficients.values, [], []
    for seed in range(60):
        found = find(terms, draw(8, n, seed))
        half = quantile(found.coefficients.freedom, 0.95) * found.coefficients.errors
        covered.append(((found.coefficients.values - truth).abs() <= half).double().mean())
        misses.append(found.coefficients.values - truth)
    assert 0.9 <= torch.stack(covered).mean() <= 0.99
    assert torch.stack(misses).mean().abs() < 0.02


def test_what_pairs_explain_is_freed_of_noise():
    values = torch.randn(400, 1, generator=torch.Generator().manual_seed(0)).double()
    design = draw_bernoulli(15, 400, 0)
    found = solve_pairs(design, values, solve(design, values, 0.0))
    assert abs(float(found.explained[0])) < 0.1
    assert float((found.coefficients.values.square().sum() / 16 / values.var()).clamp_max(9)) > 0.15
    product = (2 * design.masks[:, :1].double() - 1) * (2 * design.masks[:, 1:2].double() - 1)
    exact = solve_pairs(design, product, solve(design, product, 0.0))
    assert float(exact.explained[0]) == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("kind", ["every mask", "a full cycle"])
def test_orthogonal_products_are_solved_as_any_are(kind):
    design = enumerate_masks(9) if kind == "every mask" else draw_kerdock(9, 4096, 0)
    values = look(games.draw_terms(9, 0, (1, 2, 3, 4), 40, 1), design)
    fit = solve(design, values, 0.0)
    for every_mask in (True, False):
        known, expected = (solve_pairs(one, values, fit, every_mask) for one in (design, replace(design, balanced=0)))
        assert torch.allclose(known.coefficients.values, expected.coefficients.values, atol=1e-12)
        assert torch.allclose(known.coefficients.errors, expected.coefficients.errors, rtol=1e-9)
        assert torch.equal(known.coefficients.freedom, expected.coefficients.freedom)
        assert torch.allclose(known.explained, expected.explained, rtol=1e-9)


def test_full_cycles_need_no_gram_matrix(monkeypatch):
    monkeypatch.setattr(torch, "cholesky_solve", None)
    design = draw_kerdock(9, 4096, 0)
    values = look(games.draw_terms(9, 0, (2, 3), 20, 1), design)
    solve_pairs(design, values, solve(design, values, 0.0))
    part = design.first(2048)
    with pytest.raises(TypeError):
        solve_pairs(part, values[:2048], solve(part, values[:2048], 0.0))
