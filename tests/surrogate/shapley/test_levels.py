"""Crossed levels: their designs, both regressions written out in loops, and what their intervals cover."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pretended_cuda import pretended_cuda
from shapley_games import Game, covers, ends, multiply, saturate

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.fit import Known
from musiclime_torch.surrogate.shapley.level_fit import solve_levels
from musiclime_torch.surrogate.shapley.levels import LevelDesign, draw_levels
from musiclime_torch.surrogate.shapley.leverage import draw_leverage, solve_leverage


def cross(design: LevelDesign, level: int) -> torch.Tensor:
    """All pairs of a level's masks: (audio row, lyric row, component)."""
    audio, lyrics = design.audio[design.audio_rows[level]], design.lyrics[design.lyric_rows[level]]
    left = audio[:, None].expand(-1, len(lyrics), -1)
    return torch.cat([left, lyrics[None].expand(len(audio), -1, -1)], 2)


def explain(design: LevelDesign, game: Game) -> Known:
    values = [game(cross(design, level)) for level in range(design.n_levels)]
    return solve_levels(design, values, *ends(game, design.audio.shape[1] + design.lyrics.shape[1]))


@settings(deadline=None, max_examples=40)
@given(
    d_audio=st.integers(1, 20),
    d_lyrics=st.integers(1, 20),
    n_audio=st.integers(72, 200),
    n_levels=st.sampled_from([4, 6]),
    seed=st.integers(0, 2**31),
)
def test_levels_are_balanced_complements(d_audio: int, d_lyrics: int, n_audio: int, n_levels: int, seed: int):
    design = draw_levels(d_audio, d_lyrics, n_audio, 72, n_levels, seed)
    assert design.nodes.sum() == pytest.approx(n_levels / 2)
    assert design.weights.sum() == pytest.approx(1)
    assert len(design.audio) - n_audio in range(n_levels)
    assert design.audio_rows[-1].stop == len(design.audio)
    for masks, rows in ((design.audio, design.audio_rows), (design.lyrics, design.lyric_rows)):
        for level, t in enumerate(design.nodes.tolist()):
            here, there = masks[rows[level]], masks[rows[n_levels - 1 - level]]
            assert torch.equal(here, ~there)
            assert (here.double().sum(0) - len(here) * t).abs().max() < 1


def test_rows_keep_their_components_independently():
    design = draw_levels(4, 1, 40_000, 48, 4, 0)
    masks = design.audio[design.audio_rows[1]].double()
    t = float(design.nodes[1])
    assert torch.allclose(masks.T.cov(), t * (1 - t) * torch.eye(4).double(), atol=0.01)


def test_equal_seeds_give_equal_masks_and_global_random_state_stays():
    # Not Python's own state: beartype draws from it to pick the list items that it checks.
    before = (np.random.get_state()[1].tobytes(), torch.get_rng_state())
    assert torch.equal(draw_levels(5, 9, 64, 80, 4, 3).lyrics, draw_levels(5, 9, 64, 80, 4, 3).lyrics)
    assert not torch.equal(draw_levels(5, 9, 64, 80, 4, 3).lyrics, draw_levels(5, 9, 64, 80, 4, 4).lyrics)
    assert before[0] == np.random.get_state()[1].tobytes()
    assert torch.equal(before[1], torch.get_rng_state())


def regress(design: LevelDesign, game: Game, side: str) -> np.ndarray:
    """Slopes of one side by numpy: every cell of every level is a row, with an intercept for each pair of levels."""
    d_audio, half = design.audio.shape[1], design.n_levels // 2
    rows, targets, weights = [], [], []
    for level, (t, weight) in enumerate(zip(design.nodes.tolist(), design.weights.tolist(), strict=True)):
        cells = cross(design, level)
        pair, sign = min(level, design.n_levels - 1 - level), 1 if level < half else -1
        ours = cells[..., :d_audio] if side == "audio" else cells[..., d_audio:]
        coded = ours.flatten(0, 1).double().numpy() - t
        own_mean = np.zeros((len(coded), half))
        own_mean[:, pair] = sign
        even_mean = np.zeros((len(coded), half))
        even_mean[:, pair] = 1
        rows.append(np.hstack([coded, own_mean, even_mean]))
        targets.append(game(cells).flatten(0, 1).numpy())
        weights.append(np.full(len(coded), weight / (t * (1 - t)) / len(coded)))
    x, w = np.vstack(rows), np.concatenate(weights)[:, None]
    return np.linalg.lstsq(np.sqrt(w) * x, np.sqrt(w) * np.vstack(targets), rcond=None)[0][: ours.shape[-1]]


def test_coefficients_equal_regressions_over_all_cells():
    game, _ = saturate(9, 0)
    design = draw_levels(4, 5, 64, 48, 4, 0)
    slopes = np.vstack([regress(design, game, "audio"), regress(design, game, "lyrics")])
    song, empty = ends(game, 9)
    expected = slopes + ((song - empty).numpy() - slopes.sum(0)) / 9
    assert np.allclose(explain(design, game).values.numpy().T, expected, atol=1e-10)


