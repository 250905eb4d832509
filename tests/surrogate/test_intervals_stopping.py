"""When sampling may end: the order of the largest is wrong no more often than asked, however often one looks."""

from itertools import pairwise

import pytest
import torch

from musiclime_torch.basics.arguments import Until, read_until
from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.blocks import draw_foldover
from musiclime_torch.surrogate.intervals import describe_stop, is_ordered, is_settled, plan_looks, quantile
from musiclime_torch.surrogate.solver import solve, trace_errors


@pytest.mark.parametrize(
    "text", ["top", "top 0", "top -1", "top 1.5", "width 0", "width -1", "width inf", "width nan", "best 3", ""]
)
def test_what_cannot_be_waited_for_is_refused(text):
    with pytest.raises(InputError, match="until"):
        read_until(text)


def test_words_are_read():
    assert read_until("top:3") == Until("top", count=3)
    assert read_until(" width 1e-2 ") == Until("width", width=0.01)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 2), (3, 100), (7, 7), (5, 11)])
def test_looks_double_from_first_to_last(first, last):
    looks = plan_looks(first, last)
    assert looks[0] == first
    assert looks[-1] == last
    assert all(b == min(2 * a, last) for a, b in pairwise(looks))


def test_widths_are_half_intervals():
    contributions = torch.tensor([[3.0, 0.0], [4.0, 1.0]]).double()
    freedom = torch.tensor([10.0, 10.0])
    half = float(quantile(torch.tensor(10.0), 0.9)) * 5
    assert is_settled(Until("width", width=half + 1e-6), torch.zeros(2), contributions, freedom, 0.9)
    assert not is_settled(Until("width", width=half - 1e-6), torch.zeros(2), contributions, freedom, 0.9)


def test_order_is_settled_by_differences_of_sizes_whatever_the_signs():
    freedom = torch.full((3,), 1000.0)
    values = torch.tensor([1.0, -3.0, 2.0]).double()
    apart = 0.1 * torch.eye(3).double()
    assert is_ordered(1, values, apart, freedom, 0.95)
    assert is_ordered(3, values, apart, freedom, 0.95)
    assert not is_ordered(1, values, 10 * apart, freedom, 0.95)
    # Errors that two components share don't blur their order ...
    together = torch.tensor([[0.0, -5.0, 5.0]]).double()
    assert not is_ordered(1, values, together, freedom, 0.95)
    # ... unless either may be large with the other sign, as here.
    assert is_ordered(1, torch.tensor([100.0, 90.0]).double(), torch.tensor([[5.0, 5.0]]).double(), freedom[:2], 0.95)
    assert not is_ordered(1, torch.tensor([100.0, 90.0]).double(), torch.tensor([[5.0, -5.0]]).double(), freedom[:2], 0.95)
    # The smallest of all has nobody below it.
    assert is_ordered(5, torch.tensor([1.0]), torch.ones(1, 1), freedom[:1], 0.95)


def test_what_ended_a_run_is_said():
    top, width = Until("top", count=3), Until("width", width=0.1)
    assert describe_stop(None, False, 1, 0.95) == ""
    assert describe_stop(top, True, 2, 0.95) == "the order of the top 3 settled at 95% after 2 looks"
    assert describe_stop(width, True, 1, 0.9) == "half widths of at most 0.1 settled at 90% after 1 look"
    assert "budget was spent before the order of the top 3" in describe_stop(top, False, 4, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_looking_again_and_again_names_a_wrong_order_no_more_often_than_asked(confidence):
    """Twelve columns, two of them nearly as strong as the strongest, under noise of third order and more."""
    generator = torch.Generator().manual_seed(0)
    slopes = torch.tensor([1.0, 0.75, -0.5] + [0.3] * 9).double()
    triples = torch.randint(12, (60, 3), generator=generator)
    triples = triples[(triples[:, 0] != triples[:, 1]) & (triples[:, 1] != triples[:, 2]) & (triples[:, 0] != triples[:, 2])]
    weights = 0.12 * torch.randn(len(triples), generator=generator).double()
    wrong = settled = hasty = 0
    for seed in range(200):
        design = draw_foldover(12, 4000, seed)
        z = 2 * design.masks.double() - 1
        values = z @ slopes / 2 + z[:, triples].prod(2) @ weights
        sizes = [design.block * blocks for blocks in plan_looks(1, design.n_samples // design.block)]
        for size in sizes:
            part, column = design.first(size), values[:size]
            fit = solve(part, column[:, None], 0.0)
            misled = fit.coefficients.values[0].abs().argsort(descending=True)[:2].tolist() != [0, 1]
            hasty += misled and size == sizes[0]
            contributions = trace_errors(part, column, 0.0)
            share = 1 - (1 - confidence) / len(sizes)
            if is_ordered(2, fit.coefficients.values[0], contributions, fit.coefficients.freedom[0], share):
                settled += 1
                wrong += misled
                break
    assert hasty > 50  # the first look alone would often have named a wrong order
    assert settled > 100
    assert wrong <= (1 - confidence) * settled
