"""Crossed designs by signed sums, against the least squares of any crossed design."""

import pytest
import torch
from grids import assert_six_digits, forget, make_grid

from musiclime_torch.surrogate import halves, sectors, sides
from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.crossed import list_interactions, solve_crossed
from musiclime_torch.surrogate.crossed_errors import split_errors, trace_crossed_errors
from musiclime_torch.surrogate.design import CrossedDesign, enumerate_masks
from musiclime_torch.surrogate.sectors import is_signed

KINDS = {
    "folded": lambda: CrossedDesign(draw_foldover(12, 96, 0), draw_foldover(9, 80, 1)),
    "unfolded": lambda: CrossedDesign(draw_unfolded(12, 96, 0), draw_unfolded(9, 80, 1)),
    "folded and unfolded": lambda: CrossedDesign(draw_foldover(12, 96, 0), draw_unfolded(9, 80, 1)),
    "unfolded and folded": lambda: CrossedDesign(draw_unfolded(9, 80, 1), draw_foldover(12, 96, 0)),
    "Kerdock": lambda: CrossedDesign(draw_kerdock(24, 512, 0), draw_kerdock(30, 256, 1)),
    "every mask": lambda: CrossedDesign(enumerate_masks(5), enumerate_masks(6)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_signed_sums_equal_least_squares(kind):
    design = KINDS[kind]()
    assert is_signed(design)
    values = make_grid(design)
    fit, oracle = solve_crossed(design, values), solve_crossed(forget(design), values)
    known, expected = fit.coefficients, oracle.coefficients
    assert torch.allclose(known.values, expected.values, atol=1e-12)
    assert torch.allclose(known.errors, expected.errors, rtol=1e-10)
    assert torch.allclose(known.freedom, expected.freedom, rtol=1e-10)
    for name in ("intercept", "fidelity", "total", "pivots"):
        assert torch.allclose(getattr(fit, name), getattr(oracle, name), rtol=1e-10)
    assert torch.allclose(split_errors(design, values), split_errors(forget(design), values), rtol=1e-10)
    traced = trace_crossed_errors(design, values[0])
    assert torch.allclose(traced, trace_crossed_errors(forget(design), values[0]), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_grids_in_single_precision_keep_six_digits_of_coefficients_and_five_of_errors(kind):
    design = KINDS[kind]()
    values = make_grid(design).float()
    assert_six_digits(design, values)
    fit, oracle = solve_crossed(design, values), solve_crossed(forget(design), values)
    assert torch.allclose(fit.fidelity, oracle.fidelity, rtol=1e-6)


def test_large_offsets_and_additive_models_leave_single_precision_unharmed():
    design = KINDS["folded"]()
    values = (make_grid(design) + 1e4).float()
    known, expected = (solve_crossed(one, values).coefficients for one in (design, forget(design)))
    assert (known.values - expected.values).abs()[:, 1:, :].max() < 1e-6
    assert (known.errors / expected.errors - 1).abs().max() < 1e-3


def test_classes_are_solved_alike_however_many_at_a_time_and_again(monkeypatch):
    design = KINDS["folded and unfolded"]()
    values = make_grid(design, 5)
    plain, again = solve_crossed(design, values), solve_crossed(design, values)
    assert torch.equal(plain.coefficients.errors, again.coefficients.errors)
    assert torch.equal(plain.coefficients.values, again.coefficients.values)
    monkeypatch.setattr(sides, "CELLS", 1)
    single = solve_crossed(design, values)
    assert torch.allclose(single.coefficients.values, plain.coefficients.values, rtol=1e-12, atol=1e-14)
    assert torch.allclose(single.coefficients.errors, plain.coefficients.errors, rtol=1e-10)


def test_the_grid_is_left_as_found():
    for kind in KINDS:
        design = KINDS[kind]()
        values = make_grid(design)
        before = values.clone()
        solve_crossed(design, values)
        assert torch.equal(values, before)


@pytest.mark.parametrize("kept", [(), (1,), (4, 0)])
@pytest.mark.parametrize("kind", [*KINDS, "half folded"])
def test_main_effects_of_all_classes_and_tables_of_some(kind, kept):
    half = CrossedDesign(draw_half_folded(draw_foldover(9, 1, 0), 80, 0), draw_foldover(12, 96, 1))
    design = KINDS[kind]() if kind in KINDS else half
    values = make_grid(design, 5)
    every, some = solve_crossed(design, values), solve_crossed(design, values, kept)
    assert every.kept == tuple(range(5))
    assert some.kept == kept
    for name in ("values", "errors", "freedom"):
        whole = getattr(every.coefficients, name)
        assert torch.allclose(getattr(some.coefficients, name), whole[list(kept)], rtol=1e-12, atol=1e-14)
        main = torch.cat([whole[:, 1:, 0], whole[:, 0, 1:]], 1)
        assert torch.allclose(getattr(every.main, name), main, rtol=1e-12, atol=1e-14)
        assert torch.allclose(getattr(some.main, name), main, rtol=1e-10, atol=1e-14)
    for name in ("intercept", "fidelity", "total"):
        assert torch.allclose(getattr(some, name), getattr(every, name), rtol=1e-12)
    assert torch.allclose(list_interactions(some).explained, list_interactions(every).explained[list(kept)])


def test_interactions_that_are_not_kept_are_not_computed(monkeypatch):
    design, products = KINDS["folded"](), []
    reduce = sectors._reduce_slopes
    monkeypatch.setattr(sectors, "_reduce_slopes", lambda *given: products.append(given[:2]) or reduce(*given))
    solve_crossed(design, make_grid(design), ())
    assert not [1 for audio, lyrics in products if not audio.constant and not lyrics.constant]


def test_strips_of_a_grid_change_no_number(monkeypatch):
    design = KINDS["folded"]()
    values = make_grid(design, 5).float()
    plain = solve_crossed(design, values)
    monkeypatch.setattr(halves, "STRIP", 1)
    cut = solve_crossed(design, values)
    assert torch.equal(cut.coefficients.values, plain.coefficients.values)
    assert torch.equal(cut.coefficients.errors, plain.coefficients.errors)