def score_by_hand(design: LevelDesign, game: Game) -> dict[str, list[np.ndarray]]:
    """For every level, (unit, component, class): how far a pair of masks moves each coefficient, before corrections."""
    d_audio, half = design.audio.shape[1], design.n_levels // 2
    found: dict[str, list[np.ndarray]] = {}
    sides = {}
    for side in ("audio", "lyrics"):
        masks, slices = (design.audio, design.audio_rows) if side == "audio" else (design.lyrics, design.lyric_rows)
        codes, odds, rates = [], [], []
        for level in range(half):
            t, here = float(design.nodes[level]), masks[slices[level]].double().numpy()
            cells = cross(design, level)
            odd = ((game(cells) - game(~cells)) / 2).numpy()
            codes.append(here - here.mean(0))
            odds.append(odd if side == "audio" else odd.swapaxes(0, 1))
            rates.append(2 * float(design.weights[level]) / (t * (1 - t)) / len(here))
        bread = np.linalg.inv(sum(r * c.T @ c for r, c in zip(rates, codes, strict=True)))
        sides[side] = (codes, odds, rates, bread)
    for side, other in (("audio", "lyrics"), ("lyrics", "audio")):
        codes, odds, rates, bread = sides[side]
        moments = sum(r * c.T @ (o.mean(1) - o.mean((0, 1))) for r, c, o in zip(rates, codes, odds, strict=True))
        slopes = bread @ moments
        for code, odd, rate, far, far_rate in zip(codes, odds, rates, *(sides[other][k] for k in (0, 2)), strict=True):
            residual = odd.mean(1) - odd.mean((0, 1)) - code @ slopes
            lever = rate * ((code @ bread) * code).sum(1) + 1 / len(code)
            own = rate * (code @ bread)[:, :, None] * (residual / np.sqrt(1 - lever)[:, None])[:, None]
            pull = np.stack([far_rate * sides[other][3] @ far.T @ row / len(code) for row in odd])
            parts = [own - own.mean(0), (pull - pull.mean(0)) * np.sqrt(len(code) / (len(code) - 1))]
            both = np.concatenate(parts if side == "audio" else parts[::-1], 1)
            both -= both.mean(1, keepdims=True)
            for i in range(d_audio) if side == "audio" else range(d_audio, both.shape[1]):
                column = code[:, i if side == "audio" else i - d_audio]
                both[:, i] -= np.outer(column, column @ both[:, i]) / (column @ column)
                both[:, i] *= np.sqrt((len(code) - 1) / (len(code) - 2))
            found.setdefault(side, []).append(both)
    return found


def test_standard_errors_are_clustered_by_pairs_of_both_sides():
    game, _ = saturate(7, 0)
    design = draw_levels(3, 4, 72, 64, 4, 1)
    scores = score_by_hand(design, game)
    variances = sum((level**2).sum(0) for side in scores.values() for level in side)
    assert np.allclose(explain(design, game).errors.numpy().T, np.sqrt(variances), rtol=1e-8)


@settings(deadline=None, max_examples=20)
@given(d_audio=st.integers(1, 12), d_lyrics=st.integers(1, 12), seed=st.integers(0, 1000))
def test_models_of_second_order_are_met_exactly_and_known_to_be(d_audio: int, d_lyrics: int, seed: int):
    d = d_audio + d_lyrics
    game, truth = multiply(d, {1: d, 2: 3 * d}, seed)
    fit = explain(draw_levels(d_audio, d_lyrics, 64, 72, 4, seed), game)
    assert torch.allclose(fit.values, truth, atol=1e-9)
    assert fit.errors.max() < 1e-9


@settings(deadline=None, max_examples=20)
@given(d_audio=st.integers(1, 9), d_lyrics=st.integers(1, 9), n_levels=st.sampled_from([4, 6]), seed=st.integers(0, 1000))
def test_values_share_out_what_the_song_has_over_silence(d_audio: int, d_lyrics: int, n_levels: int, seed: int):
    game, _ = multiply(d_audio + d_lyrics, {1: 3, 2: 5}, seed)

    def rough(masks: torch.Tensor) -> torch.Tensor:
        return (3 * game(masks)).sin()

    fit = explain(draw_levels(d_audio, d_lyrics, 72, 80, n_levels, seed), rough)
    song, empty = ends(rough, d_audio + d_lyrics)
    assert torch.allclose(fit.values.sum(1), song - empty, rtol=0, atol=1e-10)
    assert fit.errors.isfinite().all()
    assert (fit.freedom > 0).all()


