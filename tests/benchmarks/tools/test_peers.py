"""The peers of `benchmarks/tools/peers.py`: laws of each on games whose answers are known, and their budgets."""

import numpy as np
import pytest
import torch

from benchmarks.tools import peers

#: numba, behind shap, takes seconds to wake up, and shapiq's forest to grow.
pytestmark = pytest.mark.slow

SHAPLEY = ("captum_kernelshap", "shap", "shapiq", "shapiq_pairs")
ALL = ("audiolime", "captum_lime", *SHAPLEY, "random")
D_AUDIO, D_LYRICS, TARGET = 12, 8, 1


def make_game(together: float = 0.0):
    """Slopes of three classes, far apart, and a product of a sound and a word in the target's."""
    slopes = torch.linspace(-2, 3, D_AUDIO + D_LYRICS, dtype=torch.float64)[
        torch.randperm(20, generator=torch.Generator().manual_seed(1))
    ]

    def answer(masks):
        kept = masks.double()
        value = 0.7 + kept @ slopes + together * kept[:, 2] * kept[:, 15]
        return torch.stack([-value, value, kept.sum(1)], 1)

    return peers.Oracle(answer, D_AUDIO, D_LYRICS, TARGET), slopes


@pytest.mark.parametrize("name", ALL)
def test_no_peer_asks_for_more_than_the_budget_or_moves_a_random_state(name):
    game, _ = make_game()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = getattr(peers, f"run_{name}")(game, 100, 3)
    assert sum(game.asked) <= 100
    assert found.attributions.shape == (20,)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


@pytest.mark.parametrize("name", ["audiolime", "captum_lime"])
def test_surrogates_of_an_additive_game_order_its_coefficients(name):
    game, slopes = make_game()
    found = getattr(peers, f"run_{name}")(game, 600, 0).attributions
    assert found.argsort().tolist() == slopes.argsort().tolist()


@pytest.mark.parametrize("name", ["captum_kernelshap", "shap", "shapiq"])
def test_shapley_values_of_an_additive_game_are_its_coefficients(name):
    game, slopes = make_game()
    found = getattr(peers, f"run_{name}")(game, 200, 0).attributions
    torch.testing.assert_close(found, slopes, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["captum_kernelshap", "shap", "shapiq"])
def test_shapley_values_add_up_to_song_minus_empty_song(name):
    game, slopes = make_game(together=5.0)
    found = getattr(peers, f"run_{name}")(game, 200, 0).attributions
    # Captum's endpoints have a weight of a million, not an infinite one.
    assert float(found.sum()) == pytest.approx(float(slopes.sum()) + 5.0, abs=1e-3)


def test_audiolime_is_the_ridge_regression_of_its_paper():
    """Once more by normal equations: (Zᵀ W Z + α I)⁻¹ Zᵀ W y on centred columns."""
    game, _ = make_game(together=5.0)
    found = peers.run_audiolime(game, 120, 7).attributions.numpy()
    masks = np.random.default_rng(7).integers(0, 2, (120, 20)).astype(float)
    masks[0] = 1
    values = game.ask_array(masks)
    weights = []
    for row in masks:
        cosine = row.sum() / (np.sqrt((row**2).sum()) * np.sqrt(20))
        weights.append(np.sqrt(np.exp(-((1 - cosine) ** 2) / 0.25**2)))
    weights = np.array(weights)
    masks = masks - (weights @ masks) / weights.sum()
    values = values - (weights @ values) / weights.sum()
    slopes = np.linalg.solve((masks.T * weights) @ masks + np.eye(20), (masks.T * weights) @ values)
    np.testing.assert_allclose(found, slopes, atol=1e-8)


def test_shapiq_finds_the_one_interaction():
    game, _ = make_game(together=5.0)
    pairs = peers.run_shapiq_pairs(game, 400, 0).pairs
    assert divmod(int(pairs.abs().argmax()), 20) in ((2, 15), (15, 2))
    assert float(pairs[2, 15]) == pytest.approx(5.0, abs=1.0)
    assert torch.equal(pairs, pairs.T)


def test_peers_without_interactions_say_so():
    game, _ = make_game()
    assert all(getattr(peers, f"run_{name}")(game, 100, 0).pairs is None for name in ("audiolime", "shap", "shapiq"))


@pytest.mark.parametrize("name", ["audiolime", "captum_lime", "captum_kernelshap", "shap", "shapiq", "random"])
def test_the_same_seed_finds_the_same_and_another_does_not(name):
    first, second, other = (
        getattr(peers, f"run_{name}")(make_game(together=5.0)[0], 50, seed).attributions for seed in (5, 5, 6)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
