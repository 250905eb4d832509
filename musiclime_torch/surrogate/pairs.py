"""Interactions of every two components from a joint design: how much more both do together than each alone.

The surrogate's products (z_i − ½)(z_j − ½): under masks that keep each component with probability ½ their coefficients are
Banzhaf interaction indices (Grabisch & Roubens 1999). Least squares where there are twice as many sampling units as pairs;
else each pair by itself, by its moment, which is unbiased but counts all other interactions as noise.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from musiclime_torch.surrogate.design import Design, send
from musiclime_torch.surrogate.fit import DEPENDENT, Fit, Known
from musiclime_torch.surrogate.signed import full_precision, pick_precision

#: The Gram matrix of more pairs than this costs more than it tells.
MOST_SQUARES = 2000


@dataclass(frozen=True)
class PairFit:
    """Coefficients (class, pair) of the pairs of `columns`; `explained` is their share of the outputs' variance, corrected
    for the noise in their squares.
    """

    columns: Int[Tensor, "pair 2"]
    coefficients: Known
    explained: Float[Tensor, " class"]


@dataclass(frozen=True)
class _Observations:
    """What pairs of columns are fitted to, one row for each sampling unit.

    A product of two columns is the same for both masks of a pair of complements, so the observation of a pair is its mean,
    which counts as `sizes` = 2 rows. So many successive ones as `repeats` share a sound, and their errors are clustered.
    """

    signs: Float[Tensor, "unit d"]
    sizes: Float[Tensor, " unit"]
    means: Float[Tensor, "unit class"]
    repeats: int = 1


def list_pairs(d: int) -> Int[Tensor, "pair 2"]:
    """All pairs i < j.

    >>> list_pairs(3).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    return torch.triu_indices(d, d, 1).T.contiguous()


def solve_pairs(design: Design, outputs: Float[Tensor, "n class"], fit: Fit, every_mask: bool = False) -> PairFit:
    """Every pair of a design without row weights, from what the main effects `fit` leaves over.

    Where the design has `every_mask`, the coefficients have no error.
    """
    assert design.uniform, "weighted rows would change what the products mean"
    columns = send(list_pairs(design.masks.shape[1]), outputs.device)
    with full_precision(outputs.device):
        units = _observe(design, outputs, fit)
    spread = (outputs.double() - outputs.double().mean(0)).square().mean(0)
    enough = 2 * (len(columns) + 1) <= design.units and len(columns) <= MOST_SQUARES
    orthogonal = design.full_cycles or (every_mask and design.orthogonal)
    solve_all = _solve_orthogonal if orthogonal else _solve_squares
    with full_precision(outputs.device):
        solved = solve_all(units, columns) if enough else None
        values, variances, freedom = solved or _solve_moments(units, columns)
    values, variances = values.double(), variances.double()
    if every_mask:
        variances, freedom = torch.zeros_like(variances), float("inf")
    # A product of two columns ±½ is ±¼: its variance is 1/16.
    explained = (values.square() - variances).sum(0) / 16
    return PairFit(
        columns=columns,
        coefficients=Known(values.T, variances.clamp_min(0).sqrt().T, torch.full_like(values, freedom).T),
        explained=torch.where(spread > 0, explained / spread, torch.zeros_like(spread)),
    )