def test_permuted_components_permute_the_fit():
    game, _ = saturate(10, 0)
    design = draw_levels(4, 6, 64, 64, 4, 0)
    values = [game(cross(design, level)) for level in range(4)]
    audio, lyrics = torch.tensor([2, 0, 3, 1]), torch.tensor([5, 1, 0, 4, 2, 3])
    other = LevelDesign(
        design.audio[:, audio], design.lyrics[:, lyrics], design.audio_rows, design.lyric_rows, design.nodes, design.weights
    )
    order = torch.cat([audio, 4 + lyrics])
    plain, permuted = (solve_levels(each, values, *ends(game, 10)) for each in (design, other))
    assert torch.allclose(plain.values[:, order], permuted.values, atol=1e-12)
    assert torch.allclose(plain.errors[:, order], permuted.errors, atol=1e-12)
    assert torch.allclose(plain.freedom[:, order], permuted.freedom)


def test_a_model_that_never_changes_has_no_values_and_no_errors():
    fit = explain(draw_levels(3, 4, 48, 48, 4, 0), lambda masks: torch.full((*masks.shape[:-1], 2), 0.25))
    assert not fit.values.any()
    assert not fit.errors.any()
    assert not fit.freedom.isnan().any()


def test_levels_err_less_than_joint_coalitions_of_as_many_passes():
    d_audio, d_lyrics, passes = 12, 18, 192
    game, truth = multiply(30, {1: 30, 2: 90, 3: 90}, 0)
    crossed, joint = 0.0, 0.0
    for seed in range(10):
        fit = explain(draw_levels(d_audio, d_lyrics, passes // 2, passes // 2, 4, seed), game)
        design = draw_leverage(30, passes // 2, seed)
        crossed += float((fit.values - truth).square().sum())
        joint += float((solve_leverage(design, game(design.masks), *ends(game, 30)).values - truth).square().sum())
    assert crossed < joint / 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0, 5, 64, 64, 4), "0 audio components .* draw_leverage"),
        ((5, 0, 64, 64, 4), "0 lyric components .* draw_leverage"),
        ((5, 5, 64, 64, 3), "n_levels must be an even number of at least 4, got 3"),
        ((5, 5, 64, 64, 2), "n_levels must be an even number of at least 4, got 2"),
        ((5, 5, 47, 64, 4), "47 audio masks .* at least 48"),
        ((5, 40, 64, 96, 4), "96 lyric masks .* at least 100"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_way_out(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        draw_levels(*arguments, seed=0)


def test_the_least_budgets_named_are_enough():
    assert len(draw_levels(5, 40, 48, 100, 4, 0).lyrics) == 100
    with pytest.raises(InputError, match="use at least 844"):
        draw_levels(5, 400, 48, 100, 4, 0)
    assert len(draw_levels(5, 400, 48, 844, 4, 0).lyrics) == 844


def test_outputs_of_another_design_are_refused():
    design = draw_levels(3, 4, 64, 48, 4, 0)
    turned = [torch.zeros(12, 16, 2)] * 4
    with pytest.raises(InputError, match="pass all pairs of each level"):
        solve_levels(design, turned, torch.zeros(2), torch.zeros(2))


def test_solving_asks_the_host_for_nothing():
    drawn = draw_levels(3, 4, 64, 48, 4, 0)
    with pretended_cuda() as guard, torch.device("cuda"):
        masks = torch.ones(64, 3, dtype=torch.bool), torch.ones(48, 4, dtype=torch.bool)
        nodes = torch.ones(4, dtype=torch.float64)
        design = LevelDesign(*masks, drawn.audio_rows, drawn.lyric_rows, nodes, nodes)
        values = [torch.zeros(16, 12, 2) for _ in range(4)]
        ends = torch.zeros(2), torch.zeros(2)
        guard.seen.clear()
        fit = solve_levels(design, values, *ends)
    assert fit.errors.shape == fit.freedom.shape == (2, 7)
    assert fit.values.device.type == "cuda"
    assert guard.seen == []


@pytest.mark.slow
@pytest.mark.parametrize(("n_audio", "n_lyrics", "n_levels"), [(48, 48, 4), (64, 64, 4), (256, 64, 4), (128, 128, 8)])
@pytest.mark.parametrize("kind", ["products", "saturating"])
def test_intervals_cover_the_truth_as_often_as_they_say(kind, n_audio, n_lyrics, n_levels):
    game, truth = saturate(12, 1) if kind == "saturating" else multiply(12, {1: 12, 2: 24, 3: 36}, 0)
    covered = [covers(explain(draw_levels(5, 7, n_audio, n_lyrics, n_levels, s), game), truth) for s in range(100)]
    assert 0.92 <= torch.stack(covered).double().mean() <= 0.98


@pytest.mark.slow
def test_intervals_of_many_components_cover_the_truth():
    game, truth = multiply(50, {1: 50, 2: 100, 3: 150}, 0)
    covered = [covers(explain(draw_levels(20, 30, 128, 96, 4, seed), game), truth) for seed in range(40)]
    assert 0.92 <= torch.stack(covered).double().mean() <= 0.98
