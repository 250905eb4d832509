"""One side of a crossed design: its basis, and the matrix that takes values to coefficients."""

import pytest
import torch

from musiclime_torch.surrogate.blocks import draw_foldover, draw_half_folded
from musiclime_torch.surrogate.design import draw_bernoulli
from musiclime_torch.surrogate.sampling import weigh, weigh_by_proximity
from musiclime_torch.surrogate.sides import Cluster, lay_side, split_classes, turn


def test_turning_twice_changes_nothing_and_keeps_lengths():
    design = draw_half_folded(draw_foldover(6, 1, 0), 40, 0)
    values = torch.randn(2, design.n_samples, 3, dtype=torch.float64)
    turned = turn(values, design, 1)
    assert torch.allclose(turn(turned, design, 1), values)
    assert torch.allclose(turned.square().sum(1), values.square().sum(1))


@pytest.mark.parametrize("weighted", [False, True])
def test_influence_takes_what_the_basis_makes_of_coefficients_back_to_them(weighted: bool):
    design = draw_half_folded(draw_foldover(6, 1, 0), 40, 0)
    design = weigh(design, lambda masks: weigh_by_proximity(masks, 0.5)) if weighted else design
    side = lay_side(design)
    assert torch.allclose(side.influence @ side.basis, torch.eye(7).double(), atol=1e-12)


def test_halves_of_a_pair_are_units_by_themselves_where_their_weights_are_equal():
    design = draw_half_folded(draw_foldover(6, 1, 0), 40, 0)
    assert lay_side(design).clusters == (Cluster(0, 16, 1), Cluster(16, design.n_samples - 16, 1))
    weighted = weigh(draw_foldover(6, 64, 0), lambda masks: weigh_by_proximity(masks, 0.5))
    assert lay_side(weighted).clusters == (Cluster(0, 64, 2),)
    assert lay_side(draw_bernoulli(6, 30, 0)).clusters == (Cluster(0, 30, 1),)
    # The constant lives on the even halves, the slopes on the odd ones.
    side = lay_side(draw_foldover(6, 64, 0))
    assert side.influence[0, 1::2].abs().max() < 1e-12
    assert side.influence[1:, 0::2].abs().max() < 1e-12


def test_classes_are_taken_in_turns_that_fit(monkeypatch):
    from musiclime_torch.surrogate import sides

    monkeypatch.setattr(sides, "CELLS", 25)
    assert list(split_classes(torch.zeros(5, 3, 4))) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert len(list(split_classes(torch.zeros(2, 30, 40)))) == 2
