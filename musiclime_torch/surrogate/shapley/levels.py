"""Shapley values from all coalitions, and the masks for those of a late-fusion model: crossed level by level.

All 2^d coalitions are the definition, for few components. In a sample, a pair that alone decides a direction makes the
fit unsupported and its errors unbelievable: its leverage tells. `leverage` and `draw_levels` draw again until no pair
does.

A component's Shapley value is its slope under masks that keep everything with probability t, averaged over t from 0 to 1
(Owen 1972, "Multilinear extensions of games"). The average is a Gauss-Legendre sum over levels t; within a level all
audio masks meet all lyric masks, so n_a + n_t encoder passes buy n_a · n_t outputs. Level 1 − t holds the complements of
level t. The fit is in `level_fit`.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.design import send
from musiclime_torch.surrogate.fit import Known, know_exactly

#: A sampled pair of more leverage decides a direction by itself: its error is fitted away and would be reported as zero.
DECIDES = 0.99

#: Singular values below this leave a direction undetermined; on average they are one.
LEAST_SINGULAR = 1e-3

#: Units beyond the slopes, as a share of these: leverages are slopes / units on average, and must stay below `DECIDES`.
SPARE_SHARE = 0.05

#: Draws of a whole design before its budget is called too small.
ATTEMPTS = 100


def solve_exact(masks: Bool[Tensor, "n d"], values: Float[Tensor, "n class"]) -> Known:
    """φ_i = Σ_S s!(d − s − 1)!/d! · (v(S ∪ i) − v(S)) over the coalitions S without i (Shapley 1953), for all classes.

    `masks` holds each of the 2^d coalitions once, in any order, `values` the model's outputs in the same order; InputError
    where the number of rows is another.
    """
    n, d = masks.shape
    if n != 2**d or len(values) != n:
        raise InputError(
            f"{n} masks and {len(values)} values are not all {2**d} coalitions of {d} components: enumerate them."
        )
    targets = values.double()
    centred = targets - targets.mean(0)
    size = torch.arange(1, d + 1, dtype=torch.float64, device=masks.device)
    # 1 / (s · C(d, s)), the weight of joining s − 1 others, with nothing to be joined at s = 0.
    joining = torch.cat([size.new_zeros(1), 1 / (size * ((d + 1 - size) / size).cumprod(0))])
    sizes = masks.sum(1)
    with_it, without_it = joining[sizes], joining.flip(0)[sizes]
    coefficients = torch.where(masks, with_it[:, None], -without_it[:, None]).T @ centred
    return know_exactly(coefficients.T)


def is_supported(directions: Float[Tensor, "unit d"], rank: int, sampled: Bool[Tensor, " unit"]) -> bool:
    """Whether weighted rows span `rank` dimensions (d, or d − 1 where every row sums to zero), and no sampled one decides a
    dimension by itself.
    """
    if rank == 0:
        return True
    # By the Gram matrix, not by a singular value decomposition, which takes minutes at d = 5,000. Where rows sum to zero it
    # lacks the direction of equal changes: 1/d in every cell fills it.
    gram = directions.T @ directions + (1 / directions.shape[1] if rank < directions.shape[1] else 0.0)
    if not bool(torch.linalg.eigvalsh(gram)[0] > LEAST_SINGULAR**2):
        return False
    leverage = (torch.cholesky_solve(directions.T, torch.linalg.cholesky(gram)) * directions.T).sum(0)
    return bool((leverage[sampled] < DECIDES).all())


def count_freedom(squares: Float[Tensor, "unit d"], leverage: Float[Tensor, "unit 1"]) -> Float[Tensor, " d"]:
    """Degrees of freedom of Σ squares · residual² / (1 − leverage), if errors were equal (Bell & McCaffrey 2002).

    They are (Σ q (1 − h))² / Σ Σ q q' M² with q = squares / (1 − h) and M the residual projection. The squares of M off the
    diagonal, h (1 − h) a row, enter on average instead of cell by cell, which would cost units² memory; measured, the two
    agree within a few percent.
    """
    leaked = (squares * leverage).sum(0).square() / (leverage * (1 - leverage)).sum()
    return squares.sum(0).square() / (squares.square().sum(0) + leaked)


#: Masks of a side beyond those that its slopes and level means use up, in pairs: with fewer the intervals don't cover.
SPARE_PAIRS = 8

#: Two levels miss what switches sharply: measured on weighted votes of 12 components, 67% to 88% of their squared error
#: was bias, and 43% to 73% of the intervals held; with four levels 1% to 2%, and 94% to 95%.
LEAST_LEVELS = 4

#: Masks of a side at each level: with six of them its intervals covered 85%, with eight 91%, instead of 95%.
LEAST_A_LEVEL = 12

# Why levels. Let every component be kept with probability t, independently. The mean output F(t) is Owen's multilinear
# extension of the game on its diagonal, and component i's slope there is
#     β_i(t) = E[v(S + i) − v(S)],    S a random set of the others, each with probability t.
# A set of s others comes up with probability tˢ (1 − t)^(d − 1 − s), whose integral over t from 0 to 1 is s! (d − 1 − s)! /
# d!, which is Shapley's weight. So
#     φ_i = ∫ β_i(t) dt ≈ Σ_l q_l β_i(t_l),
# with the nodes t_l and weights q_l of Gauss and Legendre on [0, 1]. A product of k components gives a slope of degree k − 1
# in t, and L nodes integrate degrees up to 2 L − 1 exactly: four levels are exact for products of up to eight components.
#
# Nodes come in pairs t, 1 − t of equal weight. Complements of masks drawn at t are masks drawn at 1 − t, so the upper half
# of the levels needs no draws of its own, and the even part of the outputs cancels (`level_fit`).


@dataclass(frozen=True)
class LevelDesign:
    """Masks of both sides, level by level in order of the inclusion probabilities `nodes`.

    `audio_rows[l]` and `lyric_rows[l]` are the rows of level l; row i of the last level is the complement of row i of the
    first, and so inwards. `weights` are the quadrature's, and sum to one.
    """

    audio: Bool[Tensor, "n_a d_a"]
    lyrics: Bool[Tensor, "n_t d_t"]
    audio_rows: tuple[slice, ...]
    lyric_rows: tuple[slice, ...]
    nodes: Float[Tensor, " level"]
    weights: Float[Tensor, " level"]

    @property
    def n_levels(self) -> int:
        """Number of levels, even."""
        return self.nodes.shape[0]

    def to(self, device: torch.device | str) -> "LevelDesign":
        """The same design on another device."""
        return replace(
            self,
            audio=self.audio.to(device),
            lyrics=self.lyrics.to(device),
            nodes=send(self.nodes, device),
            weights=send(self.weights, device),
        )


def draw_levels(d_audio: int, d_lyrics: int, n_audio: int, n_lyrics: int, n_levels: int, seed: int) -> LevelDesign:
    """`n_audio` and `n_lyrics` masks over `n_levels` levels (an even number; both are rounded up to whole levels).

    Four levels are exact for products of up to eight components; more levels have fewer masks each and err more at the same
    budget. InputError for a side without components, an odd number of levels or fewer than four, or too few masks.
    """
    if n_levels < LEAST_LEVELS or n_levels % 2:
        raise InputError(f"n_levels must be an even number of at least {LEAST_LEVELS}, got {n_levels}.")
    nodes, weights = np.polynomial.legendre.leggauss(n_levels)
    levels = ((nodes + 1) / 2).tolist()
    generator = torch.Generator().manual_seed(seed)
    audio = draw_side("audio", d_audio, n_audio, levels, generator)
    lyrics = draw_side("lyric", d_lyrics, n_lyrics, levels, generator)
    return LevelDesign(
        torch.cat(audio),
        torch.cat(lyrics),
        slice_levels(audio),
        slice_levels(lyrics),
        torch.tensor(levels, dtype=torch.float64),
        torch.from_numpy(weights / 2),
    )


def draw_side(
    side: str, d: int, n_samples: int, levels: list[float], generator: torch.Generator
) -> list[Bool[Tensor, "row d"]]:
    """Masks of one side for every level, the upper half complements of the lower."""
    if d < 1:
        raise InputError(f"{d} {side} components leave nothing to cross: use draw_leverage for the other side alone.")
    spare = d + len(levels) // 2 + max(SPARE_PAIRS, math.ceil(SPARE_SHARE * d))
    least = len(levels) * max(-(-2 * spare // len(levels)), LEAST_A_LEVEL)
    if n_samples < least:
        raise InputError(f"{n_samples} {side} masks are too few for {d} {side} components: use at least {least}.")
    rows = -(-n_samples // len(levels))
    for _ in range(ATTEMPTS):
        lower = [draw_balanced(d, rows, level, generator) for level in levels[: len(levels) // 2]]
        if is_supported(direct(lower, levels), d, torch.ones(len(lower) * rows, dtype=torch.bool)):
            return [*lower, *(~masks for masks in reversed(lower))]
    raise InputError(f"{n_samples} {side} masks can't tell {d} {side} components apart: use at least {2 * n_samples}.")


def draw_balanced(d: int, n: int, level: float, generator: torch.Generator) -> Bool[Tensor, "n d"]:
    """Every row keeps each component with probability `level`, independently; every column keeps n · level rows, rounded.

    A Latin hypercube sample (McKay et al. 1979), cut at `level`: it takes the error of a component's inclusion count out.
    """
    order = torch.rand(n, d, generator=generator).argsort(0)
    return (order + torch.rand(n, d, generator=generator)) / n < level


def direct(lower: list[Bool[Tensor, "_ d"]], levels: list[float]) -> Float[Tensor, "unit d"]:
    """Centred masks of the lower levels, weighted as they will be in the fit but for the quadrature's own weights."""
    return torch.cat([centre(masks) / math.sqrt(t * (1 - t)) for masks, t in zip(lower, levels, strict=False)])


def slice_levels(masks: list[Bool[Tensor, "row d"]]) -> tuple[slice, ...]:
    """Where each level's rows lie once the levels are joined."""
    starts = np.cumsum([0, *map(len, masks)]).tolist()
    return tuple(slice(start, stop) for start, stop in pairwise(starts))


def centre(masks: Bool[Tensor, "row d"]) -> Float[Tensor, "row d"]:
    """Masks less their means, in float64."""
    widened = masks.double()
    return widened - widened.mean(0)
