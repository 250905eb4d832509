"""The accuracy in `benchmarks/cost/methods.py`: what two runs' distance says of one run's error."""

import pytest
import torch

from benchmarks.cost import methods as accuracy


def make_run(values: torch.Tensor):
    return accuracy.Run(values.double(), (1, 1), 1.0, 0.5)


def test_the_error_is_that_of_runs_around_a_known_truth():
    """Noise of a known size on a known truth: relative squared error is |noise|² / |truth|²."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(20_000, generator=generator)
    runs = [make_run(truth + 0.3 * torch.randn(20_000, generator=generator)) for _ in range(3)]
    assert accuracy.tell_error(runs) == pytest.approx(0.09, rel=0.05)


def test_it_is_the_median_over_pairs_and_any_factor_leaves_it():
    runs = [make_run(torch.tensor(values)) for values in ([1.0, 0.0], [1.0, 1.0], [1.0, 3.0])]
    # Pairs: 1/2 over 1, 9/2 over 1, 4/2 over 4.
    assert accuracy.tell_error(runs) == pytest.approx(0.5)
    assert accuracy.tell_error([make_run(7 * run.attributions) for run in runs]) == pytest.approx(0.5)


def test_runs_that_have_nothing_in_common_are_never_accurate():
    assert accuracy.tell_error([make_run(torch.tensor([1.0, 0.0])), make_run(torch.tensor([0.0, 1.0]))]) == float("inf")
    assert accuracy.tell_error([make_run(torch.zeros(2)), make_run(torch.zeros(2))]) == float("inf")
