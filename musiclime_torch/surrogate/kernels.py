"""Row weights by distance from the song, and designs that carry them.

A kernel takes masks (n, d), True = kept, and returns n weights. The distance of a mask from the
song is the cosine distance of the 0/1 vectors, 1 − √(share kept), in [0, 1].
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.design import Design

#: Masks of n rows and d columns -> one weight a row.
RowWeights = Callable[[Bool[Tensor, "n d"]], Float[Tensor, " n"]]

#: MusicLIME's width; against distances in [0, 1] the weights lie in [0.9992, 1]: unweighted in effect.
PAPER_WIDTH = 25.0


def weigh_by_proximity(masks: Bool[Tensor, "n d"], kernel_width: float) -> Float[Tensor, " n"]:
    """LIME's kernel √exp(−distance² / width²) (Ribeiro et al. 2016; their code's square root kept).

    >>> weigh_by_proximity(torch.tensor([[True, True], [False, False]]), 0.5).tolist()
    [1.0, 0.1353...]
    """
    if not kernel_width > 0:
        raise InputError(f"kernel_width must be above 0, got {kernel_width}: LIME's own are 0.25 (images) and 25 (text).")
    distance = 1 - masks.double().mean(1).sqrt()
    return torch.exp(-distance.square() / (2 * kernel_width**2)).float()


def weigh(design: Design, row_weights: RowWeights) -> Design:
    """The design with its rows weighted; InputError where the weights leave too few effective rows.

    Kish's effective size (Σw)² / Σw² says how many equal rows the weighted ones are worth.
    """
    weights = row_weights(design.masks)
    n, d = design.masks.shape
    effective = float(weights.sum().square() / weights.square().sum())
    if not effective > d + 1:
        raise InputError(
            f"these row weights leave an effective size of {effective:.1f} of {n} masks for {d} components: "
            f"use a wider kernel, uniform weights or more masks."
        )
    return replace(design, weights=weights, uniform=False)
