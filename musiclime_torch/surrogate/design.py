"""Which components are on in which variant: masks, their pairing and row weights. Tensors only, no audio.

A `Design` is the value all designs share. Masks that aren't drawn in blocks are made here: every mask once, independent
rows, and the two ends, all on and all off, that attributions are measured between. Masks are drawn on the CPU from an
explicit seed, so that a design is the same on every device, and are moved once. In a fold-over rows 2i and 2i + 1 are
each other's complement; the pair is the sampling unit of the errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.errors import InputError

#: A million masks: the most that anyone would wait for.
MOST_ENUMERATED = 20


@dataclass(frozen=True)
class Design:
    """All masks and their weights; `block` is the number of rows that are drawn at once.

    The first `folded` rows are pairs of complements, the others stand alone. `uniform` says that all weights are one.
    `cycle` blocks belong together, so that third-order terms cancel in part; 0 where blocks are independent of each other.
    `left` is what they leave of third-order errors after each block of a cycle; empty for Kerdock's, whose law is known.
    `local` are triples of columns whose products are never confounded with main effects (see `nested`).
    `repeats` successive pairs share the masks of the first `shared` columns, and are one sampling unit (see `draw_shared`).
    `balanced` is the number of first rows that are whole blocks with orthogonal columns; 0 where columns are not. It
    survives a choice of columns, not one of rows.
    """

    masks: Bool[Tensor, "n d"]
    weights: Float[Tensor, " n"]
    folded: int
    block: int
    uniform: bool
    cycle: int = 0
    balanced: int = 0
    left: Float[Tensor, " cycle"] = field(default_factory=lambda: torch.empty(0))
    local: Int[Tensor, "triple 3"] = field(default_factory=lambda: torch.empty(0, 3, dtype=torch.long))
    repeats: int = 1
    shared: int = 0

    @property
    def n_samples(self) -> int:
        """Number of masks."""
        return self.masks.shape[0]

    @property
    def units(self) -> int:
        """Number of sampling units: pairs, or groups of pairs that share a sound, and rows that stand alone."""
        return self.n_samples - self.folded + self.folded // (2 * self.repeats)

    @property
    def orthogonal(self) -> bool:
        """Whether the coded masks z − ½ sum to zero and their Gram matrix is n / 4 times the identity."""
        return self.uniform and self.balanced == self.n_samples > 0

    @property
    def full_cycles(self) -> bool:
        """Whether Kerdock's cycles are complete: products of two columns are then orthogonal too."""
        kerdock = self.orthogonal and self.cycle > 0 and not len(self.left)
        return kerdock and self.n_samples % (self.block * self.cycle) == 0

    def to(self, device: torch.device | str) -> "Design":
        """The same design on another device."""
        return replace(self, masks=send(self.masks, device), weights=send(self.weights, device))

    def first(self, rows: int) -> "Design":
        """The design as it was when `rows` rows were drawn."""
        folded = min(self.folded, rows)
        # A block of pairs has every row of a block twice, once as a complement.
        block = self.block * 2 if rows <= self.folded < self.n_samples else self.block
        balanced = rows if rows <= self.balanced and rows % block == 0 else 0
        return replace(
            self, masks=self.masks[:rows], weights=self.weights[:rows], folded=folded, block=block, balanced=balanced
        )

    def restrict(self, columns: Sequence[int]) -> "Design":
        """The design of some columns alone, in that order."""
        place = torch.full((self.masks.shape[1],), -1)
        place[list(columns)] = torch.arange(len(columns))
        local = place[self.local]
        shared = sum(column < self.shared for column in columns)
        return replace(self, masks=self.masks[:, list(columns)], local=local[(local >= 0).all(1)], shared=shared)

    @property
    def third_order(self) -> float:
        """The share of third-order terms' squared error that is left, compared with as many independent blocks.

        In Kerdock's blocks it is 1 − (k − 1) / (cycle − 1) after k blocks of the first cycle, as in sampling without
        replacement, and nothing after a complete one.
        """
        if not self.cycle:
            return 1.0
        blocks = self.n_samples // self.block
        cycles, begun = divmod(blocks, self.cycle)
        after = self.left.tolist() or [1 - k / (self.cycle - 1) for k in range(self.cycle)]
        return (cycles * self.cycle * after[-1] + begun * after[begun - 1]) / max(blocks, 1)


@dataclass(frozen=True)
class CrossedDesign:
    """Masks of the audio and masks of the lyrics, drawn independently: it stands for all pairs of them."""

    audio: Design
    lyrics: Design

    @property
    def n_samples(self) -> int:
        """Number of masks, both sides together."""
        return self.audio.n_samples + self.lyrics.n_samples

    def to(self, device: torch.device | str) -> "CrossedDesign":
        """The same design on another device."""
        return CrossedDesign(self.audio.to(device), self.lyrics.to(device))


def send(values: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device. What goes from the host to a GPU is queued, and nothing waits for it to arrive.

    >>> send(torch.ones(2), "cpu")
    tensor([1., 1.])
    """
    target = torch.device(device)
    if target.type != "cuda" or values.device.type != "cpu":
        return values.to(target)
    # Only a copy from pinned memory is queued in full; torch keeps the pinned block until it is done, and uses it again.
    return (values.pin_memory() if torch.cuda.is_initialized() else values).to(target, non_blocking=True)


def enumerate_masks(d: int) -> Design:
    """Every mask once, in pairs of complements: nothing is left to chance. InputError outside 1 ≤ d ≤ 20.

    >>> enumerate_masks(3).masks.sum(1).tolist()
    [0, 3, 1, 2, 1, 2, 2, 1]
    """
    if not 1 <= d <= MOST_ENUMERATED:
        raise InputError(
            f"all masks of {d} components can't be enumerated, only those of 1 to {MOST_ENUMERATED}: draw some."
        )
    numbers = torch.arange(2 ** (d - 1))
    rows = (numbers[:, None] >> torch.arange(d)) & 1 > 0
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    return Design(masks, torch.ones(len(masks)), folded=len(masks), block=len(masks), uniform=True, balanced=len(masks))


def draw_bernoulli(d: int, n_samples: int, seed: int) -> Design:
    """Independent rows, every component on with probability one half.

    A surrogate of d slopes and an intercept needs more than d + 1 rows; InputError below that.
    """
    least = d + 2
    if n_samples < least:
        raise InputError(f"{n_samples} independent masks can't separate {d} components: n_samples must be at least {least}.")
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(n_samples, d, generator=generator) < 0.5
    return Design(masks, torch.ones(n_samples), folded=0, block=1, uniform=True)


def draw_bernoulli_with_song(d: int, n_samples: int, seed: int) -> Design:
    """Independent rows of which the first is the song itself, as LIME's own code and MusicLIME draw them."""
    design = draw_bernoulli(d, n_samples, seed)
    design.masks[0] = True
    return design


def mask_ends(components: int) -> Bool[Tensor, "2 component"]:
    """The mask with every component on, then the one with every component off.

    >>> mask_ends(2)
    tensor([[ True,  True],
            [False, False]])
    """
    return torch.tensor([[True], [False]]).expand(2, components)
