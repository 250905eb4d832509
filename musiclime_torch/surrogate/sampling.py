"""Designs and row weights by the names that users give them.

Rows are weighted by their distance from the song: the cosine distance of the 0/1 vectors, 1 − √(share kept), in [0, 1].
Sounds that several lyrics share are drawn here too: an incomplete crossing, where a pair costs much but a sound costs more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.arguments import check_name
from musiclime_torch.basics.choices import DesignName, WeightsName
from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.blocks import (
    draw_blocks,
    draw_foldover,
    draw_kerdock,
    draw_unfolded,
    hadamard,
    smallest_order,
)
from musiclime_torch.surrogate.design import Design, draw_bernoulli, draw_bernoulli_with_song
from musiclime_torch.surrogate.nested import Neighbourhoods

#: Masks of n rows and d columns -> one weight a row.
RowWeights = Callable[[Bool[Tensor, "n d"]], Float[Tensor, " n"]]

#: MusicLIME's width; against distances in [0, 1] the weights lie in [0.9992, 1]: unweighted in effect.
PAPER_WIDTH = 25.0

# "auto" is settled before anything is drawn; "joint" and "crossed" take the best blocks.
_DRAWS: Mapping[str, Callable[[int, int, int], Design]] = {
    "foldover": draw_foldover,
    "kerdock": draw_kerdock,
    "unfolded": draw_unfolded,
    "bernoulli": draw_bernoulli,
    "bernoulli+song": draw_bernoulli_with_song,
}

#: Seeds are below it: torch's generators take as many, with one more for the lyrics.
SEED_END = 2**63

#: More masks than this are a typing error: at a millisecond a variant they would take from a quarter of an hour to days.
MOST = 1_000_000

#: What the coefficients are called under each row weighting.
VALUES: dict[WeightsName, str] = {
    "uniform": "Banzhaf value",
    "lime": "LIME coefficient",
    "paper": "LIME coefficient (MusicLIME's kernel)",
    "shapley": "Shapley value",
}


def weigh_by_proximity(masks: Bool[Tensor, "n d"], kernel_width: float) -> Float[Tensor, " n"]:
    """LIME's kernel √exp(−distance² / width²) (Ribeiro et al. 2016; their code's square root kept).

    >>> weigh_by_proximity(torch.tensor([[True, True], [False, False]]), 0.5).tolist()
    [1.0, 0.1353...]
    """
    if not kernel_width > 0:
        raise InputError(f"kernel_width must be above 0, got {kernel_width}: LIME's own are 0.25 (images) and 25 (text).")
    # Counted as bytes, in a quarter of the time of a mean of float64.
    share = masks.view(torch.int8).sum(1, dtype=torch.int32).double() / masks.shape[1]
    distance = 1 - share.sqrt()
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


@dataclass(frozen=True)
class Sampling:
    """How masks are to be drawn and weighted; `n_samples` counts masks, or those of the audio and of the lyrics.

    `enumerated` is up to how many masks each is taken once, instead of a sample; None makes it `n_samples`. With `repeats`
    each sound is given so many lyrics (see `draw_shared`).
    """

    design: DesignName
    weights: WeightsName
    kernel_width: float
    n_samples: int | tuple[int, int]
    seed: int
    enumerated: int | None = None
    repeats: int = 1

    def __post_init__(self) -> None:
        check_name(self.design, DesignName, "design")
        check_name(self.weights, WeightsName, "row weights")
        counts = (self.n_samples,) if isinstance(self.n_samples, int) else tuple(self.n_samples)
        if len(counts) not in (1, 2):
            raise InputError(f"n_samples must be one number, or one for each side, got {self.n_samples}.")
        for count in counts:
            if count < 1:
                raise InputError(f"n_samples must be at least 1, got {count}.")
            if count > MOST:
                raise InputError(f"n_samples must be at most {MOST}, got {count}.")

    @property
    def total(self) -> int:
        """Masks of all sides together."""
        return self.n_samples if isinstance(self.n_samples, int) else sum(self.n_samples)

    @property
    def every_mask(self) -> int:
        """Up to how many masks each is taken."""
        return self.total if self.enumerated is None else self.enumerated


def draw_design(
    sampling: Sampling, name: DesignName, d: int, n_samples: int, neighbourhoods: Neighbourhoods = (), fitted: bool = False
) -> Design:
    """Masks and row weights, of one side or of both together; `neighbourhoods` are columns that belong together. `fitted`
    is for a number of masks that all will be run.
    """
    if name in ("joint", "crossed"):
        return weigh_design(sampling, draw_blocks(d, n_samples, sampling.seed, neighbourhoods, fitted))
    return weigh_design(sampling, _DRAWS[name](d, n_samples, sampling.seed))


def weigh_design(sampling: Sampling, design: Design) -> Design:
    """The design with the row weights that were asked for."""
    if sampling.weights == "uniform":
        return design
    width = PAPER_WIDTH if sampling.weights == "paper" else sampling.kernel_width
    return weigh(design, lambda masks: weigh_by_proximity(masks, width))


def allocate(
    size: int, blocks: tuple[int, int], least: tuple[int, int], variances: tuple[float, float], costs: tuple[float, float]
) -> tuple[int, int]:
    """Masks for each side, in whole blocks, that minimise the sum of squared errors at the cost of `size` masks, half of
    them audio and half lyrics: N_a : N_t as √(V_a c_t / V_t c_a), at most `size` on a side and never below `least`.

    `variances` are V, a side's part of that sum times its masks so far; `costs` are what one mask takes to encode.

    >>> allocate(1000, (88, 208), (176, 208), (9.0, 1.0), (1.0, 1.0))
    (792, 208)
    """
    # V_a / N_a + V_t / N_t is smallest under c_a N_a + c_t N_t = budget where N ∝ √(V / c) (Lagrange): each side gets the
    # share √(V c) of the budget.
    budget = size * (costs[0] + costs[1]) / 2
    weights = [(max(variance, 1e-30) * cost) ** 0.5 for variance, cost in zip(variances, costs, strict=True)]
    first = 0 if costs[0] >= costs[1] else 1
    counts = list(least)
    wanted = budget * weights[first] / sum(weights)
    # The costlier side is rounded to whole blocks first; the other one takes what is left, and leaves what it can't use.
    for side, spend in ((first, wanted), (1 - first, budget), (first, budget)):
        left = (budget - costs[1 - side] * counts[1 - side]) / costs[side]
        complete = min(round(spend / costs[side] / blocks[side]), int(min(left, size) // blocks[side]))
        counts[side] = max(complete * blocks[side], least[side])
    return counts[0], counts[1]


# A music language model hears a sound once and then reads several lyrics, each for a fraction of the sound. Crossing every
# sound with all lyrics would be too much of one thing; here each sound meets its own few lyrics.

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
    (224, 56, True)
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
