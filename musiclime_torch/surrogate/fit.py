"""What every solver returns: estimates and how well they are known, and a local linear model that has been solved."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design, send
from musiclime_torch.surrogate.kerdock import share_third_order, spare


@dataclass(frozen=True)
class Known:
    """Estimates of every class with their standard errors and degrees of freedom. The class is always the first axis.

    The confidence interval of an entry is value ± t · error, with Student's t quantile for `freedom`. Where nothing was
    left to chance the error is zero and the degrees of freedom are infinite.
    """

    values: Float[Tensor, "class *entry"]
    errors: Float[Tensor, "class *entry"]
    freedom: Float[Tensor, "class *entry"]


def know_exactly(values: Float[Tensor, "class *entry"]) -> Known:
    """Values that no sampling was needed for."""
    return Known(values, torch.zeros_like(values), torch.full_like(values, torch.inf))


def pick(values: Float[Tensor, "..."], kept: Sequence[int] | None) -> Float[Tensor, "..."]:
    """Some classes by number, None for all; nothing waits for a GPU, as picking by a list would.

    >>> pick(torch.tensor([0.5, 1.5, 2.5]), (2, 0))
    tensor([2.5000, 0.5000])
    """
    if kept is None or tuple(kept) == tuple(range(len(values))):
        return values
    return values.index_select(0, send(torch.tensor(tuple(kept), dtype=torch.long), values.device))


#: A squared pivot of the correlation-scaled Gram matrix below this is a column that the others already contain:
#: float64 leaves about 1e-14 of an exact duplicate, and an honest column of 1,000 keeps above 1e-6.
DEPENDENT = 1e-10


@dataclass(frozen=True)
class Fit:
    """A local linear model of every class; `coefficients` are (class, d).

    `intercept` is the surrogate's value with every component off, `fidelity` the weighted R² (1 where the outputs don't
    vary at all), `pivots` the share of each column's variance that the columns before it don't explain.
    """

    coefficients: Known
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    pivots: Float[Tensor, " d"]

    @property
    def dependent(self) -> Bool[Tensor, " d"]:
        """Columns that are combinations of earlier ones: their coefficients mean nothing."""
        return ~(self.pivots > DEPENDENT)


def count_freedom(design: Design) -> int:
    """Degrees of freedom that d slopes leave of a design: a pair's mean carries no main effect, so a fold-over fits its
    slopes to pairs without an intercept; rows that stand alone pay for one. Of groups that share a sound, the slopes of
    words take a part alone: they are fitted within groups too.
    """
    if design.repeats > 1:
        words = design.masks.shape[1] - design.shared
        return design.units - design.shared - -(-words // design.repeats)
    return design.units - design.masks.shape[1] - (design.folded < design.n_samples)


def enlarge(design: Design, folded: bool) -> float:
    """1 / (1 − average leverage) of a unit: its squared residual is too small by that much."""
    n, d = design.masks.shape
    return n / max(n - (2 * d if folded else d + 1), 0.5)


# Errors. Pairs with one sound share its chance, so that they are one cluster g (Cameron & Miller 2015): with s = ±1 and r
# the residuals of half differences,
#     u_g = c Σ_{p in g} s_p r_p,    Var β = Σ_g u_g².
# Residuals are too small, for slopes were fitted to them. A group's mean residual lost the d_s slopes of the sounds and a
# k-th of those of the words; what pairs differ by within their group lost the rest of the words'. Each part is enlarged by
# its own degrees of freedom. With G groups of k pairs:
#     f_mean = G / (G − d_s − d_w / k),    f_within = G k / (G k − d_w).
def enlarge_shared(design: Design, residuals: Float[Tensor, "pair class"]) -> Float[Tensor, "pair class"]:
    """Residuals of pairs, made as large as those of slopes that weren't fitted to them."""
    groups, k, words = design.units, design.repeats, design.masks.shape[1] - design.shared
    mean = residuals.unflatten(0, (groups, k)).mean(1, keepdim=True)
    within = residuals.unflatten(0, (groups, k)) - mean
    left = max(groups - design.shared - words / k, 0.5)
    spare = max(groups * k - words, 0.5)
    return (mean * (groups / left) ** 0.5 + within * (groups * k / spare) ** 0.5).flatten(0, 1)


def sum_groups(design: Design, contributions: Float[Tensor, "pair d"]) -> Float[Tensor, "unit d"]:
    """Contributions of pairs added up over those that share a sound."""
    return contributions.unflatten(0, (design.units, design.repeats)).sum(1)


#: The share of third order in what nested blocks err by. A cycle of them can't show its own share; between none and all of
#: it, half keeps intervals of 95% between 92% and 98% where at least 0.6 of third-order errors are left.
ASSUMED_THIRD_ORDER = 0.5

#: A hair on the diagonal of the local terms' Gram matrix: in few blocks some of them are the same column.
HAIR = 1e-6


@dataclass(frozen=True)
class Correction:
    """What a design's structure says beyond its pairs: `factor` goes on the variances of main effects, and `spent` is the
    number of degrees of freedom that local terms have taken.
    """

    factor: Float[Tensor, " class"]
    spent: Float[Tensor, ""]


# Pairs show all odd terms that main effects leave over. Local terms are never confounded with main effects, so they are no
# part of the errors: they are fitted too, as nuisance columns P, and what the residual r keeps is
#     r' = r − P (PᵀP)⁻¹ Pᵀ r,    with the variance |r'|² / (m − d − k) instead of |r|² / (m − d)
# of m pairs, d main effects and k local terms. P is orthogonal to the main effects, so these stay what they are. Where some
# local terms are the same column in all blocks, a hair on the diagonal lets them share it, and k, the trace of the
# projection, counts them once. Of what is left, blocks that belong together make a part of the third-order terms cancel.


def correct_errors(design: Design, signs: Float[Tensor, "pair d"], odd: Float[Tensor, "pair class"]) -> Correction:
    """The correction for a fold-over's main effects. `signs` are ±1, `odd` is what main effects leave of the pairs."""
    factor, spent = odd.new_ones(odd.shape[1]), odd.new_zeros(())
    if can_spare_local(design):
        kept, spent = _remove_local(design, signs.to(odd.dtype), odd)
        freedom = design.units - design.masks.shape[1]
        before = odd.square().sum(0)
        after = kept.square().sum(0) * (freedom / (freedom - spent))
        factor, odd = torch.where(before > 0, after / before, factor), kept
    if not design.cycle:
        return Correction(factor, spent)
    share = torch.full_like(factor, ASSUMED_THIRD_ORDER) if len(design.left) else share_third_order(signs, odd)
    return Correction(factor * spare(design.third_order, share), spent)


def can_spare_local(design: Design) -> bool:
    """Whether local terms can be fitted: whole blocks, and at least as many pairs left over as there are such terms."""
    left = design.units - design.masks.shape[1]
    complete = design.uniform and design.folded == design.n_samples and design.n_samples % design.block == 0
    return complete and 0 < 2 * len(design.local) <= left


def _remove_local(
    design: Design, signs: Float[Tensor, "pair d"], odd: Float[Tensor, "pair class"]
) -> tuple[Float[Tensor, "pair class"], Float[Tensor, ""]]:
    """What local terms leave over, and how many of them there are to be told apart."""
    products = signs[:, send(design.local, odd.device)].prod(2)
    gram = products.T @ products / len(products)
    hair = HAIR * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    factor, _ = torch.linalg.cholesky_ex(gram + hair)
    weights = torch.cholesky_solve(products.T @ odd / len(products), factor)
    return odd - products @ weights, torch.cholesky_solve(gram, factor).diagonal().sum()
