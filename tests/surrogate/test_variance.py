"""Shares of sound, words and both against all masks of both sides."""

import polynomials as games
import pytest
import torch

from musiclime_torch.surrogate import sides
from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded, draw_unfolded
from musiclime_torch.surrogate.design import CrossedDesign
from musiclime_torch.surrogate.rows import draw_bernoulli, enumerate_masks
from musiclime_torch.surrogate.variance import split_variance

DRAWS = {
    "folded": draw_foldover,
    "unfolded": draw_unfolded,
    "half folded": lambda d, n, seed: draw_half_folded(draw_foldover(d, 1, seed), n, seed),
    "independent": draw_bernoulli,
}


def look(design: CrossedDesign, saturate: bool = True) -> torch.Tensor:
    terms = games.draw_terms(8, 8, (2, 3), 30, 2)
    grid = games.cross(terms, design.audio.masks, design.lyrics.masks)
    return torch.sigmoid(grid - 1) if saturate else grid


def truth(saturate: bool = True) -> torch.Tensor:
    grid = look(CrossedDesign(enumerate_masks(8), enumerate_masks(8)), saturate)[0]
    sound, words = grid.mean(1) - grid.mean(), grid.mean(0) - grid.mean()
    both = grid - grid.mean() - sound[:, None] - words
    parts = torch.stack([part.square().mean() for part in (sound, words, both)])
    return parts / parts.sum()


@pytest.mark.parametrize("kind", DRAWS)
def test_shares_are_those_of_all_masks_and_their_errors_cover(kind):
    expected, shares, covered = truth(), [], []
    for seed in range(60):
        design = CrossedDesign(DRAWS[kind](8, 72, seed), DRAWS[kind](8, 72, seed + 500))
        found = split_variance(design, look(design))
        assert torch.allclose(found.values.sum(1), torch.ones(1, dtype=torch.float64))
        shares.append(found.values[0])
        covered.append((found.values[0] - expected).abs() <= 2 * found.errors[0])
    assert torch.allclose(torch.stack(shares).mean(0), expected, atol=0.03)
    assert 0.85 <= torch.stack(covered).double().mean() <= 1.0


def test_a_side_that_does_nothing_gets_nothing_however_many_words_it_has():
    design = CrossedDesign(draw_foldover(5, 48, 0), draw_foldover(90, 1, 1))
    generator = torch.Generator().manual_seed(0)
    sound = torch.randn(design.audio.n_samples, generator=generator).double()
    noise = torch.randn(design.audio.n_samples, design.lyrics.n_samples, generator=generator).double()
    shares = split_variance(design, (sound[:, None] + noise)[None]).values[0]
    assert abs(float(shares[1])) < 0.02
    assert float(shares[2]) == pytest.approx(1 / (1 + float(sound.var())), abs=0.1)


def test_additive_models_have_nothing_together():
    design = CrossedDesign(draw_foldover(8, 40, 0), draw_foldover(8, 40, 1))
    grid = design.audio.masks.double().sum(1)[:, None] + 2 * design.lyrics.masks.double().sum(1)
    found = split_variance(design, grid[None])
    assert torch.allclose(found.values[0], torch.tensor([0.2, 0.8, 0.0]).double(), atol=1e-9)
    assert found.errors.max() < 1e-6


def test_outputs_that_never_vary_have_no_shares():
    design = CrossedDesign(draw_foldover(3, 1, 0), draw_foldover(3, 1, 1))
    found = split_variance(design, torch.full((1, design.audio.n_samples, design.lyrics.n_samples), 2.0))
    assert not found.values.any()
    assert not found.errors.any()


def test_shifts_scales_and_chunks_change_nothing(monkeypatch):
    design = CrossedDesign(draw_foldover(8, 40, 0), draw_foldover(8, 40, 1))
    grid = look(design)
    plain = split_variance(design, torch.cat([grid, 5 * grid + 100]))
    assert torch.allclose(plain.values[0], plain.values[1], atol=1e-8)
    monkeypatch.setattr(sides, "CELLS", 1)
    assert torch.allclose(split_variance(design, torch.cat([grid, grid])).values, plain.values[:1], atol=1e-10)
