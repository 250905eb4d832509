"""Masks that are not drawn in blocks: every mask once, and independent rows."""

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.design import Design

#: A million masks: the most that anyone would wait for.
MOST_ENUMERATED = 20


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
    return Design(masks, torch.ones(len(masks)), folded=len(masks), block=len(masks), uniform=True)


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
