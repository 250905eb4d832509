"""What every solver returns: estimates and how well they are known, and a local linear model that has been solved."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design


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
    slopes to pairs without an intercept; rows that stand alone pay for one.
    """
    return design.units - design.masks.shape[1] - (design.folded < design.n_samples)


def enlarge(design: Design, folded: bool) -> float:
    """1 / (1 − average leverage) of a unit: its squared residual is too small by that much."""
    n, d = design.masks.shape
    return n / max(n - (2 * d if folded else d + 1), 0.5)