def _observe(design: Design, outputs: Float[Tensor, "n class"], fit: Fit) -> _Observations:
    """The residuals of the main effects, one row for each sampling unit."""
    kind = pick_precision(outputs)
    masks = design.masks.to(kind)
    coded = masks - 0.5
    residuals = (outputs.double() - fit.intercept).to(kind) - masks @ fit.coefficients.values.T.to(kind)
    sizes = torch.cat([coded.new_full((design.folded // 2,), 2), coded.new_ones(design.n_samples - design.folded)])
    pairs = design.folded
    means = torch.cat([(residuals[0:pairs:2] + residuals[1:pairs:2]) / 2, residuals[pairs:]])
    centred = means - (sizes @ means) / sizes.sum()
    return _Observations(torch.cat([coded[0:pairs:2], coded[pairs:]]), sizes, centred, design.repeats)


def _solve_moments(
    units: _Observations, columns: Int[Tensor, "pair 2"]
) -> tuple[Float[Tensor, "pair class"], Float[Tensor, "pair class"], float]:
    """16 × the mean of x_i x_j y: a product is ±¼ with equal chances, whatever the others are."""
    weights = units.sizes / units.sizes.sum()
    tables = torch.einsum("ui,uc,uj->cij", units.signs, 16 * weights[:, None] * units.means, units.signs)
    values = tables[:, columns[:, 0], columns[:, 1]].T
    count = len(units.sizes)
    if units.repeats > 1:
        products = 16 * weights[:, None] * units.signs[:, columns[:, 0]] * units.signs[:, columns[:, 1]]
        return values, *_cluster(units, products, units.means, values)
    spread = 16 * (weights.square()[:, None] * units.means.square()).sum(0)
    variances = (spread - values.square() * weights.square().sum()) * count / (count - 1)
    return values, variances, float(count - 1)


def _solve_orthogonal(
    units: _Observations, columns: Int[Tensor, "pair 2"]
) -> tuple[Float[Tensor, "pair class"], Float[Tensor, "pair class"], float]:
    """Least squares where products are orthogonal: signed means, and one variance for all pairs of a class."""
    products = 4 * units.signs[:, columns[:, 0]] * units.signs[:, columns[:, 1]]
    count, pairs = products.shape
    values = products.T @ units.means * (4 / count)
    missed = (units.means - products @ values / 4).square().sum(0)
    # A row of G⁻¹ Xᵀ W is 16 / count times the product, which is ±¼: its square is 16 / count².
    variances = missed * (16 / (count * (count - pairs - 1)))
    return values, variances.expand(pairs, -1), float(count - pairs - 1)


def _cluster(
    units: _Observations,
    influence: Float[Tensor, "unit pair"],
    means: Float[Tensor, "unit class"],
    values: Float[Tensor, "pair class"],
) -> tuple[Float[Tensor, "pair class"], float]:
    """Variances of estimates Σ_u influence · means, and their degrees of freedom, where units of one sound are a cluster.

    `values` are what the sums come to, which each cluster's part is compared with.
    """
    groups = len(means) // units.repeats
    rows = []
    for column, value in zip(means.T, values.T, strict=True):
        parts = (influence * column[:, None]).unflatten(0, (groups, units.repeats)).sum(1) - value / groups
        rows.append(parts.square().sum(0) * (groups / (groups - 1)))
    return torch.stack(rows, 1), float(groups - 1)


def _solve_squares(
    units: _Observations, columns: Int[Tensor, "pair 2"]
) -> tuple[Float[Tensor, "pair class"], Float[Tensor, "pair class"], float] | None:
    """Least squares of all pairs at once; None where the masks can't tell them apart."""
    # In float64 on every device: whether products can be told apart shows in digits that float32 doesn't have.
    sizes, signs, means = units.sizes.double(), units.signs.double(), units.means.double()
    products = signs[:, columns[:, 0]] * signs[:, columns[:, 1]]
    products = products - (sizes @ products) / sizes.sum()
    weighted = sizes[:, None] * products
    # Scaled so that the Gram matrix of orthogonal products is the identity, or twice that where all units are pairs.
    factor, info = torch.linalg.cholesky_ex(16 / len(sizes) * products.T @ weighted)
    if int(info) or float(factor.diagonal().min()) ** 2 < DEPENDENT:
        return None
    influence = torch.cholesky_solve(16 / len(sizes) * weighted.T, factor)
    values = influence @ means
    missed = means - products @ values
    count, pairs = products.shape
    if units.repeats > 1:
        enlarged = missed * (count / (count - pairs - 1)) ** 0.5
        return values, *_cluster(units, influence.T, enlarged, torch.zeros_like(values))
    variances = influence.square() @ missed.square() * (count / (count - pairs - 1))
    return values, variances, float(count - pairs - 1)
