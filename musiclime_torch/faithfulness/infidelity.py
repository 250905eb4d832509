"""Infidelity (Yeh et al. 2019, eq. 1): how far attributions are from the drops that removals make, squared and averaged."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


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
        normalize: scale the attributions by the factor that fits best first, as Captum does.

    >>> kept = torch.tensor([[True, False], [False, False]])
    >>> float(measure_infidelity(torch.tensor([1.0, 2.0]), kept, torch.tensor([2.0, 4.0])))
    0.5
    """
    promised = attributions.double() @ (~masks).double().T
    drops = drops.to(promised)
    if normalize:
        square = promised.square().sum(-1, keepdim=True)
        factor = (promised * drops).sum(-1, keepdim=True) / square.clamp_min(torch.finfo(torch.float64).tiny)
        promised = promised * factor
    return (promised - drops).square().mean(-1)
