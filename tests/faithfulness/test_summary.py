"""Means over songs have intervals."""

import numpy as np
import pytest
from models import Additive
from scipy.stats import binomtest, t

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.faithfulness import check, summarise
from musiclime_torch.faithfulness.summary import list_rows, tabulate, tabulate_means, to_text
from musiclime_torch.song.track import Track


def test_means_over_songs_have_intervals(track: Track):
    model = Additive()
    checks = [
        check(model, track, explain(model, track, segments=2, n_samples=60, target=name, seed=seed), seeds=1)
        for seed, name in enumerate(model.classes)
    ]
    found = summarise(checks, confidence=0.9)
    assert found.songs == 3
    assert [mean.row.key for mean in found.means] == [row.key for row in list_rows(checks[0])]
    for mean in found.means:
        figures = [next(row.figure for row in list_rows(one) if row.key == mean.row.key) for one in checks]
        own, random = ([getattr(one, name) for one in figures] for name in ("value", "random"))
        assert mean.row.figure.value == pytest.approx(np.mean(own))
        half = t.ppf(0.95, 2) * np.std(random, ddof=1) / 3**0.5
        assert (mean.random_low, mean.random_high) == pytest.approx((np.mean(random) - half, np.mean(random) + half))
        if mean.row.share:
            theirs = binomtest(round(sum(own)), 3).proportion_ci(0.9, method="wilson")
            assert (mean.low, mean.high) == pytest.approx(tuple(theirs))
        else:
            half = t.ppf(0.95, 2) * np.std(own, ddof=1) / 3**0.5
            assert (mean.low, mean.high) == pytest.approx((np.mean(own) - half, np.mean(own) + half))
    assert "means over 3 songs (90% intervals over songs)" in to_text(tabulate_means(found))
    assert "deletion area" in to_text(tabulate(checks[0]))
    with pytest.raises(InputError, match="at least 2 songs, got 1"):
        summarise(checks[:1])
