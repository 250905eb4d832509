"""Sounds that several lyrics share: orthogonal columns, and errors that know what pairs have in common."""

import pytest
import torch

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.fit import Known
from musiclime_torch.surrogate.intervals import quantile
from musiclime_torch.surrogate.pairs import solve_pairs
from musiclime_torch.surrogate.sampling import draw_shared
from musiclime_torch.surrogate.signed import solve_signed, trace_signed

#: Terms of second and of third order of a random game.
TERMS = 60


@pytest.mark.parametrize(("sounds", "words", "repeats"), [(20, 20, 3), (8, 6, 2), (30, 10, 4), (5, 40, 1)])
def test_columns_are_orthogonal_and_sounds_repeat(sounds: int, words: int, repeats: int):
    design = draw_shared(sounds, words, 300, repeats, seed=3)
    signs = 2.0 * design.masks.double() - 1
    n = design.n_samples
    assert n >= 300
    assert n % design.block == 0
    assert torch.equal(signs.T @ signs, n * torch.eye(sounds + words, dtype=torch.double))
    assert (signs.sum(0) == 0).all()
    assert torch.equal(design.masks[0::2], ~design.masks[1::2])
    first = design.masks[0::2].unflatten(0, (-1, repeats))
    assert (first[:, :, :sounds] == first[:, :1, :sounds]).all()
    assert len(first) == design.units
    if repeats > 1:
        assert (first[:, 0, sounds:] != first[:, 1, sounds:]).any()


def play(design: Design, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs of a game of third order under these masks, its main effects and its interactions (d, d)."""
    generator, d = torch.Generator().manual_seed(seed), design.masks.shape[1]
    effects = torch.randn(d, generator=generator, dtype=torch.double)
    pairs, triples = (
        torch.stack([torch.randperm(d, generator=generator)[:size] for _ in range(TERMS)]).sort(1).values for size in (2, 3)
    )
    weights = torch.randn(2, TERMS, generator=generator, dtype=torch.double) / 2
    signs = 2.0 * design.masks.double() - 1
    outputs = signs @ effects / 2 + signs[:, pairs].prod(2) @ weights[0] + signs[:, triples].prod(2) @ weights[1]
    true = torch.zeros(d, d, dtype=torch.double)
    true.index_put_((pairs[:, 0], pairs[:, 1]), 4 * weights[0], accumulate=True)
    return outputs, effects, true


def cover(known: Known, true: torch.Tensor) -> torch.Tensor:
    return (known.values[0] - true).abs() <= quantile(known.freedom[0], 0.95) * known.errors[0]


@pytest.mark.parametrize(("sounds", "words", "repeats", "n"), [(20, 20, 3, 512), (16, 16, 2, 192), (20, 40, 4, 1024)])
def test_intervals_cover_on_both_sides_and_of_pairs(sounds: int, words: int, repeats: int, n: int):
    heard, read, both = [], [], []
    for seed in range(40):
        design = draw_shared(sounds, words, n, repeats, seed)
        outputs, effects, true = play(design, 1000 + seed)
        fit = solve_signed(design, outputs[:, None], 0.0)
        covered = cover(fit.coefficients, effects)
        heard.append(covered[:sounds])
        read.append(covered[sounds:])
        pairs = solve_pairs(design, outputs[:, None], fit)
        both.append(cover(pairs.coefficients, true[pairs.columns[:, 0], pairs.columns[:, 1]]))
    for covered in (heard, read, both):
        assert 0.92 <= float(torch.cat(covered).double().mean()) <= 0.98


def test_pairs_as_if_they_were_independent_would_claim_too_much():
    """What all pairs of a sound share, its own odd terms, would be counted as independent `repeats` times."""
    design = draw_shared(12, 12, 192, 4, seed=0)
    signs = 2.0 * design.masks.double() - 1
    outputs = (signs[:, :12].unfold(1, 3, 1).prod(2)).sum(1, keepdim=True)
    shared = solve_signed(design, outputs, 0.0).coefficients.errors[0, :12].square().mean()
    alone = solve_signed(_forget(design), outputs, 0.0).coefficients.errors[0, :12].square().mean()
    assert float(shared / alone) > 2


def _forget(design: Design) -> Design:
    from dataclasses import replace

    return replace(design, repeats=1, shared=0)


def test_contributions_add_up_to_the_variances():
    design = draw_shared(10, 12, 200, 3, seed=1)
    outputs, *_ = play(design, 5)
    parts = trace_signed(design, outputs, 0.0)
    assert parts.shape == (design.units, 22)
    errors = solve_signed(design, outputs[:, None], 0.0).coefficients.errors[0]
    torch.testing.assert_close(parts.square().sum(0).sqrt(), errors, rtol=1e-9, atol=1e-12)
