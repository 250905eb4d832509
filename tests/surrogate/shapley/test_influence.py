"""Which designs are fit to solve, and degrees of freedom against the full residual projection."""

import torch

from musiclime_torch.surrogate.shapley.coalitions import count_freedom, is_supported


def test_designs_need_full_rank_and_no_row_that_decides_alone():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 3, generator=generator).double()
    sampled = torch.ones(40, dtype=torch.bool)
    assert is_supported(rows, 3, sampled)
    assert not is_supported(torch.cat([rows[:, :2], rows[:, :1]], 1), 3, sampled)
    # A single row has all there is of the last direction: its residual is zero whatever its output is.
    alone = rows.clone()
    alone[:, 2] = 0
    alone[7, 2] = 5
    assert not is_supported(alone, 3, sampled)
    # That is no fault where nothing was left to chance.
    sampled[7] = False
    assert is_supported(alone, 3, sampled)
    assert is_supported(rows[:, :0], 0, sampled)


def test_degrees_of_freedom_are_close_to_bell_and_mccaffreys():
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(60, 4, generator=generator).double()
    influence = rows @ torch.linalg.inv(rows.T @ rows)
    hat = influence @ rows.T
    leverage = hat.diagonal()[:, None]
    residual = torch.eye(60).double() - hat
    weights = influence.square() / (1 - leverage)
    exact = torch.stack(
        [(w * (1 - leverage[:, 0])).sum() ** 2 / (w[:, None] * residual.square() * w).sum() for w in weights.T]
    )
    assert torch.allclose(count_freedom(influence.square(), leverage), exact, rtol=0.05)
