"""Proxies as control variates: what they take away, that estimates stay unbiased, and that intervals stay honest."""

from collections.abc import Callable

import pytest
import torch

from musiclime_torch.surrogate.blocks import draw_blocks, draw_foldover, draw_half_folded
from musiclime_torch.surrogate.control import FOLDS, MOST, Corrected, correct, split_folds
from musiclime_torch.surrogate.design import Design, draw_bernoulli
from musiclime_torch.surrogate.fit import Known
from musiclime_torch.surrogate.sampling import draw_shared
from musiclime_torch.surrogate.solver import solve

D = 20
Game = Callable[[torch.Tensor], torch.Tensor]


def make_game(seed: int, like: torch.Tensor | None = None) -> tuple[Game, torch.Tensor]:
    """Main effects and sixty products of three, of which the coefficients come back; `like` gives those of another game."""
    generator = torch.Generator().manual_seed(seed)
    triples = torch.stack([torch.randperm(D, generator=torch.Generator().manual_seed(n))[:3] for n in range(60)])
    own = torch.randn(60, generator=generator).double() if like is None else like
    main = torch.randn(D, generator=generator).double()

    def answer(masks: torch.Tensor) -> torch.Tensor:
        signs = 2 * masks.double() - 1
        return (signs @ main / 2 + signs[:, triples].prod(2) @ own / 4)[:, None]

    answer.main = main  # type: ignore[attr-defined]
    return answer, own


def guide(design: Design, game: Game, proxy: Game, many: int = 16_384) -> tuple[Known, Corrected]:
    reference = draw_blocks(D, many, 991)
    fit = solve(reference, proxy(reference.masks), 0.0)
    fitted = fit.intercept + design.masks.double() @ fit.coefficients.values.T
    corrected = correct(design, game(design.masks), proxy(design.masks), fitted)
    return solve(design, corrected.values, 0.0).coefficients, corrected


def run(game: Game, proxy: Game, n: int, seeds: int = 60) -> tuple[float, float, float]:
    """How many times lower squared errors are, the share of intervals that hold the truth, and the mean bias over errors."""
    before = after = held = 0.0
    misses = torch.zeros(D, dtype=torch.float64)
    for seed in range(seeds):
        design = draw_foldover(D, n, seed)
        plain = solve(design, game(design.masks), 0.0).coefficients.values[0]
        known, _ = guide(design, game, proxy, 2048)
        miss = known.values[0] - game.main  # type: ignore[attr-defined]
        before += float((plain - game.main).square().sum())  # type: ignore[attr-defined]
        after += float(miss.square().sum())
        held += float((miss.abs() <= 1.99 * known.errors[0]).double().mean()) / seeds
        misses += miss / seeds
    return before / after, held, float((misses * seeds**0.5 / (after / D / seeds) ** 0.5).square().mean())


def test_a_good_proxy_lowers_errors_and_keeps_intervals_honest():
    game, own = make_game(0)
    noise = torch.randn(60, generator=torch.Generator().manual_seed(5)).double()
    proxy, _ = make_game(7, 0.7 * (own + 0.3 * noise))
    for n in (96, 192):
        gain, held, bias = run(game, proxy, n)
        assert gain > 3
        assert 0.92 <= held <= 0.98
        assert bias < 2  # a mean of D squared standard scores


@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_a_useless_or_opposite_proxy_costs_next_to_nothing(sign: float):
    game, own = make_game(0)
    other = torch.randn(60, generator=torch.Generator().manual_seed(9)).double()
    proxy, _ = make_game(3, sign * own if sign else other)
    gain, held, _ = run(game, proxy, 192)
    assert gain >= 0.98
    assert 0.92 <= held <= 0.98


def test_rows_have_no_say_in_their_own_correction():
    # A proxy that knows every answer by heart gets the largest α there is; whatever the rows of a fold are, theirs stays.
    game, own = make_game(0)
    proxy, _ = make_game(0, own)
    design = draw_foldover(D, 192, 1)
    folds, values = split_folds(design), game(design.masks)
    said, fitted = proxy(design.masks), design.masks.double() @ torch.ones(D, 1).double()
    moved = values - correct(design, values, said, fitted).values
    for fold in folds.unique():
        mine = folds == fold
        noise = torch.randn(int(mine.sum()), 1, generator=torch.Generator().manual_seed(3)).double()
        other = values.clone()
        other[mine] = 100 * noise
        again = other - correct(design, other, said, fitted).values
        torch.testing.assert_close(again[mine], moved[mine], atol=1e-9, rtol=1e-9)
        assert float((again[~mine] - moved[~mine]).abs().max()) > 0.01


@pytest.mark.parametrize(
    "design",
    [
        draw_foldover(D, 200, 0),
        draw_foldover(D, 40, 0),
        draw_bernoulli(D, 50, 0),
        draw_half_folded(draw_foldover(D, 40, 0), 96, 0),
        draw_shared(10, 10, 300, 3, 0),
    ],
)
def test_folds_are_whole_blocks_or_units(design: Design):
    folds = split_folds(design)
    assert len(folds) == design.n_samples
    assert 2 <= len(folds.unique()) <= FOLDS
    blocks = design.n_samples // design.block if design.block > 1 else 0
    size = design.block if blocks > 1 else 2 * design.repeats if design.folded else 1
    assert all(len(set(part.tolist())) == 1 for part in folds.split(size))


def test_alpha_is_clipped():
    game, own = make_game(0)
    weak, _ = make_game(4, 0.01 * own)
    _, corrected = guide(draw_foldover(D, 480, 0), game, weak)
    assert float(corrected.alpha) == MOST


def test_constant_values_are_left_alone():
    design = draw_foldover(D, 96, 0)
    values = torch.ones(96, 2, dtype=torch.float64)
    corrected = correct(design, values, torch.zeros(96, 2).double(), torch.zeros(96, 2).double())
    torch.testing.assert_close(corrected.values, values, atol=0, rtol=0)
    assert corrected.alpha.tolist() == [0.0, 0.0]
