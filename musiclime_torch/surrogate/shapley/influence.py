"""How much a single sampled pair decides: what makes a design fit to solve, and its errors fit to believe."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: A sampled pair of more leverage decides a direction by itself: its error is fitted away and would be reported as zero.
DECIDES = 0.99

#: Draws of a whole design before its budget is called too small.
ATTEMPTS = 100


def is_supported(directions: Float[Tensor, "unit d"], rank: int, sampled: Bool[Tensor, " unit"]) -> bool:
    """Whether weighted rows span `rank` dimensions, and no sampled one decides a dimension by itself."""
    if rank == 0:
        return True
    basis, values, _ = torch.linalg.svd(directions, full_matrices=False)
    leverage = basis[:, :rank].square().sum(1)
    return bool(values[rank - 1] > 1e-3) and bool((leverage[sampled] < DECIDES).all())


def count_freedom(squares: Float[Tensor, "unit d"], leverage: Float[Tensor, "unit 1"]) -> Float[Tensor, " d"]:
    """Degrees of freedom of Σ squares · residual² / (1 − leverage), if errors were equal (Bell & McCaffrey 2002).

    They are (Σ q (1 − h))² / Σ Σ q q' M² with q = squares / (1 − h) and M the residual projection. The squares of M off the
    diagonal, h (1 − h) a row, enter on average instead of cell by cell, which would cost units² memory; measured, the two
    agree within a few percent.
    """
    leaked = (squares * leverage).sum(0).square() / (leverage * (1 - leverage)).sum()
    return squares.sum(0).square() / (squares.square().sum(0) + leaked)
