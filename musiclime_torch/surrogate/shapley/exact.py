"""Shapley values from all 2^d coalitions: the definition, for few components."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.known import Known, know_exactly


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
