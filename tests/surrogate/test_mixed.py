"""Crossed designs with half-folded sides by signed sums, against the least squares of any crossed design."""

from dataclasses import replace

import pytest
import torch
from grids import assert_six_digits, forget, make_grid

from musiclime_torch.surrogate import crossed, sides
from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.crossed import solve_crossed
from musiclime_torch.surrogate.crossed_errors import split_errors
from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.mixed import is_mixed
from musiclime_torch.surrogate.sectors import is_signed


def draw_half(d: int, pilot: int, n: int, seed: int) -> Design:
    return draw_half_folded(draw_foldover(d, pilot, seed), n, seed)


KINDS = {
    "half folded and folded": lambda: CrossedDesign(draw_half(9, 1, 80, 0), draw_foldover(12, 96, 1)),
    "folded and half folded": lambda: CrossedDesign(draw_foldover(12, 96, 1), draw_half(9, 1, 80, 0)),
    "half folded and unfolded": lambda: CrossedDesign(draw_half(9, 48, 120, 0), draw_unfolded(12, 96, 1)),
    "half folded and Kerdock": lambda: CrossedDesign(draw_half(9, 1, 80, 0), draw_kerdock(24, 256, 1)),
    "both half folded": lambda: CrossedDesign(draw_half(9, 48, 120, 0), draw_half(12, 1, 96, 1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_signed_sums_equal_least_squares_and_no_matrix_is_inverted(kind: str, monkeypatch):
    design = KINDS[kind]()
    assert not is_signed(design)
    assert is_mixed(design)
    values = make_grid(design)
    oracle, split = solve_crossed(forget(design), values), split_errors(forget(design), values)
    monkeypatch.setattr(crossed, "_solve_any", None)
    before = values.clone()
    fit = solve_crossed(design, values)
    assert torch.equal(values, before)
    for known, expected in ((fit.coefficients, oracle.coefficients), (fit.main, oracle.main)):
        assert torch.allclose(known.values, expected.values, atol=1e-12)
        assert torch.allclose(known.errors, expected.errors, rtol=1e-10)
        assert torch.allclose(known.freedom, expected.freedom, rtol=1e-10)
    for name in ("intercept", "fidelity", "total", "pivots"):
        assert torch.allclose(getattr(fit, name), getattr(oracle, name), rtol=1e-10)
    assert torch.allclose(split_errors(design, values), split, rtol=1e-10)


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("kind", KINDS)
def test_grids_in_single_precision_keep_six_digits_of_coefficients_and_five_of_errors(kind: str, offset: float):
    design = KINDS[kind]()
    assert_six_digits(design, (make_grid(design) + offset).float())


def test_classes_are_solved_alike_however_many_at_a_time_and_again(monkeypatch):
    design = KINDS["both half folded"]()
    values = make_grid(design, 5)
    plain, again = solve_crossed(design, values), solve_crossed(design, values)
    assert torch.equal(plain.coefficients.errors, again.coefficients.errors)
    monkeypatch.setattr(sides, "CELLS", 1)
    single = solve_crossed(design, values)
    assert torch.allclose(single.coefficients.values, plain.coefficients.values, rtol=1e-12, atol=1e-14)
    assert torch.allclose(single.coefficients.errors, plain.coefficients.errors, rtol=1e-10)


def test_half_folded_sides_with_structure_of_their_own_are_left_to_least_squares():
    half = draw_half(9, 1, 80, 0)
    structured = replace(half, cycle=2, left=torch.ones(2))
    assert half.orthogonal
    assert not is_mixed(CrossedDesign(structured, draw_foldover(12, 96, 1)))
