"""How much of a linear surrogate's residual is of third order: that part cancels across Kerdock blocks."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

#: Pairs that are used: products of more would fill memory, and the share is known to a few percent by then.
MOST = 4096

#: Rows of the table of products at a time.
CHUNK = 512


def share_third_order(signs: Float[Tensor, "pair d"], odd: Float[Tensor, "pair class"]) -> Float[Tensor, " class"]:
    """Share of third-order terms in the variance of `odd`, the odd part of the outputs less its main effects; 0 to 1.

    An unbiased moment estimate from all pairs of rows. `signs` are ±1.
    """
    # A triple ijk has the weight E[odd(x) x_i x_j x_k]. Its square is the mean of odd(x) odd(x′) u_i u_j u_k over two
    # independent masks x and x′, where u_i = x_i x′_i. Summed over all triples the products u_i u_j u_k become e₃, the third
    # elementary symmetric polynomial of u. As the u_i are ±1, their power sums are p₁ = p₃ = the overlap of x and x′, and p₂
    # = d, so that Newton's identity e₃ = (p₁³ − 3 p₁ p₂ + 2 p₃) / 6 becomes (p₁³ − (3 d − 2) p₁) / 6. A row with itself has
    # e₃ = C(d, 3) and adds the variance of the noise: it is taken out.
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
    variance = squares / max(pairs - d, 1)
    return torch.where(variance > 0, third / variance, torch.zeros_like(variance)).clamp(0, 1)


def spare(third_order: float, share: Float[Tensor, " class"]) -> Float[Tensor, " class"]:
    """The factor on squared errors of main effects, where third-order terms keep the share `third_order` of theirs."""
    return 1 - share * (1 - third_order)
