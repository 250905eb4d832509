"""How much of what a linear surrogate leaves over is of third order: that part cancels across Kerdock blocks."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

#: Pairs that are looked at: all products of more would fill memory, and the share is known to a few percent by then.
MOST = 4096

#: Rows of the table of products at a time.
CHUNK = 512


def share_third_order(signs: Float[Tensor, "pair d"], odd: Float[Tensor, "pair class"]) -> Float[Tensor, " class"]:
    """Share of third-order terms in the variance of `odd`, the odd part of the outputs less its main effects; 0 to 1.

    An unbiased moment: the sum of all triples' squared weights is the mean of odd(x) odd(x′) e₃(x · x′) over two different
    pairs of complements, e₃ being the sum of products of three of the x_i x′_i (by Newton's identities, as these are ±1).
    `signs` are ±1.
    """
    signs, odd = signs[:MOST], odd[:MOST]
    pairs, d = signs.shape
    total = odd.new_zeros(odd.shape[1])
    for start in range(0, pairs, CHUNK):
        rows = slice(start, start + CHUNK)
        overlap = signs[rows] @ signs.T
        triples = (overlap**3 - (3 * d - 2) * overlap) / 6
        total += (odd[rows] * (triples @ odd)).sum(0)
    squares = odd.square().sum(0)
    third = (total - math.comb(d, 3) * squares) / (pairs * (pairs - 1))
    whole = squares / max(pairs - d, 1)
    return torch.where(whole > 0, third / whole, torch.zeros_like(whole)).clamp(0, 1)


def spare(third_order: float, share: Float[Tensor, " class"]) -> Float[Tensor, " class"]:
    """The factor on squared errors of main effects where third-order terms keep `third_order` of theirs."""
    return 1 - share * (1 - third_order)
