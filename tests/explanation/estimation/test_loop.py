"""The loop that all designs share, on samples that are mere counts."""

import pytest
import torch

from musiclime_torch.basics.arguments import Until
from musiclime_torch.explanation.estimation.loop import Look, sample_until
from musiclime_torch.surrogate.fit import Known
from musiclime_torch.surrogate.intervals import quantile

SIZES = [10, 20, 40, 80]


def run(until: Until | None, sizes: list[int] = SIZES, confidence: float = 0.9):
    """A mean's error falls as 1 / √n. What was grown and looked at comes back too."""
    grown: list[int] = []
    looked: list[int] = []

    def grow(sample: int, size: int) -> int:
        grown.append(size)
        return size

    def fit(sample: int) -> Look:
        looked.append(sample)
        one = torch.ones(1, 1, dtype=torch.float64)
        return Look(Known(one, one, 1e9 * one), one / sample**0.5)

    return sample_until(sizes[0], sizes, grow, fit, until, confidence), grown, looked


def test_without_a_stopping_rule_the_budget_is_drawn_at_once_and_nobody_looks():
    sampled, grown, looked = run(None)
    assert (sampled.sample, sampled.looks, sampled.stopped) == (80, 1, "")
    assert (grown, looked) == ([80], [])
    assert run(None, [10])[1:] == ([], [])


def test_sampling_stops_at_the_first_look_that_settles_and_pays_for_every_planned_one():
    """At 90% four looks have 97.5% each."""
    t = float(quantile(torch.tensor(1e9), 0.975))
    sampled, grown, looked = run(Until("width", width=t / 40**0.5 + 1e-9))
    assert (sampled.sample, sampled.looks) == (40, 4)
    assert (grown, looked) == ([20, 40], [10, 20, 40])
    assert sampled.stopped.endswith("settled at 90% after 3 looks")
    sampled, grown, looked = run(Until("width", width=t / 40**0.5 - 1e-9))
    assert (sampled.sample, looked) == (80, SIZES)


def test_a_budget_that_is_spent_says_so():
    sampled, grown, looked = run(Until("width", width=1e-6))
    assert (sampled.sample, sampled.looks, grown, looked) == (80, 4, [20, 40, 80], SIZES)
    assert sampled.stopped.startswith("the budget was spent before half widths of at most 1e-06")


@pytest.mark.parametrize("sizes", [[10], [10, 20]])
def test_a_first_look_may_be_the_last(sizes: list[int]):
    sampled, grown, _ = run(Until("width", width=100.0), sizes)
    assert (sampled.sample, sampled.looks, grown) == (10, len(sizes), [])
    assert sampled.stopped.endswith("after 1 look")
