"""How well attributions predict the model's values on masks that they weren't fitted to.

Fidelity is the R² of their sums on held-out masks; infidelity (Yeh et al. 2019, eq. 1) the squared difference between
their sums and the drops that removals make, averaged.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def measure_fidelity(
    attributions: Float[Tensor, "*rows d"],
    masks: Bool[Tensor, "n d"],
    weights: Float[Tensor, " n"],
    values: Float[Tensor, " n"],
) -> Float[Tensor, "*rows"]:
    """R²: 1 − variance of (value − attributions kept) / variance of the value, both under the row weights.

    A constant is free, for attributions don't include one. 1 where they explain everything, also where the value doesn't
    vary at all; below 0 where a constant alone would explain more.

    >>> kept = torch.tensor([[True, True], [True, False], [False, True], [False, False]])
    >>> float(measure_fidelity(torch.tensor([1.0, 2.0]), kept, torch.ones(4), torch.tensor([8.0, 6.0, 7.0, 5.0])))
    1.0
    """
    # The sum over kept components is the surrogate without its intercept. Variances ignore the mean, so the best constant is
    # taken out without solving for it.
    values = values.double()
    left = values - attributions.to(values) @ masks.to(values).T
    missed, spread = _vary(left, weights), _vary(values, weights)
    # A value that is NaN somewhere has the spread NaN, which isn't 0: its fidelity stays NaN and can't pass for 1.
    return torch.where(spread == 0, 1.0, 1 - missed / torch.where(spread == 0, 1.0, spread))


def _vary(values: Float[Tensor, "*rows n"], weights: Float[Tensor, " n"]) -> Float[Tensor, "*rows"]:
    share = weights.to(values) / weights.to(values).sum()
    return (share * (values - (share * values).sum(-1, keepdim=True)).square()).sum(-1)


def measure_infidelity(
    attributions: Float[Tensor, "*rows d"],
    masks: Bool[Tensor, "n d"],
    drops: Float[Tensor, " n"],
    *,
    normalize: bool = False,
) -> Float[Tensor, "*rows"]:
    """Mean over variants of (attributions removed − drop)², as Captum's `infidelity` with 1 − mask as the perturbation.

    Args:
        attributions: one row or several.
        masks: of the variants, True = kept.
        drops: the value on the song less the value on each variant.
        normalize: first scale the attributions by the factor that fits best, as Captum does.

    >>> kept = torch.tensor([[True, False], [False, False]])
    >>> float(measure_infidelity(torch.tensor([1.0, 2.0]), kept, torch.tensor([2.0, 4.0])))
    0.5
    """
    # Eq. 1: E[(Iᵀ φ − (f(x) − f(x − I)))²] with the perturbation I = 1 − mask: Iᵀ φ sums the attributions of what was
    # removed.
    promised = attributions.double() @ (~masks).double().T
    drops = drops.to(promised)
    if normalize:
        # The least-squares factor of the drops on the promised ones: <p, drop> / <p, p>.
        square = promised.square().sum(-1, keepdim=True)
        factor = (promised * drops).sum(-1, keepdim=True) / square.clamp_min(torch.finfo(torch.float64).tiny)
        promised = promised * factor
    return (promised - drops).square().mean(-1)
