"""Which components are on in which variant: masks, their pairing and row weights. Tensors only, no audio.

Masks are drawn on the CPU from an explicit seed, so that a design is the same on every device, and are moved once.
In a fold-over rows 2i and 2i + 1 are each other's complement; the pair is the sampling unit of the errors.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.failures import InputError
from musiclime_torch.hadamard import hadamard, smallest_order

#: A million masks: the most that anyone would wait for.
MOST_ENUMERATED = 20

#: Masks of n rows and d columns -> one weight a row.
RowWeights = Callable[[Bool[Tensor, "n d"]], Float[Tensor, " n"]]


@dataclass(frozen=True)
class Design:
    """All masks and their weights; `block` is the number of rows that is drawn at once.

    The first `folded` rows are pairs of complements, the others stand alone. `uniform` says that all weights are one.
    """

    masks: Bool[Tensor, "n d"]
    weights: Float[Tensor, " n"]
    folded: int
    block: int
    uniform: bool

    @property
    def n_samples(self) -> int:
        """Number of masks."""
        return self.masks.shape[0]

    @property
    def units(self) -> int:
        """Number of sampling units: pairs, and rows that stand alone."""
        return self.n_samples - self.folded // 2

    def to(self, device: torch.device | str) -> "Design":
        """The same design on another device."""
        return replace(self, masks=self.masks.to(device), weights=self.weights.to(device))

    def first(self, rows: int) -> "Design":
        """The design as it was when `rows` rows were drawn."""
        return replace(self, masks=self.masks[:rows], weights=self.weights[:rows], folded=min(self.folded, rows))


@dataclass(frozen=True)
class CrossedDesign:
    """Masks of the sound and masks of the lyrics, drawn apart: it stands for all pairs of them."""

    audio: Design
    lyrics: Design

    @property
    def n_samples(self) -> int:
        """Number of masks, both sides together."""
        return self.audio.n_samples + self.lyrics.n_samples

    def to(self, device: torch.device | str) -> "CrossedDesign":
        """The same design on another device."""
        return CrossedDesign(self.audio.to(device), self.lyrics.to(device))


def draw_foldover(d: int, n_samples: int, seed: int) -> Design:
    """Fold-over Hadamard blocks, as many as hold `n_samples` rows (rounded up to whole blocks).

    A block takes `d` random columns of a Hadamard matrix with random signs and rows in random order, and every row's
    complement after it. Main effects are free of each other and of all two-way terms (strength three).

    >>> design = draw_foldover(40, 80, seed=0)
    >>> design.n_samples, design.block, bool((design.masks[0::2] ^ design.masks[1::2]).all())
    (88, 88, True)
    """
    rows = _draw_hadamard_rows(d, -(-max(n_samples, 1) // (2 * smallest_order(d))), seed)
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    return Design(masks, torch.ones(len(masks)), folded=len(masks), block=2 * smallest_order(d), uniform=True)


def draw_unfolded(d: int, n_samples: int, seed: int) -> Design:
    """Hadamard blocks without their complements: as many different rows for the same passes.

    Main effects are free of each other but not of two-way terms (strength two); where odd terms of higher order rule a
    model, its errors are smaller than a fold-over's by up to one half.

    >>> draw_unfolded(40, 80, seed=0).n_samples
    88
    """
    order = smallest_order(d)
    masks = _draw_hadamard_rows(d, -(-max(n_samples, 1) // order), seed)
    return Design(masks, torch.ones(len(masks)), folded=0, block=order, uniform=True)


def draw_half_folded(d: int, n_samples: int, seed: int, folded: int) -> Design:
    """The first `folded` rows of `draw_foldover` of the same seed, and blocks without complements after them.

    >>> design = draw_half_folded(40, 176, seed=0, folded=88)
    >>> design.n_samples, design.folded
    (176, 88)
    """
    order = smallest_order(d)
    rows = _draw_hadamard_rows(d, folded // (2 * order) + max(-(-(n_samples - folded) // order), 0), seed)
    pilot, alone = rows[: folded // 2], rows[folded // 2 :]
    masks = torch.cat([torch.stack([pilot, ~pilot], 1).flatten(0, 1), alone])
    return Design(masks, torch.ones(len(masks)), folded=folded, block=order, uniform=True)


def _draw_hadamard_rows(d: int, blocks: int, seed: int) -> Bool[Tensor, "n d"]:
    """Random columns of a Hadamard matrix with random signs and rows in random order, block after block."""
    order = smallest_order(d)
    columns = hadamard(order)[:, 1:]
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(blocks):
        chosen = columns[:, torch.randperm(order - 1, generator=generator)[:d]] > 0
        flips = torch.rand(d, generator=generator) < 0.5
        drawn.append((chosen ^ flips)[torch.randperm(order, generator=generator)])
    return torch.cat(drawn)


def enumerate_masks(d: int) -> Design:
    """Every mask once, in complement pairs: nothing is left to chance. InputError outside 1 ≤ d ≤ 20.

    >>> enumerate_masks(3).masks.sum(1).tolist()
    [0, 3, 1, 2, 1, 2, 2, 1]
    """
    if not 1 <= d <= MOST_ENUMERATED:
        raise InputError(f"all masks of {d} components can't be enumerated: draw some (1 to {MOST_ENUMERATED} could be).")
    numbers = torch.arange(2 ** (d - 1))
    rows = (numbers[:, None] >> torch.arange(d)) & 1 > 0
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    return Design(masks, torch.ones(len(masks)), folded=len(masks), block=len(masks), uniform=True)


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
    return Design(masks, torch.ones(n_samples), folded=0, block=1, uniform=True)


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
    return replace(design, weights=weights, uniform=False)
