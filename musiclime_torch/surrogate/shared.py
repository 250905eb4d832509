"""Sounds that several lyrics share: an incomplete crossing, for models in which a pair costs much but a sound costs more.

A music language model hears a sound once and then reads several lyrics, each for a fraction of the sound. Crossing every
sound with all lyrics would be too much of one thing; here each sound meets its own few lyrics.
"""

import torch

from musiclime_torch.surrogate.blocks import hadamard, smallest_order
from musiclime_torch.surrogate.design import Design

#: The most lyrics that a sound is given.
MOST_LYRICS = 4


def pick_repeats(pair_cost: float) -> int:
    """Lyrics for each sound, where a pair with a sound that was heard costs this share of one with a new sound.

    With s the cost of a sound, t that of reading lyrics, and variances of similar size on both sides, the error at a given
    cost, (V_s + V_t / k) (s + k t), is smallest at k = √(V_t s / V_s t).

    >>> [pick_repeats(cost) for cost in (1.0, 0.2, 0.1, 0.01)]
    [1, 2, 3, 4]
    """
    ratio = (1 - pair_cost) / max(pair_cost, 1e-9)
    return min(max(round(ratio**0.5), 1), MOST_LYRICS)


def draw_shared(sounds: int, words: int, n_samples: int, repeats: int, seed: int) -> Design:
    """Fold-over Hadamard blocks of which each row of the first `sounds` columns comes `repeats` times, each time with other
    masks of the `words` columns after them. As many whole blocks as hold `n_samples` rows.

    Columns are orthogonal within every repetition, and so over all of them.

    >>> design = draw_shared(20, 30, 200, 2, seed=0)
    >>> design.n_samples, design.units, design.orthogonal
    (240, 60, True)
    """
    d = sounds + words
    order, generator = smallest_order(d), torch.Generator().manual_seed(seed)
    matrix = hadamard(order)
    blocks = []
    for _ in range(-(-max(n_samples, 1) // (2 * order * repeats))):
        # The first column is constant. The words' columns are others each time, none of them a sound's.
        rows, columns = torch.randperm(order, generator=generator), 1 + torch.randperm(order - 1, generator=generator)
        heard = columns[:sounds]
        layers = []
        for _ in range(repeats):
            others = columns[sounds:][torch.randperm(order - 1 - sounds, generator=generator)[:words]]
            layers.append(torch.cat([heard, others]))
        flips = torch.rand(repeats, d, generator=generator) < 0.5
        flips[:, :sounds] = flips[0, :sounds].clone()
        # (row, repetition, column): repetitions of a row lie together.
        blocks.append((matrix[rows][:, torch.stack(layers)] > 0) ^ flips)
    masks = torch.cat(blocks).flatten(0, 1)
    folded = torch.stack([masks, ~masks], 1).flatten(0, 1)
    n = len(folded)
    return Design(
        folded, torch.ones(n), folded=n, block=2 * order * repeats, uniform=True, balanced=n, repeats=repeats, shared=sounds
    )
