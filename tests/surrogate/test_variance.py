"""Shares of sound, words and both against all masks of both sides."""

from dataclasses import replace

import polynomials as games
import pytest
import torch

from musiclime_torch.surrogate import sides
from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded, draw_unfolded
from musiclime_torch.surrogate.design import CrossedDesign, draw_bernoulli, enumerate_masks
from musiclime_torch.surrogate.variance import _Squares, split_variance, unbias

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


@pytest.mark.parametrize("odd_audio", [False, True])
@pytest.mark.parametrize("odd_lyrics", [False, True])
def test_expected_mean_squares_give_the_variances_back(odd_audio: bool, odd_lyrics: bool):
    """The table of expectations of a two-way layout with one observation a cell (Searle, Casella & McCulloch 1992)."""
    a, t = 6, 11
    # Means over all masks of an odd half are zero, and with them what doesn't depend on that side.
    of_audio, of_lyrics = (0.0 if odd_lyrics else 3.0), (0.0 if odd_audio else 5.0)
    mean, both = (0.0 if odd_audio or odd_lyrics else 7.0), 2.0
    squares = _Squares(
        *(
            torch.tensor([[square]]).double()
            for square in (
                mean + of_audio + of_lyrics + both,
                mean + of_audio + of_lyrics / t + both / t,
                mean + of_audio / a + of_lyrics + both / a,
                mean + of_audio / a + of_lyrics / t + both / (a * t),
            )
        )
    )
    found = unbias(squares, a, t, odd_audio, odd_lyrics)
    assert found[:, 0, 0].tolist() == pytest.approx([of_audio, of_lyrics, both])


def test_standard_errors_are_those_of_the_gradient_by_the_weights_of_units():
    """The infinitesimal jackknife: independent rows, each weighing 1 / n, and how the shares change with each weight."""
    design = CrossedDesign(draw_bernoulli(3, 9, 0), draw_bernoulli(4, 12, 1))
    grid = torch.randn(9, 12, generator=torch.Generator().manual_seed(0)).double()
    grid = grid + torch.randn(9, 1, generator=torch.Generator().manual_seed(1)).double() + 2
    a, t = (torch.full((n,), 1 / n, dtype=torch.float64, requires_grad=True) for n in (9, 12))
    squares = [a @ grid.square() @ t, a @ (grid @ t).square(), (a @ grid).square() @ t, (a @ grid @ t).square()]
    parts = unbias(_Squares(*(square[None, None] for square in squares)), 9, 12, odd_audio=False, odd_lyrics=False)
    expected = []
    for share in (parts / parts.sum(0))[:, 0, 0]:
        pulls = torch.autograd.grad(share, (a, t), retain_graph=True)
        freedom = (9 - 3 - 1, 12 - 4 - 1)
        centred = [(pull - pull.mean()).square().sum() / len(pull) for pull in pulls]
        expected.append(sum(part / left for part, left in zip(centred, freedom, strict=True)) ** 0.5)
    found = split_variance(design, grid[None])
    assert torch.allclose(found.errors[0], torch.stack(expected), rtol=1e-9)
    assert (found.freedom == 5).all()


@pytest.mark.parametrize("wide", [True, False])
def test_orthogonal_pairs_are_split_as_any_masks_are(wide):
    design = CrossedDesign(draw_foldover(12, 96, 0), draw_foldover(9, 80, 1))
    unknown = CrossedDesign(*(replace(side, balanced=0) for side in (design.audio, design.lyrics)))
    generator = torch.Generator().manual_seed(0)
    audio, lyrics = (
        (side.masks.double() @ torch.randn(side.masks.shape[1], 3, generator=generator).double()).T
        for side in (design.audio, design.lyrics)
    )
    values = 50 + audio[:, :, None] + lyrics[:, None] + (audio[:, :, None] * lyrics[:, None]).sin() / 2
    values = values if wide else values.float()
    shares, expected = split_variance(design, values), split_variance(unknown, values)
    assert torch.allclose(shares.values, expected.values, atol=1e-12 if wide else 1e-6)
    assert torch.allclose(shares.errors, expected.errors, rtol=1e-10 if wide else 1e-5)
