"""Which components are on in which variant: masks, their pairing and row weights. Tensors only, no audio.

Masks are drawn on the CPU from an explicit seed, so that a design is the same on every device, and are moved once.
In a fold-over rows 2i and 2i + 1 are each other's complement; the pair is the sampling unit of the errors.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.hadamard import hadamard, smallest_order
from musiclime_torch.surrogate.kerdock import kerdock_signs, sylvester

#: A million masks: the most that anyone would wait for.
MOST_ENUMERATED = 20

#: Length of the Kerdock blocks in use, 32 of them in a cycle. Those of length 256 are so many that no run gets far, and with
#: those of length 16 a cycle is over before its errors can be told.
KERDOCK = 64

#: With fewer columns most errors in Kerdock blocks are none and some are large, which intervals can't tell apart.
FEWEST_KERDOCK = 20

#: Masks of n rows and d columns -> one weight a row.
RowWeights = Callable[[Bool[Tensor, "n d"]], Float[Tensor, " n"]]


@dataclass(frozen=True)
class Design:
    """All masks and their weights; `block` is the number of rows that is drawn at once.

    The first `folded` rows are pairs of complements, the others stand alone. `uniform` says that all weights are one.
    `cycle` blocks together leave main effects free of third-order terms; 0 where blocks are drawn apart from each other.
    """

    masks: Bool[Tensor, "n d"]
    weights: Float[Tensor, " n"]
    folded: int
    block: int
    uniform: bool
    cycle: int = 0

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

    @property
    def third_order(self) -> float:
        """What is left of the error that third-order terms make in as many independent blocks: 1 − (k − 1) / (cycle − 1)
        after k blocks of the first cycle, as in sampling without replacement, and nothing after a whole one.
        """
        if not self.cycle:
            return 1.0
        blocks = self.n_samples // self.block
        open_blocks = blocks % self.cycle
        return open_blocks * (1 - (open_blocks - 1) / (self.cycle - 1)) / max(blocks, 1)


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


def draw_kerdock(d: int, n_samples: int, seed: int) -> Design:
    """Fold-over blocks that belong together: third-order terms cancel over a whole cycle of them, and in part before.

    A block is a Sylvester matrix under a sign vector of Kerdock's (`designs.kerdock`) and its complement; columns, signs and
    the order of the blocks are random, anew for every cycle. InputError for more than 64 components.

    >>> design = draw_kerdock(40, 400, seed=0)
    >>> design.n_samples, design.block, design.cycle
    (512, 128, 32)
    """
    if d > KERDOCK:
        raise InputError(f"{d} components are more than Kerdock blocks have columns for ({KERDOCK}): use fold-over blocks.")
    length, signs, matrix = KERDOCK, kerdock_signs(KERDOCK), sylvester(KERDOCK)
    generator = torch.Generator().manual_seed(seed)
    blocks: list[Tensor] = []
    count = -(-max(n_samples, 1) // (2 * length))
    while len(blocks) < count:
        columns = torch.randperm(length, generator=generator)[:d]
        flips = torch.rand(d, generator=generator) < 0.5
        for vector in signs[torch.randperm(len(signs), generator=generator)]:
            rows = ((matrix * vector)[:, columns] > 0) ^ flips
            blocks.append(rows[torch.randperm(length, generator=generator)])
    rows = torch.cat(blocks[:count])
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    return Design(masks, torch.ones(len(masks)), len(masks), 2 * length, uniform=True, cycle=len(signs))


def draw_blocks(d: int, n_samples: int, seed: int) -> Design:
    """Fold-over blocks of the kind that errs less: Kerdock's where an eighth of a cycle or more is drawn, else Hadamard's.

    A third-order term of a few columns meets another main effect either not at all or wholly in Kerdock's blocks, so that
    they need some columns for the errors to be all of a size.

    >>> draw_blocks(40, 512, 0).cycle, draw_blocks(40, 300, 0).cycle, draw_blocks(140, 5000, 0).cycle
    (32, 0, 0)
    """
    kerdock = FEWEST_KERDOCK <= d <= KERDOCK and n_samples >= KERDOCK**2 // 8
    return draw_kerdock(d, n_samples, seed) if kerdock else draw_foldover(d, n_samples, seed)


def draw_half_folded(pilot: Design, n_samples: int, seed: int) -> Design:
    """The pairs of `pilot`, and blocks without complements after them.

    >>> design = draw_half_folded(draw_foldover(40, 88, seed=0), 176, seed=0)
    >>> design.n_samples, design.folded
    (176, 88)
    """
    d = pilot.masks.shape[1]
    order = smallest_order(d)
    count = max(-(-(n_samples - pilot.n_samples) // order), 0)
    # The blocks of the same seed start with the pilot's own rows.
    alone = _draw_hadamard_rows(d, pilot.n_samples // (2 * order) + 1 + count, seed)[-count * order :] if count else None
    masks = pilot.masks if alone is None else torch.cat([pilot.masks, alone])
    return Design(masks, torch.ones(len(masks)), folded=pilot.n_samples, block=order, uniform=True)


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
