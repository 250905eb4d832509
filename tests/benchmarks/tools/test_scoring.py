"""Figures of `benchmarks/accuracy/planted.py`: what counts as found, and the interval of their mean."""

import pytest
import torch

from benchmarks.tools import scoring
from musiclime_torch.surrogate.intervals import bound_share


def test_causes_among_the_largest_are_counted_by_sign():
    attributions = torch.tensor([0.1, -9.0, 3.0, 2.0, 0.0])
    assert scoring.count_found(attributions, (2,), 1, 0) == 1
    assert scoring.count_found(attributions, (1,), 1, 0) == 0, "what speaks against the class is no cause of it"
    assert scoring.count_found(attributions, (2, 0), 2, 0) == 0.5
    assert scoring.count_found(attributions, (2, 0), 3, 0) == 1


def test_ties_are_as_good_as_chance():
    nothing = torch.zeros(10)
    found = [scoring.count_found(nothing, (0,), 3, seed) for seed in range(2000)]
    assert sum(found) / 2000 == pytest.approx(0.3, abs=0.04)  # four standard errors


def test_the_strongest_pair_is_sought_between_sound_and_words_alone():
    pairs = torch.zeros(5, 5)
    pairs[0, 1], pairs[0, 3], pairs[2, 4] = 9.0, -4.0, 3.0
    assert scoring.is_strongest(pairs, (0, 3), 3) == 1
    assert scoring.is_strongest(pairs, (2, 4), 3) == 0
    pairs[2, 4] = 4.0
    assert scoring.is_strongest(pairs, (2, 4), 3) == 0.5
    assert scoring.is_strongest(None, (0, 3), 3) == 0


def test_wilson_intervals_are_those_of_the_textbook():
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert bound_share(hits, n, 0.95) == pytest.approx((low, high), abs=2e-4)


def test_sizes_are_matched_up_to_a_factor_and_a_shift() -> None:
    truth = torch.tensor([0.0, 1.0, 0.5, 0.0])
    assert scoring.match_sizes(3 * truth + 2, truth) == pytest.approx(1)
    assert scoring.match_sizes(-truth, truth) == 0
    assert scoring.match_sizes(torch.zeros(4), truth) == 0
    noisy = torch.tensor([0.3, 0.9, 0.1, -0.2])
    assert scoring.match_sizes(noisy, truth) == pytest.approx(float(torch.corrcoef(torch.stack([noisy, truth]))[0, 1]))
