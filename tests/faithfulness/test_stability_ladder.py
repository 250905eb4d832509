"""Ladders of random attributions, to which every measure is compared."""

import numpy as np
import pytest
from models import Late

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.faithfulness import check
from musiclime_torch.faithfulness.stability import count_steps, deal
from musiclime_torch.song.track import Track


@pytest.mark.parametrize("seeds", [1, 3])
def test_every_chance_has_random_ones_of_its_own_however_few_they_are(track: Track, seeds: int):
    explanation = explain(Late(), track, segments=2, n_samples=64)
    options = {"chances": 3, "seeds": seeds, "shuffled": ()}
    found, again = (check(Late(), track, explanation, **options).stability for _ in range(2))
    assert found == again
    assert found.sensitivity.spread > 0
    own = explanation.attributions[explanation.target]
    rows = deal(own, 3 * seeds, explanation.provenance["settings"]["seed"] + 3).attributions[1:]
    largest = [
        float(((rows[start : start + seeds] - own).norm(dim=1) / own.norm()).max()) for start in range(0, 3 * seeds, seeds)
    ]
    assert (found.sensitivity.random, found.sensitivity.spread) == pytest.approx((np.mean(largest), np.std(largest, ddof=1)))


def test_counts_are_the_same_from_either_end():
    for d in range(1, 300):
        counts = count_steps(d, 33)
        assert counts[0] == 0
        assert counts[-1] == d
        assert len(counts) <= 33
        assert [d - count for count in reversed(counts)] == list(counts)
