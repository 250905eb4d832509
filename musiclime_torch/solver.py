"""The surrogate: weighted least squares in closed form, for all classes at once, with standard errors.

Masks are coded z − ½ and centred by their weighted mean; everything is float64 on the device of the inputs and nothing
waits for the host: what may have gone wrong comes back as tensors in the `Fit`, to be read after the last coefficient.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.design import Design

#: A squared pivot of the correlation-scaled Gram matrix below this is a column that the others already contain:
#: float64 leaves about 1e-14 of an exact duplicate, and an honest column of 1,000 keeps above 1e-6.
DEPENDENT = 1e-10


@dataclass(frozen=True)
class Fit:
    """A local linear model of every class, and how well it is known.

    `intercept` is the surrogate's value with every component off, `fidelity` the weighted R² (1 where the outputs don't
    vary at all), `pivots` the share of each column's variance that the columns before it don't explain.
    """

    coefficients: Float[Tensor, "d class"]
    standard_errors: Float[Tensor, "d class"]
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    pivots: Float[Tensor, " d"]
    degrees_of_freedom: int

    @property
    def dependent(self) -> Bool[Tensor, " d"]:
        """Columns that are combinations of earlier ones: their coefficients mean nothing."""
        return ~(self.pivots > DEPENDENT)


def solve(design: Design, outputs: Float[Tensor, "n class"], ridge: float) -> Fit:
    """Regress the outputs on the masks: (Xᵀ W X + ridge·I) β = Xᵀ W Y on centred X and Y; the intercept isn't penalised.

    Standard errors are sandwich forms (White 1980, HC1), clustered by pair where the design is paired (Cameron & Miller
    2015): a fold-over's rows are not independent, its pairs are.
    """
    weights = design.weights.double()[:, None]
    masks = design.masks.double().sub_(0.5)
    total = weights.sum()
    mask_mean = (weights * masks).sum(0) / total
    targets = outputs.double()
    target_mean = (weights * targets).sum(0) / total
    targets = targets - target_mean

    # Centring the small matrices instead of the masks saves passes over n × d numbers; z − ½ is nearly centred already.
    gram = masks.T @ (weights * masks) - total * torch.outer(mask_mean, mask_mean)
    gram.diagonal().add_(ridge)
    scale = gram.diagonal().clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
    factor, _ = torch.linalg.cholesky_ex(gram * scale * scale[:, None])
    inverse = torch.cholesky_solve(torch.diag(scale), factor) * scale[:, None]
    coefficients = inverse @ (masks.T @ (weights * targets))

    residuals = targets + mask_mean @ coefficients - masks @ coefficients
    influence = torch.addmm(-mask_mean @ inverse, masks, inverse)
    variances, freedom = _variances(influence, weights * residuals, design.paired)
    spread = (weights * targets.square()).sum(0)
    missed = (weights * residuals.square()).sum(0)
    return Fit(
        coefficients=coefficients,
        standard_errors=variances.clamp_min(0).sqrt(),
        intercept=target_mean - (mask_mean + 0.5) @ coefficients,
        fidelity=torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread)),
        pivots=factor.diagonal().square(),
        degrees_of_freedom=freedom,
    )


def _variances(
    influence: Float[Tensor, "n d"], residuals: Float[Tensor, "n class"], paired: bool
) -> tuple[Float[Tensor, "d class"], int]:
    """Σ over sampling units of (influence × weighted residual)², and the degrees of freedom the correction leaves.

    A pair's sum squared is its rows' squares and twice their product: three matrix products, no (pair, d, class) array.
    """
    n, d = influence.shape
    both = (influence[0::2] * influence[1::2]).T @ (residuals[0::2] * residuals[1::2]) if paired else None
    variances = influence.square_().T @ residuals.square()
    if both is None:
        freedom = n - d - 1
        return variances * (n / freedom), freedom
    # A pair's mean carries no main effect, so the d slopes are fitted to n / 2 differences.
    freedom = n // 2 - d
    return (variances + 2 * both) * (n / 2 / freedom), freedom
