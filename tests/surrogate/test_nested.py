"""Nested blocks: products of neighbours never meet main effects, few others do, and the errors say so."""

import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from musiclime_torch.surrogate.blocks import draw_blocks, draw_foldover, draw_kerdock, is_better_unfolded
from musiclime_torch.surrogate.crossed import solve_crossed
from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.intervals import quantile
from musiclime_torch.surrogate.nested import DOUBLINGS, draw_nested, hand_out, lay_columns, list_words, pick_length
from musiclime_torch.surrogate.solver import solve, trace_errors


def group(stems: int, segments: int) -> tuple[tuple[int, ...], ...]:
    """The columns of each segment, stem-major as a song's are."""
    return tuple(tuple(stem * segments + segment for stem in range(stems)) for segment in range(segments))


def code(design: Design) -> torch.Tensor:
    return 2 * design.masks.double() - 1


@settings(deadline=None, max_examples=20)
@given(stems=st.integers(3, 4), segments=st.integers(7, 10), n=st.integers(128, 1500), seed=st.integers(0, 2**31))
def test_main_effects_are_free_of_each_other_of_pairs_and_of_products_of_neighbours(stems, segments, n, seed):
    d, neighbourhoods = stems * segments, group(stems, segments)
    design = draw_nested(d, n, seed, neighbourhoods)
    assert design is not None
    signs = code(design)
    assert design.orthogonal
    assert (design.masks[0::2] ^ design.masks[1::2]).all()
    assert torch.equal(signs.T @ signs, design.n_samples * torch.eye(d, dtype=torch.float64))
    products = [signs[:, list(triple)].prod(1) for together in neighbourhoods for triple in combinations(together, 3)]
    assert len(products) == len(design.local)
    assert not (torch.stack(products, 1).T @ signs).any()


@pytest.mark.parametrize("n", [256, 384, 512, 1024, 2048])
def test_what_is_left_of_third_order_is_counted_over_all_triples(n: int):
    """The slow way: the squares of every triple's confounding with every main effect."""
    design = draw_nested(24, n, 4, group(4, 6))
    assert design is not None
    signs = code(design)[0::2]
    triples = torch.tensor(list(combinations(range(24), 3)))
    confounded = (signs[:, triples].prod(2).T @ signs / len(signs)).square()
    inside = torch.zeros_like(confounded, dtype=torch.bool)
    inside.scatter_(1, triples, True)  # a component's own products come down to pairs, which pairs of rows cancel
    independent = len(triples) * (24 - 3) / pick_length(24) / (n / design.block)
    assert float(confounded[~inside].sum()) / independent == pytest.approx(design.third_order)


def test_nested_blocks_leave_less_of_third_order_than_kerdocks():
    nested, kerdock = draw_nested(40, 2048, 0), draw_kerdock(40, 2048, 0)
    assert nested is not None
    for blocks in (4, 8, 16):
        assert nested.first(blocks * 128).third_order < kerdock.first(blocks * 128).third_order
    assert nested.left[-1] < 0.15


def test_words_are_those_of_all_sets_of_four():
    columns = [int(column) for column in np.random.default_rng(0).permutation(32)[:14]]
    slow = [four for four in combinations(range(14), 4) if not np.bitwise_xor.reduce([columns[i] for i in four])]
    assert sorted(map(tuple, list_words(columns).tolist())) == slow


def test_no_room_for_neighbours_means_no_columns_and_a_longer_block_has_some():
    six = group(6, 10)
    assert hand_out(60, 64, six, random.Random(0)) is None
    assert draw_nested(60, 512, 0, group(6, 10)) is None
    longer = draw_nested(60, 1024, 0, six)
    assert longer is not None
    assert longer.block == 512
    assert draw_blocks(60, 512, 0, six).block == draw_foldover(60, 512, 0).block


def test_a_cycle_is_laid_out_again_from_its_seed():
    lay_columns.cache_clear()
    first = lay_columns(40, 64, group(4, 10), 3)
    lay_columns.cache_clear()
    again, other = lay_columns(40, 64, group(4, 10), 3), lay_columns(40, 64, group(4, 10), 4)
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.columns == again.columns != other.columns
    assert torch.equal(first.signs, again.signs)
    assert len(first.signs) == 2**DOUBLINGS == len({tuple(row) for row in first.signs.tolist()})


