"""Shapley values from coalitions: exactly from all of them, and what a sample must satisfy to replace all.

All 2^d coalitions are the definition, for few components. In a sample, a pair that alone decides a direction makes the
fit unsupported and its errors unbelievable: its leverage tells. `leverage` and `levels` draw again until no pair does.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.known import Known, know_exactly

#: A sampled pair of more leverage decides a direction by itself: its error is fitted away and would be reported as zero.
DECIDES = 0.99

#: Singular values below this leave a direction undetermined; on average they are one.
LEAST_SINGULAR = 1e-3

#: Units beyond the slopes, as a share of these: leverages are slopes / units on average, and must stay below `DECIDES`.
SPARE_SHARE = 0.05

#: Draws of a whole design before its budget is called too small.
ATTEMPTS = 100


def solve_exact(masks: Bool[Tensor, "n d"], values: Float[Tensor, "n class"]) -> Known:
    """φ_i = Σ_S s!(d − s − 1)!/d! · (v(S ∪ i) − v(S)) over the coalitions S without i (Shapley 1953), for all classes.

    `masks` holds each of the 2^d coalitions once, in any order, `values` the model's outputs in the same order; InputError
    where the number of rows is another.
    """
    n, d = masks.shape
    if n != 2**d or len(values) != n:
        raise InputError(
            f"{n} masks and {len(values)} values are not all {2**d} coalitions of {d} components: enumerate them."
        )
    targets = values.double()
    centred = targets - targets.mean(0)
    size = torch.arange(1, d + 1, dtype=torch.float64, device=masks.device)
    # 1 / (s · C(d, s)), the weight of joining s − 1 others, with nothing to be joined at s = 0.
    joining = torch.cat([size.new_zeros(1), 1 / (size * ((d + 1 - size) / size).cumprod(0))])
    sizes = masks.sum(1)
    with_it, without_it = joining[sizes], joining.flip(0)[sizes]
    coefficients = torch.where(masks, with_it[:, None], -without_it[:, None]).T @ centred
    return know_exactly(coefficients.T)


def is_supported(directions: Float[Tensor, "unit d"], rank: int, sampled: Bool[Tensor, " unit"]) -> bool:
    """Whether weighted rows span `rank` dimensions (d, or d − 1 where every row sums to zero), and no sampled one decides a
    dimension by itself.
    """
    if rank == 0:
        return True
    # By the Gram matrix, not by a singular value decomposition, which takes minutes at d = 5,000. Where rows sum to zero it
    # lacks the direction of equal changes: 1/d in every cell fills it.
    gram = directions.T @ directions + (1 / directions.shape[1] if rank < directions.shape[1] else 0.0)
    if not bool(torch.linalg.eigvalsh(gram)[0] > LEAST_SINGULAR**2):
        return False
    leverage = (torch.cholesky_solve(directions.T, torch.linalg.cholesky(gram)) * directions.T).sum(0)
    return bool((leverage[sampled] < DECIDES).all())


def count_freedom(squares: Float[Tensor, "unit d"], leverage: Float[Tensor, "unit 1"]) -> Float[Tensor, " d"]:
    """Degrees of freedom of Σ squares · residual² / (1 − leverage), if errors were equal (Bell & McCaffrey 2002).

    They are (Σ q (1 − h))² / Σ Σ q q' M² with q = squares / (1 − h) and M the residual projection. The squares of M off the
    diagonal, h (1 − h) a row, enter on average instead of cell by cell, which would cost units² memory; measured, the two
    agree within a few percent.
    """
    leaked = (squares * leverage).sum(0).square() / (leverage * (1 - leverage)).sum()
    return squares.sum(0).square() / (squares.square().sum(0) + leaked)
