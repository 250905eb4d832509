"""What every way of estimating Shapley values gives back."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class ShapleyFit:
    """Shapley values of d components for every class, and how well they are known.

    An interval is coefficient ± t · standard error, with the t quantile of `degrees_of_freedom`; those are infinite, and
    the standard error zero, where every coalition was evaluated. The columns sum to f(song) − f(empty).
    """

    coefficients: Float[Tensor, "d class"]
    standard_errors: Float[Tensor, "d class"]
    degrees_of_freedom: Float[Tensor, "d class"]
