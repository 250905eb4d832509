"""Kerdock's sign vectors by their defining property, and what blocks under them do to third-order terms."""

from itertools import combinations

import pytest
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.blocks import KERDOCK, draw_blocks, draw_kerdock
from musiclime_torch.surrogate.kerdock import LENGTHS, kerdock_signs, share_third_order, spare, sylvester
from musiclime_torch.surrogate.solver import solve


@pytest.mark.parametrize("length", LENGTHS)
def test_two_sign_vectors_differ_by_a_bent_function(length):
    signs, matrix = kerdock_signs(length).double(), sylvester(length).double()
    assert signs.shape == (length // 2, length)
    pairs = list(combinations(range(length // 2), 2))
    for a, b in pairs[:: max(len(pairs) // 100, 1)]:
        assert ((matrix @ (signs[a] * signs[b])).abs() == length**0.5).all()


def test_all_blocks_together_have_strength_five_and_not_six():
    rows = torch.cat([sylvester(16) * signs for signs in kerdock_signs(16)]).double()
    rows = torch.cat([rows, -rows])
    assert len(rows.unique(dim=0)) == 256
    for order in (1, 2, 3, 4, 5):
        assert all(rows[:, list(columns)].prod(1).sum() == 0 for columns in combinations(range(16), order))
    assert any(rows[:, list(columns)].prod(1).sum() != 0 for columns in combinations(range(16), 6))


def test_a_whole_cycle_leaves_main_effects_free_of_third_order_terms():
    design = draw_kerdock(30, 4096, 0)
    signs = 2 * design.masks.double() - 1
    generator = torch.Generator().manual_seed(0)
    triples = torch.stack([torch.randperm(30, generator=generator)[:3] for _ in range(200)])
    outputs = signs[:, triples].prod(2).sum(1) + signs[:, 3]
    fit = solve(design, outputs[:, None], 0.0)
    expected = torch.zeros(30, dtype=torch.float64)
    expected[3] = 2
    assert torch.allclose(fit.coefficients.values[0], expected, atol=1e-10)
    assert design.third_order == 0
    half = solve(design.first(2048), outputs[:2048, None], 0.0)
    assert (half.coefficients.values[0] - expected).abs().max() > 1e-3


def test_what_is_left_of_third_order_errors_falls_to_nothing_and_starts_anew():
    design = draw_kerdock(30, 8192, 0)
    left = [design.first(rows * 128).third_order for rows in (1, 8, 16, 32, 33, 64)]
    assert left[0] == 1
    assert left[1] == pytest.approx(1 - 7 / 31)
    assert left[2] == pytest.approx(1 - 15 / 31)
    assert left[3] == 0 == left[5]
    assert left[4] == pytest.approx(1 / 33)
    assert draw_blocks(30, 100, 0).third_order == 1


def test_more_columns_than_there_are_signs_for_are_refused():
    with pytest.raises(InputError, match="64 components, got 65"):
        draw_kerdock(KERDOCK + 1, 100, 0)
    with pytest.raises(ValueError, match="length 32"):
        kerdock_signs(32)


def test_the_share_of_third_order_terms_is_found():
    generator = torch.Generator().manual_seed(0)
    signs = 2 * (torch.rand(1500, 24, generator=generator) < 0.5).double() - 1
    triples = torch.stack([torch.randperm(24, generator=generator)[:3] for _ in range(60)])
    fives = torch.stack([torch.randperm(24, generator=generator)[:5] for _ in range(60)])
    third, fifth = signs[:, triples].prod(2).sum(1), signs[:, fives].prod(2).sum(1)
    found = share_third_order(signs, torch.stack([third, fifth, third + fifth, torch.zeros(1500).double()], 1))
    assert found.tolist() == pytest.approx([1.0, 0.0, 0.5, 0.0], abs=0.12)
    assert spare(0.25, torch.tensor([1.0, 0.0, 0.5])).tolist() == pytest.approx([0.25, 1.0, 0.625])
