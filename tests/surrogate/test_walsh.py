"""Closed forms from Walsh coefficients, beside the definitions on every mask."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.surrogate.design import enumerate_masks
from musiclime_torch.surrogate.pairs import list_pairs, solve_pairs
from musiclime_torch.surrogate.shapley.levels import solve_exact
from musiclime_torch.surrogate.solver import solve
from musiclime_torch.surrogate.walsh import add_up, count_up, transform

D = 6


def draw_functions(seed: int, sets: list[list[int]]) -> list[tuple[list[int], torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [(columns, torch.randn(2 ** len(columns), 3, generator=generator, dtype=torch.float64)) for columns in sets]


def evaluate(functions: list[tuple[list[int], torch.Tensor]], masks: torch.Tensor) -> torch.Tensor:
    """The sum by its definition: each function looked up at the number that its columns spell."""
    total = torch.zeros(len(masks), 3, dtype=torch.float64)
    for columns, values in functions:
        total += values[(masks[:, columns].long() * 2 ** torch.arange(len(columns))).sum(1)]
    return total


# No column, one, disjoint and overlapping sets, the same set twice, in any order.
SETS = st.lists(st.permutations(range(D)).flatmap(lambda p: st.integers(0, 4).map(lambda k: list(p[:k]))), min_size=1)


@settings(deadline=None)
@given(SETS, st.integers(0, 99))
def test_values_are_those_of_every_mask_of_the_song(sets: list[list[int]], seed: int):
    functions = draw_functions(seed, sets)
    design = enumerate_masks(D)
    values = evaluate(functions, design.masks)
    walsh, fit = add_up(D, functions), solve(design, values, 0.0)
    torch.testing.assert_close(walsh.main, fit.coefficients.values)
    torch.testing.assert_close(walsh.mean, values.mean(0))
    torch.testing.assert_close(walsh.variance, values.var(0, correction=0))
    torch.testing.assert_close(walsh.shapley, solve_exact(design.masks, values).values)
    pairs = solve_pairs(design, values, fit, every_mask=True)
    torch.testing.assert_close(walsh.list_pairs(), pairs.coefficients.values)
    torch.testing.assert_close(walsh.pair_variance, pairs.explained * walsh.variance, atol=1e-9, rtol=1e-6)


@settings(deadline=None)
@given(SETS, st.integers(0, 99))
def test_fidelity_is_the_r2_over_every_mask(sets: list[list[int]], seed: int):
    functions, masks = draw_functions(seed, sets), enumerate_masks(D).masks
    values, walsh = evaluate(functions, masks), add_up(D, functions)
    slopes, at_empty = walsh.main + 0.1, walsh.mean - 0.3
    missed = (values - at_empty - masks.double() @ slopes.T).square().mean(0)
    spread = values.var(0, correction=0)
    expected = torch.where(spread > 1e-12, 1 - missed / spread, torch.ones(3, dtype=torch.float64))
    if (spread > 1e-12).all():
        torch.testing.assert_close(walsh.measure_fidelity(slopes, at_empty), expected)


def test_terms_of_the_same_components_are_one_term():
    functions = draw_functions(0, [[0, 2], [2, 0], [2, 3]])
    walsh = add_up(D, functions)
    assert len(walsh.subsets) == len(walsh.subsets.unique(dim=0)) == 6  # none, 0, 2, 3, both pairs


@pytest.mark.parametrize("k", [0, 1, 3])
def test_coefficients_rebuild_the_function(k: int):
    values = torch.randn(2**k, 2, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    masks, terms = count_up(k), transform(values)
    signs = torch.stack([(2.0 * masks[:, term] - 1).prod(1) for term in masks], 1).double()
    torch.testing.assert_close(signs @ terms, values)


def test_pairs_come_in_the_order_of_all_pairs():
    values = torch.zeros(4, 1, dtype=torch.float64)
    values[3] = 1.0  # both on: an interaction of 1
    walsh = add_up(4, [([3, 1], values)])
    expected = [1.0 if pair == [1, 3] else 0.0 for pair in list_pairs(4).tolist()]
    assert walsh.list_pairs()[0].tolist() == expected
