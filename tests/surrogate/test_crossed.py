"""The two-sided closed form against least squares on all pairs of rows, and its errors against loops over sampling units."""

from dataclasses import replace
from itertools import product

import numpy as np
import polynomials as games
import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.surrogate import sides
from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.crossed import solve_crossed
from musiclime_torch.surrogate.crossed_errors import split_errors, trace_crossed_errors
from musiclime_torch.surrogate.design import CrossedDesign, Design, draw_bernoulli, enumerate_masks
from musiclime_torch.surrogate.intervals import quantile

KINDS = {
    "folded": lambda d, n, seed: draw_foldover(d, n, seed),
    "unfolded": lambda d, n, seed: draw_unfolded(d, n, seed),
    "half folded": lambda d, n, seed: draw_half_folded(draw_foldover(d, 1, seed), n, seed),
    "independent": lambda d, n, seed: draw_bernoulli(d, n, seed),
    "weighted pairs": lambda d, n, seed: weigh(draw_foldover(d, n, seed), seed),
}


def weigh(design: Design, seed: int) -> Design:
    weights = 0.3 + torch.rand(design.n_samples, generator=torch.Generator().manual_seed(seed))
    return replace(design, weights=weights, uniform=False)


def draw(kind: str, da: int, dt: int, na: int, nt: int, seed: int = 0) -> CrossedDesign:
    return CrossedDesign(KINDS[kind](da, na, seed), KINDS[kind](dt, nt, seed + 1))


def noise(design: CrossedDesign, classes: int = 2) -> torch.Tensor:
    shape = (classes, design.audio.n_samples, design.lyrics.n_samples)
    rows = torch.randn(shape[:2], generator=torch.Generator().manual_seed(5))[:, :, None]
    return torch.randn(shape, generator=torch.Generator().manual_seed(6)).double() + rows + 3


def expand(masks: torch.Tensor, weights: torch.Tensor) -> np.ndarray:
    """A constant and the masks less their weighted mean."""
    share = (weights.double() / weights.double().sum()).numpy()
    coded = masks.double().numpy() - 0.5
    return np.c_[np.ones(len(coded)), coded - share @ coded]


def units(design: Design) -> list[list[int]]:
    pairs = [[row, row + 1] for row in range(0, design.folded, 2)]
    return pairs + [[row] for row in range(design.folded, design.n_samples)]


