"""Shapley values from all 2^d coalitions: the definition, for few components."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.failures import InputError
from musiclime_torch.shapley.fit import ShapleyFit

#: 65,536 coalitions: the most that anyone would wait for.
MOST_COMPONENTS = 16


def enumerate_masks(d: int) -> Bool[Tensor, "n d"]:
    """All 2^d coalitions; bit i of the row number says whether component i is on, so the last row is the song.

    InputError outside 1 ≤ d ≤ 16.

    >>> enumerate_masks(2).int().tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    if not 1 <= d <= MOST_COMPONENTS:
        raise InputError(
            f"all coalitions of {d} components can't be enumerated: "
            f"take 1 to {MOST_COMPONENTS} components or a sampled design (draw_leverage, draw_levels)."
        )
    return (torch.arange(2**d)[:, None] >> torch.arange(d)) & 1 == 1


def solve_exact(masks: Bool[Tensor, "n d"], values: Float[Tensor, "n class"]) -> ShapleyFit:
    """φ_i = Σ_S s!(d − s − 1)!/d! · (v(S ∪ i) − v(S)) over the coalitions S without i (Shapley 1953), for all classes.

    `masks` holds each of the 2^d coalitions once, in any order, `values` the model's outputs in the same order; InputError
    where the number of rows is another.
    """
    n, d = masks.shape
    if n != 2**d or len(values) != n:
        raise InputError(
            f"{n} masks and {len(values)} values aren't all {2**d} coalitions of {d} components: enumerate them."
        )
    targets = values.double()
    centred = targets - targets.mean(0)
    size = torch.arange(1, d + 1, dtype=torch.float64, device=masks.device)
    # 1 / (s · C(d, s)), the weight of joining s − 1 others, with nothing to be joined at s = 0.
    joining = torch.cat([size.new_zeros(1), 1 / (size * ((d + 1 - size) / size).cumprod(0))])
    sizes = masks.sum(1)
    with_it, without_it = joining[sizes], joining.flip(0)[sizes]
    coefficients = torch.where(masks, with_it[:, None], -without_it[:, None]).T @ centred
    exact = torch.zeros_like(coefficients)
    return ShapleyFit(coefficients, exact, torch.full_like(exact, torch.inf))
