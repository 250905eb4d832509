"""Orthogonal designs by signed sums, against the least squares of any design."""

from dataclasses import replace

import pytest
import torch

from musiclime_torch.surrogate import signed
from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded, draw_kerdock, draw_unfolded
from musiclime_torch.surrogate.design import Design, enumerate_masks
from musiclime_torch.surrogate.signed import solve_signed, trace_signed
from musiclime_torch.surrogate.solver import solve, trace_errors

KINDS = {
    "folded": lambda: draw_foldover(30, 300, 0),
    "unfolded": lambda: draw_unfolded(30, 300, 0),
    "half folded": lambda: draw_half_folded(draw_foldover(30, 1, 0), 300, 0),
    "Kerdock": lambda: draw_kerdock(30, 1024, 0),
    "first blocks": lambda: draw_kerdock(30, 4096, 0).first(1024),
    "every mask": lambda: enumerate_masks(8),
    "some columns": lambda: restrict(draw_foldover(30, 300, 0)),
}


def restrict(design: Design) -> Design:
    return replace(design, masks=design.masks[:, [3, 7, 20]])


def make_outputs(design: Design, classes: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    slopes = torch.randn(design.masks.shape[1], classes, generator=generator)
    signs = 2 * design.masks.float() - 1
    third = signs[:, 0] * signs[:, 1] * signs[:, 2]
    return 5 + signs @ slopes + third[:, None] + torch.randn(design.n_samples, classes, generator=generator)


@pytest.mark.parametrize("ridge", [0.0, 10.0])
@pytest.mark.parametrize("kind", KINDS)
def test_signed_sums_equal_least_squares(kind, ridge):
    design = KINDS[kind]()
    assert design.orthogonal
    outputs = make_outputs(design)
    fit, oracle = solve(design, outputs, ridge), solve(replace(design, balanced=0), outputs, ridge)
    assert torch.allclose(fit.coefficients.values, oracle.coefficients.values, atol=1e-12)
    assert torch.allclose(fit.coefficients.errors, oracle.coefficients.errors, rtol=1e-12)
    assert torch.equal(fit.coefficients.freedom, oracle.coefficients.freedom)
    assert torch.allclose(fit.intercept, oracle.intercept, atol=1e-12)
    assert torch.allclose(fit.fidelity, oracle.fidelity, atol=1e-12)
    assert torch.allclose(fit.pivots, oracle.pivots)
    traced = trace_errors(design, outputs[:, 1], ridge)
    assert torch.allclose(traced, trace_errors(replace(design, balanced=0), outputs[:, 1], ridge), atol=1e-12)


@pytest.mark.parametrize("kind", ["folded", "half folded", "Kerdock"])
def test_single_precision_keeps_six_digits_of_coefficients_and_five_of_errors(kind, monkeypatch):
    design = KINDS[kind]()
    outputs = make_outputs(design)
    exact = solve(design, outputs, 0.0).coefficients
    monkeypatch.setattr(signed, "pick_precision", lambda values: torch.float32)
    rough, traced = solve(design, outputs, 0.0).coefficients, trace_errors(design, outputs[:, 0], 0.0)
    assert rough.values.dtype == torch.float64
    assert (rough.values - exact.values).abs().max() < 1e-6 * exact.values.abs().max()
    assert (rough.errors / exact.errors - 1).abs().max() < 1e-5
    assert torch.allclose(traced.square().sum(0).sqrt(), exact.errors[0], rtol=1e-5)


def test_orthogonal_designs_ask_for_no_linear_algebra(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError

    for name in ("cholesky_solve", "cholesky_inverse"):
        monkeypatch.setattr(torch, name, refuse)
    for name in ("cholesky_ex", "solve", "inv", "qr", "lstsq"):
        monkeypatch.setattr(torch.linalg, name, refuse)
    design = KINDS["folded"]()
    solve(design, make_outputs(design), 0.0)
    trace_errors(design, make_outputs(design)[:, 0], 0.0)
    with pytest.raises(AssertionError):
        solve(replace(design, balanced=0), make_outputs(design), 0.0)


def test_classes_are_solved_alike_however_many_at_a_time(monkeypatch):
    design = KINDS["folded"]()
    outputs = make_outputs(design, 7)
    plain = solve_signed(design, outputs, 0.0)
    monkeypatch.setattr(signed, "CELLS", 1)
    single = solve_signed(design, outputs, 0.0)
    assert torch.allclose(single.coefficients.values, plain.coefficients.values, rtol=1e-12, atol=1e-14)
    assert torch.allclose(single.coefficients.errors, plain.coefficients.errors, rtol=1e-12)


def test_two_runs_give_the_same_bits():
    design = KINDS["half folded"]()
    outputs = make_outputs(design)
    first, second = (solve_signed(design, outputs, 1.0) for _ in range(2))
    assert torch.equal(first.coefficients.values, second.coefficients.values)
    assert torch.equal(first.coefficients.errors, second.coefficients.errors)
    assert torch.equal(trace_signed(design, outputs[:, 0], 1.0), trace_signed(design, outputs[:, 0], 1.0))


def test_what_was_sampled_has_an_error_unless_outputs_never_vary():
    design = draw_foldover(15, 1, 0)
    values = (design.masks.double() - 0.5) @ torch.ones(15, 1).double()
    errors = solve(design, values, 0.0).coefficients.errors
    assert 0 < errors.min() <= errors.max() < 1e-14
    assert (solve(design, torch.ones_like(values), 0.0).coefficients.errors == 0).all()


@pytest.mark.parametrize("kind", ["folded", "unfolded", "half folded"])
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
def test_errors_of_almost_additive_outputs_equal_least_squares(kind, noise):
    """Where little is left of the squares, a difference of sums would be rounding."""
    design = KINDS[kind]()
    slopes = torch.randn(design.masks.shape[1], 2, generator=torch.Generator().manual_seed(0))
    outputs = (design.masks.float() @ slopes).double() + noise * make_outputs(design, 2)
    fit, oracle = (solve(one, outputs, 0.0).coefficients for one in (design, replace(design, balanced=0)))
    assert torch.allclose(fit.errors, oracle.errors, rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize(("noise", "formed"), [(1.0, False), (1e-5, True)])
def test_residuals_are_formed_only_where_little_is_left(noise, formed, monkeypatch):
    subtracted, design = [], KINDS["folded"]()
    subtract = signed._subtract
    monkeypatch.setattr(signed, "_subtract", lambda *given: subtracted.append(1) or subtract(*given))
    outputs = design.masks.double() @ torch.ones(30, 1, dtype=torch.float64) + noise * make_outputs(design, 1)
    solve(design, outputs, 0.0)
    assert bool(subtracted) == formed