@pytest.mark.parametrize("kind", KINDS)
def test_coefficients_are_least_squares_of_all_products_on_all_pairs_of_rows(kind):
    design = draw(kind, 4, 6, 40, 48)
    values = noise(design)
    fit = solve_crossed(design, values)
    xa, xt = (expand(side.masks, side.weights) for side in (design.audio, design.lyrics))
    rows = np.einsum("ni,mj->nmij", xa, xt).reshape(len(xa) * len(xt), -1)
    root = np.sqrt(np.outer(design.audio.weights.double(), design.lyrics.weights.double())).reshape(-1, 1)
    for number in range(2):
        target = values[number].reshape(-1, 1).numpy()
        table = np.linalg.lstsq(root * rows, root * target, rcond=None)[0].reshape(5, 7)
        assert np.allclose(fit.coefficients.values[number].numpy(), table, atol=1e-9)
        additive = np.c_[rows.reshape(len(xa), len(xt), 5, 7)[:, :, :, 0].reshape(-1, 5), np.tile(xt[:, 1:], (len(xa), 1))]
        slopes = np.linalg.lstsq(root * additive, root * target, rcond=None)[0]
        left = ((root * (target - additive @ slopes)) ** 2).sum()
        mean = (root**2 * target).sum() / (root**2).sum()
        assert fit.fidelity[number] == pytest.approx(1 - left / (root**2 * (target - mean) ** 2).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_standard_errors_are_clustered_both_ways_as_loops_over_units_say(kind):
    design = draw(kind, 3, 4, 16, 24)
    values = noise(design, 1)
    fit = solve_crossed(design, values)
    sides = (design.audio, design.lyrics)
    bases = [expand(side.masks, side.weights) for side in sides]
    shares = [(side.weights.double() / side.weights.double().sum()).numpy() for side in sides]
    pulls = [np.linalg.inv(x.T @ (w[:, None] * x)) @ (x.T * w) for x, w in zip(bases, shares, strict=True)]
    y = values[0].numpy()
    table = pulls[0] @ y @ pulls[1].T
    cells = y - bases[0] @ (pulls[0] @ y) - (y @ pulls[1].T) @ bases[1].T + bases[0] @ table @ bases[1].T
    residuals = y - bases[0] @ table @ bases[1].T

    def slack(side: Design, unit: list[int], term: int) -> float:
        n, d = side.n_samples, side.masks.shape[1]
        if len(unit) == 2:
            return n / (n - 2) if term == 0 else n / (n - 2 * d)
        return n / (n - d - 1)

    expected = np.zeros((4, 5))
    for i, j in np.ndindex(4, 5):
        contribution = pulls[0][i][:, None] * residuals * pulls[1][j]
        own = pulls[0][i][:, None] * cells * pulls[1][j]
        rows = sum(contribution[unit].sum() ** 2 * slack(sides[0], unit, i) for unit in units(sides[0]))
        columns = sum(contribution[:, unit].sum() ** 2 * slack(sides[1], unit, j) for unit in units(sides[1]))
        both = sum(
            own[np.ix_(one, two)].sum() ** 2 * slack(sides[0], one, i) * slack(sides[1], two, j)
            for one, two in product(units(sides[0]), units(sides[1]))
        )
        expected[i, j] = max(rows + columns - both, rows, columns)
    assert np.allclose(fit.coefficients.errors[0].numpy() ** 2, expected, rtol=1e-7)


def test_second_order_models_have_no_error_at_all_under_folded_masks():
    design = draw("folded", 6, 9, 30, 40)
    terms = games.draw_terms(6, 9, (2,), 30, 0)
    fit = solve_crossed(design, games.cross(terms, design.audio.masks, design.lyrics.masks))
    whole = CrossedDesign(enumerate_masks(6), enumerate_masks(9))
    truth = solve_crossed(whole, games.cross(terms, whole.audio.masks, whole.lyrics.masks)).coefficients.values
    assert torch.allclose(fit.coefficients.values[0, 1:, :], truth[0, 1:, :], atol=1e-12)
    assert fit.coefficients.errors[0, 1:, 1:].max() < 1e-12


@settings(deadline=None, max_examples=15)
@given(da=st.integers(1, 12), dt=st.integers(1, 20), seed=st.integers(0, 1000))
def test_a_bilinear_model_gives_its_terms_back(da: int, dt: int, seed: int):
    design = draw("folded", da, dt, 1, 1, seed)
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(1 + da, 1 + dt, generator=generator, dtype=torch.float64)
    ears, eyes = (torch.cat([torch.ones(len(m), 1), m.double() - 0.5], 1) for m in (design.audio.masks, design.lyrics.masks))
    fit = solve_crossed(design, (ears @ table @ eyes.T)[None])
    assert torch.allclose(fit.coefficients.values[0], table, atol=1e-10)
    everything_off = (torch.tensor([1.0] + [-0.5] * da).double() @ table)[0] + table[0, 1:].sum() * -0.5
    assert fit.intercept[0] == pytest.approx(float(everything_off), abs=1e-9)


def test_permuting_components_and_rows_permutes_the_table():
    design = draw("half folded", 5, 7, 40, 50)
    values = noise(design)
    plain = solve_crossed(design, values)
    a, t = torch.randperm(5), torch.randperm(7)
    swapped = CrossedDesign(
        replace(design.audio, masks=design.audio.masks[:, a]), replace(design.lyrics, masks=design.lyrics.masks[:, t])
    )
    other = solve_crossed(swapped, values)
    rows = torch.cat([torch.zeros(1, dtype=torch.long), 1 + a])
    columns = torch.cat([torch.zeros(1, dtype=torch.long), 1 + t])
    assert torch.allclose(other.coefficients.values, plain.coefficients.values[:, rows][:, :, columns], atol=1e-10)
    assert torch.allclose(other.coefficients.errors, plain.coefficients.errors[:, rows][:, :, columns], rtol=1e-8)


def test_sides_are_treated_alike():
    design = draw("folded", 5, 7, 40, 50)
    values = noise(design)
    plain, mirrored = solve_crossed(design, values), solve_crossed(CrossedDesign(design.lyrics, design.audio), values.mT)
    assert torch.allclose(mirrored.coefficients.values, plain.coefficients.values.mT, atol=1e-10)
    assert torch.allclose(mirrored.coefficients.errors, plain.coefficients.errors.mT, rtol=1e-8)
    assert torch.allclose(mirrored.coefficients.freedom, plain.coefficients.freedom.mT, rtol=1e-8)


def test_classes_are_solved_alike_however_many_at_a_time(monkeypatch):
    design = draw("folded", 5, 7, 40, 50)
    values = noise(design, 5)
    plain = solve_crossed(design, values)
    monkeypatch.setattr(sides, "CELLS", 1)
    single = solve_crossed(design, values)
    assert torch.allclose(single.coefficients.values, plain.coefficients.values, rtol=1e-12)
    assert torch.allclose(single.coefficients.errors, plain.coefficients.errors, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_add_up_to_both_clusterings(kind):
    design = draw(kind, 4, 6, 40, 48)
    values = noise(design, 1)
    contributions = trace_crossed_errors(design, values[0])
    assert contributions.shape == (design.audio.units + design.lyrics.units, 10)
    fit = solve_crossed(design, values)
    errors = torch.cat([fit.coefficients.errors[0, 1:, 0], fit.coefficients.errors[0, 0, 1:]])
    # What single cells put into both sides is counted twice, so that contributions are never smaller.
    ratio = contributions.square().sum(0).sqrt() / errors
    assert (ratio > 1 - 1e-9).all()
    assert (ratio < 2**0.5 + 0.01).all()


def test_errors_are_told_apart_by_side():
    design = draw("folded", 6, 9, 48, 60)
    generator = torch.Generator().manual_seed(0)
    only_sound = torch.randn(design.audio.n_samples, generator=generator)[:, None].expand(-1, design.lyrics.n_samples)
    heard, read = split_errors(design, only_sound[None]).tolist()
    assert heard > 0
    assert read < 1e-20


def test_degrees_of_freedom_are_those_of_the_side_that_the_error_comes_from():
    """48 and 72 rows in pairs, for 6 and 9 slopes: 18 and 27 degrees of freedom, and never fewer than 18."""
    design = draw("folded", 6, 9, 48, 72)
    sizes = (design.audio.n_samples, design.lyrics.n_samples)
    generator = torch.Generator().manual_seed(0)
    for side, shape in enumerate(((sizes[0], 1), (1, sizes[1]))):
        noise_of_one = torch.randn(shape, generator=generator).double().expand(sizes)
        freedom = solve_crossed(design, noise_of_one[None]).coefficients.freedom[0]
        own, expected = (freedom[1:, 0], 18) if side == 0 else (freedom[0, 1:], 27)
        assert torch.allclose(own, torch.full_like(own, expected), rtol=1e-6)
    both = solve_crossed(design, noise(design)).coefficients.freedom[:, 1:, 1:]
    assert (both >= 18).all()


def test_kerdock_blocks_err_less_on_third_order_terms_and_their_errors_say_so():
    terms = games.draw_terms(24, 6, (3,), 300, 1)
    truth = torch.tensor([2 * weight for _, weight in terms[:24]])
    found: dict[str, list[torch.Tensor]] = {}
    for seed in range(12):
        for name, ears in (("kerdock", draw_kerdock(24, 2048, seed)), ("hadamard", draw_foldover(24, 2048, seed))):
            design = CrossedDesign(ears, enumerate_masks(6))
            fit = solve_crossed(design, games.cross(terms, ears.masks, design.lyrics.masks))
            miss = (fit.coefficients.values[0, 1:, 0] - truth).square()
            found.setdefault(name, []).append(torch.stack([miss, fit.coefficients.errors[0, 1:, 0].square()]))
    squares = {name: torch.stack(runs).mean((0, 2)) for name, runs in found.items()}
    assert squares["kerdock"][0] < 0.7 * squares["hadamard"][0]
    for miss, claimed in squares.values():
        assert 0.6 < claimed / miss < 1.8


@pytest.mark.slow
def test_intervals_of_main_effects_and_interactions_hold_the_truth():
    """A sigmoid of a third-order polynomial has terms of every order; all masks of ten columns a side tell the truth."""
    terms = games.draw_terms(10, 10, (2, 3), 40, 3)
    whole = CrossedDesign(enumerate_masks(10), enumerate_masks(10))

    def look(design: CrossedDesign) -> torch.Tensor:
        return torch.sigmoid(games.cross(terms, design.audio.masks, design.lyrics.masks))

    truth = solve_crossed(whole, look(whole)).coefficients.values[0]
    covered = []
    for seed in range(120):
        design = draw("folded", 10, 10, 96, 96, 10 * seed)
        fit = solve_crossed(design, look(design))
        half = quantile(fit.coefficients.freedom, 0.95) * fit.coefficients.errors
        covered.append(((fit.coefficients.values - truth).abs() <= half)[0].double())
    share = torch.stack(covered).mean(0)
    for part in (torch.cat([share[1:, 0], share[0, 1:]]), share[1:, 1:]):
        assert 0.92 <= float(part.mean()) <= 0.98