def make_local(n: int, seed: int, share: float) -> tuple[Design, torch.Tensor, torch.Tensor]:
    """A design, outputs of main effects, local triples and triples anywhere, and the true main effects."""
    generator = torch.Generator().manual_seed(7)
    design = draw_blocks(40, n, seed, group(4, 10))
    signs = code(design)
    local = torch.tensor([list(triple) for together in group(4, 10) for triple in combinations(together, 3)])
    anywhere = torch.stack([torch.randperm(40, generator=generator)[:3] for _ in range(120)])
    truth = torch.randn(40, generator=generator, dtype=torch.float64)
    near, far = (torch.randn(len(t), generator=generator, dtype=torch.float64) for t in (local, anywhere))
    near, far = near * (share / near.square().sum()) ** 0.5, far * ((1 - share) / far.square().sum()) ** 0.5
    outputs = signs @ truth / 2 + signs[:, local].prod(2) @ near + signs[:, anywhere].prod(2) @ far
    return design, outputs[:, None], truth


def test_local_terms_cost_main_effects_nothing_and_their_intervals_know_it():
    """Where all odd terms are local, nothing is left of the error; today's blocks would err by a tenth."""
    design, outputs, truth = make_local(256, 0, share=1)
    known = solve(design, outputs, 0.0).coefficients
    assert torch.allclose(known.values[0], truth, atol=1e-12)
    assert known.errors.max() < 1e-6
    apart = solve(replace(design, local=design.local[:0]), outputs, 0.0).coefficients
    assert apart.errors.min() > 0.05


@pytest.mark.parametrize("n", [256, 512, 1024])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_intervals_hold_the_truth_as_often_as_they_say(n: int, share: float):
    held = []
    for seed in range(30):
        design, outputs, truth = make_local(n, seed, share)
        known = solve(design, outputs, 0.0).coefficients
        held.append((known.values[0] - truth).abs() <= quantile(known.freedom[0], 0.95) * known.errors[0])
    assert 0.92 <= float(torch.stack(held).double().mean()) <= 0.98


def test_signed_sums_agree_with_the_solver_and_with_crossed_sides():
    design, outputs, _ = make_local(512, 3, share=0.5)
    fast, traced = solve(design, outputs, 0.0).coefficients, trace_errors(design, outputs[:, 0], 0.0)
    lyrics = draw_foldover(9, 48, 1)
    grid = outputs.T[:, :, None] + code(lyrics)[:, 2]
    crossed = solve_crossed(CrossedDesign(design, lyrics), grid)
    general = solve(replace(design, balanced=0), outputs, 0.0).coefficients
    assert torch.allclose(general.errors, fast.errors, rtol=1e-9)
    assert torch.allclose(general.freedom, fast.freedom)
    assert torch.allclose(traced.square().sum(0).sqrt(), fast.errors[0], rtol=1e-9)
    assert torch.allclose(crossed.coefficients.errors[0, 1:41, 0], fast.errors[0], rtol=1e-6)


def test_the_pilot_leaves_local_terms_out_of_its_judgement():
    """They are no noise of a fold-over's slopes, so that they are no reason to give complements up."""
    design, outputs, _ = make_local(512, 0, share=0.9)
    signs = code(design)
    values = outputs[:, 0] + 0.7 * signs[:, :2].prod(1)
    assert not is_better_unfolded(design, values, 1.0)
    assert is_better_unfolded(replace(design, local=design.local[:0]), values, 1.0)


def test_a_choice_of_columns_keeps_the_triples_inside_it():
    design = draw_nested(24, 256, 0, group(4, 6))
    assert design is not None
    part = design.restrict([0, 6, 12, 18, 1, 7])
    assert part.local.tolist() == [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]
    assert torch.equal(part.masks, design.masks[:, [0, 6, 12, 18, 1, 7]])
