"""Which components are on in which variant: masks, their pairing and row weights. Tensors only, no audio.

Masks are drawn on the CPU from an explicit seed, so that a design is the same on every device, and are moved once.
In a paired design rows 2i and 2i + 1 are each other's complement; the pair is the sampling unit of the errors.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.failures import InputError
from musiclime_torch.hadamard import hadamard, smallest_order

#: Masks of n rows and d columns -> one weight a row.
RowWeights = Callable[[Bool[Tensor, "n d"]], Float[Tensor, " n"]]


@dataclass(frozen=True)
class Design:
    """All masks and their weights; `block` is the number of rows that is drawn at once."""

    masks: Bool[Tensor, "n d"]
    weights: Float[Tensor, " n"]
    paired: bool
    block: int

    @property
    def n_samples(self) -> int:
        """Number of masks."""
        return self.masks.shape[0]

    def to(self, device: torch.device | str) -> "Design":
        """The same design on another device."""
        return replace(self, masks=self.masks.to(device), weights=self.weights.to(device))


def draw_foldover(d: int, n_samples: int, seed: int) -> Design:
    """Fold-over Hadamard blocks, as many as hold `n_samples` rows (rounded up to whole blocks).

    A block takes `d` random columns of a Hadamard matrix with random signs and rows in random order, and every row's
    complement after it. Main effects are free of each other and of all two-way terms (strength three).

    >>> design = draw_foldover(40, 80, seed=0)
    >>> design.n_samples, design.block, bool((design.masks[0::2] ^ design.masks[1::2]).all())
    (88, 88, True)
    """
    order = smallest_order(d)
    columns = hadamard(order)[:, 1:]
    generator = torch.Generator().manual_seed(seed)
    blocks = []
    for _ in range(-(-max(n_samples, 1) // (2 * order))):
        chosen = columns[:, torch.randperm(order - 1, generator=generator)[:d]] > 0
        flips = torch.rand(d, generator=generator) < 0.5
        blocks.append((chosen ^ flips)[torch.randperm(order, generator=generator)])
    rows = torch.cat(blocks)
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    return Design(masks, torch.ones(len(masks)), paired=True, block=2 * order)


def draw_bernoulli(d: int, n_samples: int, seed: int) -> Design:
    """Independent rows, every component on with probability one half.

    A surrogate of d slopes and an intercept needs more than d + 1 rows; InputError below that.
    """
    least = d + 2
    if n_samples < least:
        raise InputError(
            f"{n_samples} independent masks can't separate {d} components: ask for at least {least} (--n-samples {least})."
        )
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(n_samples, d, generator=generator) < 0.5
    return Design(masks, torch.ones(n_samples), paired=False, block=1)


def draw_bernoulli_with_song(d: int, n_samples: int, seed: int) -> Design:
    """Independent rows of which the first is the song itself, as LIME's own code and MusicLIME draw them."""
    design = draw_bernoulli(d, n_samples, seed)
    design.masks[0] = True
    return design


def weigh(design: Design, row_weights: RowWeights) -> Design:
    """The design with its rows weighted; InputError where too few rows are left to matter.

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
    return replace(design, weights=weights)
