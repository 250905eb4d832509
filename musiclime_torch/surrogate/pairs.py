"""Interactions of every two components from a joint design: how much more both do together than each alone.

The surrogate's products (z_i − ½)(z_j − ½): on half-on designs their coefficients are Banzhaf interaction indices
(Grabisch & Roubens 1999). Least squares where there are twice as many sampling units as pairs; else each pair by itself,
by its moment, which is unbiased but takes all the other interactions for noise.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.solver import DEPENDENT, Fit

#: The Gram matrix of more pairs than this costs more than it tells.
MOST_SQUARES = 2000


@dataclass(frozen=True)
class PairFit:
    """Coefficients of the pairs `columns`; `explained` is their share of the outputs' variance, freed of bias."""

    columns: Int[Tensor, "pair 2"]
    coefficients: Float[Tensor, "pair class"]
    standard_errors: Float[Tensor, "pair class"]
    degrees_of_freedom: Float[Tensor, "pair class"]
    explained: Float[Tensor, " class"]
    method: str


def list_pairs(d: int) -> Int[Tensor, "pair 2"]:
    """All pairs i < j.

    >>> list_pairs(3).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    return torch.combinations(torch.arange(d))


def solve_pairs(design: Design, outputs: Float[Tensor, "n class"], fit: Fit, whole: bool = False) -> PairFit:
    """Every pair of a design without row weights, from what the main effects `fit` leaves over.

    A product is the same for both masks of a pair of complements, so that their mean is the observation. A `whole` design
    has every mask, and its coefficients no error.
    """
    assert design.uniform, "weighted rows would change what the products mean"
    columns = list_pairs(design.masks.shape[1]).to(outputs.device)
    coded = design.masks.double() - 0.5
    residuals = outputs.double() - fit.intercept - design.masks.double() @ fit.coefficients
    sizes = torch.cat([coded.new_full((design.folded // 2,), 2), coded.new_ones(design.n_samples - design.folded)])
    pairs = design.folded
    signs = torch.cat([coded[0:pairs:2], coded[pairs:]])
    means = torch.cat([(residuals[0:pairs:2] + residuals[1:pairs:2]) / 2, residuals[pairs:]])
    means = means - (sizes @ means) / sizes.sum()
    spread = (outputs.double() - outputs.double().mean(0)).square().mean(0)
    enough = 2 * (len(columns) + 1) <= design.units and len(columns) <= MOST_SQUARES
    solved = _solve_squares(signs, sizes, means, columns) if enough else None
    method = "least squares" if solved else "moments"
    values, variances, freedom = solved or _solve_moments(signs, sizes, means, columns)
    if whole:
        variances, freedom = torch.zeros_like(variances), float("inf")
    explained = (values.square() - variances).sum(0) / 16
    return PairFit(
        columns=columns,
        coefficients=values,
        standard_errors=variances.clamp_min(0).sqrt(),
        degrees_of_freedom=torch.full_like(values, freedom),
        explained=torch.where(spread > 0, explained / spread, torch.zeros_like(spread)),
        method=method,
    )


def _solve_moments(
    signs: Float[Tensor, "unit d"],
    sizes: Float[Tensor, " unit"],
    means: Float[Tensor, "unit class"],
    columns: Int[Tensor, "pair 2"],
) -> tuple[Float[Tensor, "pair class"], Float[Tensor, "pair class"], float]:
    """16 × the mean of x_i x_j y: a product is ±¼ with equal chances, whatever the others are."""
    weights = sizes / sizes.sum()
    tables = torch.einsum("ui,uc,uj->cij", signs, 16 * weights[:, None] * means, signs)
    values = tables[:, columns[:, 0], columns[:, 1]].T
    units = len(sizes)
    spread = 16 * (weights.square()[:, None] * means.square()).sum(0)
    variances = (spread - values.square() * weights.square().sum()) * units / (units - 1)
    return values, variances, float(units - 1)


def _solve_squares(
    signs: Float[Tensor, "unit d"],
    sizes: Float[Tensor, " unit"],
    means: Float[Tensor, "unit class"],
    columns: Int[Tensor, "pair 2"],
) -> tuple[Float[Tensor, "pair class"], Float[Tensor, "pair class"], float] | None:
    """Least squares of all pairs at once, None where the masks can't tell them apart."""
    products = signs[:, columns[:, 0]] * signs[:, columns[:, 1]]
    products = products - (sizes @ products) / sizes.sum()
    weighted = sizes[:, None] * products
    factor, info = torch.linalg.cholesky_ex(16 / len(sizes) * products.T @ weighted)
    if int(info) or float(factor.diagonal().min()) ** 2 < DEPENDENT:
        return None
    influence = torch.cholesky_solve(16 / len(sizes) * weighted.T, factor)
    values = influence @ means
    missed = means - products @ values
    units, pairs = products.shape
    variances = influence.square() @ missed.square() * (units / (units - pairs - 1))
    return values, variances, float(units - pairs - 1)
