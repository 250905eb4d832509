"""A cheap model's answers as a control variate: they take away what both models err by, and leave estimates unbiased.

A design's error is what main effects leave over of the outputs: products of three components and more. A proxy that hears
the same products shows on which masks they add up. Its own main effects are known from very many masks, so that only what
they leave over of the proxy, h, is subtracted, times a factor α for each class.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.surrogate.design import Design

#: Parts that α is fitted on all but one of: each part's rows are corrected by a factor that they had no say in.
FOLDS = 4

#: The largest factor: a proxy is trusted to be too weak by half, not more.
MOST = 1.5

#: Units beyond the slopes that α is fitted beside them with; with fewer, the proxy's own slopes stand in for them.
SPARE = 16


@dataclass(frozen=True)
class Corrected:
    """Values with the proxy's rest subtracted, and the factor of each class, averaged over folds."""

    values: Float[Tensor, "n class"]
    alpha: Float[Tensor, " class"]


# Prediction-powered inference (Angelopoulos et al. 2023, with the power tuning of Angelopoulos, Duchi & Zrnic 2023) for
# slopes. With L the operator that takes values on the masks to slopes,
#     β = L f − α (L g − β_g) = L (f − α h),    h = g − (μ_g + Zβ_g),
# for L applied to μ_g + Zβ_g is β_g itself. E[L h] = 0 whatever g is, so that β is unbiased for any α that doesn't depend on
# the rows it multiplies. α minimises the variance where it is the slope of f's residual on g's:
#     α = ⟨r_f, r_h⟩ / |r_h|²,
# both after main effects are taken out: by regression or, where units are few, as multiples of the proxy's own. α is noise
# where the proxy is useless. It is shrunk by 1 − 2/t², t being α over its standard error, and is zero where t² is below 2.
# In a fold-over only half differences of pairs reach the slopes; even terms cancel in them, and α is fitted to what is left.


def correct(
    design: Design, values: Float[Tensor, "n class"], proxy: Float[Tensor, "n class"], fitted: Float[Tensor, "n class"]
) -> Corrected:
    """Subtract α h from the values. `proxy` are the proxy's values on the same masks, and `fitted` is what its main effects
    say of them, so that h is their difference.

    α is fitted for every class, on whole blocks apart from those that it corrects; where there is a single block, on
    sampling units apart from them.
    """
    folds, rest = split_folds(design).to(values.device), proxy - fitted
    corrected, alpha = values.clone(), values.new_zeros(values.shape[1])
    count = int(folds.max()) + 1
    for fold in range(count):
        others = folds != fold
        factor = fit_alpha(design, values, rest, fitted, others)
        corrected -= torch.where(others[:, None], torch.zeros_like(rest), factor * rest)
        alpha += factor / count
    return Corrected(corrected, alpha)


def split_folds(design: Design) -> Int[Tensor, " n"]:
    """The fold of each row: whole blocks where there are two or more, else whole sampling units.

    >>> from musiclime_torch.surrogate.blocks import draw_foldover
    >>> split_folds(draw_foldover(3, 24, 0)).bincount().tolist()
    [8, 8, 8]
    """
    n = design.n_samples
    size = 2 * design.repeats if design.folded else 1
    blocks = n // design.block if design.block > 1 else 0
    whole = design.block if blocks > 1 else size
    groups = torch.arange(n) // whole
    count = int(groups.max()) + 1
    return groups * min(FOLDS, count) // count


def fit_alpha(
    design: Design,
    values: Float[Tensor, "n class"],
    rest: Float[Tensor, "n class"],
    fitted: Float[Tensor, "n class"],
    rows: Bool[Tensor, " n"],
) -> Float[Tensor, " class"]:
    """The factor of each class from some of the rows."""
    own, theirs, slopes = (_take_units(design, part[rows]) for part in (values, rest, fitted))
    units, d = len(own), design.masks.shape[1]
    if units >= d + SPARE:
        columns = _take_units(design, design.masks[rows.to(design.masks.device)].to(values.dtype))
        basis, _ = torch.linalg.qr(columns)
        own, theirs, freedom = own - basis @ (basis.T @ own), theirs - basis @ (basis.T @ theirs), units - d - 1
    else:
        own, theirs, freedom = _take_away(own, slopes), _take_away(theirs, slopes), units - 2
    if freedom < 1:
        return values.new_zeros(values.shape[1])
    tiny = torch.finfo(values.dtype).tiny
    power = theirs.square().sum(0).clamp_min(tiny)
    alpha = (own * theirs).sum(0) / power
    variance = (own - alpha * theirs).square().sum(0) / freedom / power
    shrunk = alpha * (1 - 2 * variance / alpha.square().clamp_min(tiny)).clamp_min(0)
    return shrunk.clamp(0, MOST)


def _take_units(design: Design, values: Float[Tensor, "row column"]) -> Float[Tensor, "unit column"]:
    """Half differences of a fold-over's pairs; rows that stand alone without their mean."""
    if design.folded == design.n_samples:
        return (values[0::2] - values[1::2]) / 2
    return values - values.mean(0)


def _take_away(values: Float[Tensor, "unit class"], others: Float[Tensor, "unit class"]) -> Float[Tensor, "unit class"]:
    """What a multiple of others leaves over of values, class by class."""
    power = others.square().sum(0).clamp_min(torch.finfo(values.dtype).tiny)
    return values - (values * others).sum(0) / power * others
