"""Shapley values of any model by regression on sampled coalitions: pairs of complements, spread evenly over sizes.

Leverage sampling (Musco & Witter 2024, "Provably Accurate Shapley Value Estimation via Leverage Score Sampling") gives
every size the same number of coalitions, whatever Shapley's kernel weighs it. Pairs of complements are one stratum a size.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.design import send
from musiclime_torch.surrogate.fit import Known
from musiclime_torch.surrogate.shapley.levels import ATTEMPTS, DECIDES, SPARE_SHARE, count_freedom, is_supported

#: Below this many coalitions a drawn one, a stratum is listed and shuffled; above it, repeats are rare and drawn again.
LISTED = 4

#: Pairs beyond the d − 1 that the slopes need: with fewer the intervals don't cover what they say.
SPARE_PAIRS = 4

# Why every size gets the same number. Shapley values are the weighted least squares (Lundberg & Lee 2017, theorem 2)
#     min_φ Σ_S k(s) (v(S) − v(∅) − Σ_{i in S} φ_i)²    with Σ φ_i = v(all) − v(∅),    k(s) = (d − 1) / (C(d, s) s (d − s)).
# The constraint leaves φ = gain / d + ψ with Σ ψ = 0, so that the row of coalition S becomes √k(s) (z − s/d), of squared
# length k(s) s (d − s) / d. Summed over all coalitions the Gram matrix is (d − 1)/d times the identity on the plane Σ ψ = 0,
# by symmetry, and the leverage of a row is its squared length over that:
#     k(s) s (d − s) / d · d / (d − 1) = 1 / C(d, s)
# (Musco & Witter's closed form). Rows sampled in proportion to their leverage keep the error of sampled least squares small
# whatever the game is, and as there are C(d, s) coalitions of size s, each size gets the same number of them (`allocate`).
# The sampled rows then weigh k(s) over their rate of sampling, which is what `weigh_rows` gives up to a common factor:
#     k(s) · C(d, s) / drawn_s ∝ 1 / (s (d − s) drawn_s).
#
# Pairs. The rows of S and its complement are opposite, so the sum of a pair's outputs says nothing of the slopes: only half
# the difference is fitted, and products of two components, which are even once the additive part is out, make no error at
# all.


@dataclass(frozen=True)
class LeverageDesign:
    """Coalitions in pairs: row 2i + 1 is the complement of row 2i. Neither song nor empty coalition is among them.

    `weights` is Shapley's kernel over the sampling rate; `rates` the share of its stratum's pairs that was drawn, 1 where
    all were.
    """

    masks: Bool[Tensor, "n d"]
    weights: Float[Tensor, " n"]
    rates: Float[Tensor, " n"]

    @property
    def n_samples(self) -> int:
        """Number of masks."""
        return self.masks.shape[0]

    def to(self, device: torch.device | str) -> "LeverageDesign":
        """The same design on another device."""
        return replace(self, **{name: send(getattr(self, name), device) for name in ("masks", "weights", "rates")})


def draw_leverage(d: int, n_samples: int, seed: int) -> LeverageDesign:
    """Pairs of coalitions of the sizes s and d − s, the same number for every size, distinct; at most all of them.

    An odd `n_samples` is rounded up to a whole pair. InputError where too few pairs would be left over for the errors.
    """
    if d < 1:
        raise InputError(f"{d} components have no Shapley values: at least one is needed.")
    every = 2 ** (d - 1) - 1
    spare = max(SPARE_PAIRS, math.ceil(SPARE_SHARE * (d - 1)))
    pairs, least = min(-(-n_samples // 2), every), min(d - 1 + spare, every)
    if pairs < least:
        raise InputError(
            f"{n_samples} coalitions are too few for Shapley values of {d} components: "
            f"n_samples must be at least {2 * least}."
        )
    generator = torch.Generator().manual_seed(seed)
    counts = allocate(d, pairs)
    for _ in range(ATTEMPTS):
        design = weigh_rows(draw_rows(d, counts, generator), counts)
        if is_supported(direct(design), d - 1, design.rates[0::2] < 1):
            return design
    raise InputError(f"{n_samples} coalitions can't tell {d} components apart: n_samples must be at least {2 * n_samples}.")


def weigh_rows(rows: Bool[Tensor, "pair d"], counts: dict[int, int]) -> LeverageDesign:
    """Both coalitions of each pair, with Shapley's kernel over the sampling rate, scaled so that the Gram matrix of the
    masks less their means is the identity on average (but for the direction in which all components change alike).
    """
    d = rows.shape[1]
    each = torch.tensor(list(counts.values()), dtype=torch.long)
    drawn = each.double().repeat_interleave(each)
    shares = [count / count_pairs(d, size) for size, count in counts.items()]
    rates = torch.tensor(shares, dtype=torch.float64).repeat_interleave(each)
    sizes = rows.view(torch.int8).sum(1, dtype=torch.int32).double()
    weights = torch.where(2 * sizes == d, d, 2 * d) / (sizes * (d - sizes) * drawn)
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    return LeverageDesign(masks, weights.repeat_interleave(2), rates.repeat_interleave(2))


@lru_cache(8192)
def count_pairs(d: int, size: int) -> int | float:
    """Pairs of a coalition of `size` ≤ d / 2 and its complement; at d / 2 both are of that size. Infinite beyond 2¹⁰⁰⁰:
    with 160,000 components such numbers have 48,000 digits, and take milliseconds each.
    """
    if math.lgamma(d + 1) - math.lgamma(size + 1) - math.lgamma(d - size + 1) > 1000 * math.log(2):
        return math.inf
    return math.comb(d, size) // (2 if 2 * size == d else 1)


def allocate(d: int, pairs: int) -> dict[int, int]:
    """How many pairs each size gets: equal shares (half for d / 2, which is its own complement), none beyond its capacity.

    >>> allocate(6, 15)
    {1: 6, 2: 6, 3: 3}
    """
    counts: dict[int, int] = {}
    left, shares = pairs, float(d - 1)
    # Ascending, by capacity over share: C(d, s) / 2 grows up to s = d / 2. What small sizes can't take goes to the others.
    for size in range(1, d // 2 + 1):
        share = 1.0 if 2 * size == d else 2.0
        # Rounding what is left at every step keeps the total and is off by less than one.
        counts[size] = int(min(max(round(left * share / shares), 1), count_pairs(d, size)))
        left, shares = left - counts[size], shares - share
    return counts


def draw_rows(d: int, counts: dict[int, int], generator: torch.Generator) -> Bool[Tensor, "pair d"]:
    """Distinct coalitions of each size; one of the two of each pair."""
    rows = [draw_size(d, size, count, generator) for size, count in counts.items()]
    return torch.cat(rows) if rows else torch.zeros(0, d, dtype=torch.bool)


def draw_size(d: int, size: int, count: int, generator: torch.Generator) -> Bool[Tensor, "count d"]:
    """`count` distinct coalitions of `size`, uniformly and without replacement. Of two halves the one with component 0."""
    if count_pairs(d, size) <= LISTED * count:
        everything = list(itertools.islice(itertools.combinations(range(d), size), int(count_pairs(d, size))))
        order = torch.randperm(len(everything), generator=generator)[:count]
        chosen = torch.tensor(everything)[order]
    else:
        # Kept as bytes: Python's own integers would take a gigabyte at d = 5,000.
        distinct: dict[bytes, None] = {}
        for coalition in draw_forever(d, size, generator):
            distinct[coalition.numpy().tobytes()] = None
            if len(distinct) == count:
                break
        chosen = torch.frombuffer(bytearray(b"".join(distinct)), dtype=torch.long).view(count, size)
    return torch.zeros(count, d, dtype=torch.bool).scatter_(1, chosen, True)


def draw_forever(d: int, size: int, generator: torch.Generator) -> Iterator[Int[Tensor, " size"]]:
    """Sorted coalitions of `size`, uniform and independent."""
    while True:
        order = torch.randperm(d, generator=generator)
        half = order[:size]
        if 2 * size == d and 0 not in half:
            half = order[size:]
        yield half.sort().values


def solve_leverage(
    design: LeverageDesign, values: Float[Tensor, "n class"], song: Float[Tensor, " class"], empty: Float[Tensor, " class"]
) -> Known:
    """Weighted least squares whose coefficients sum to song − empty (Lundberg & Lee 2017), for all classes at once.

    `values` are the model's outputs on the design's masks, `song` and `empty` those with every component on and off. The
    constraint is solved for: what is left to fit is the odd part (f(z) − f(¬z)) / 2 on masks less their means, a row a
    pair. The even part cancels, so models of second order are met exactly. Errors: see `judge`.
    """
    gain = song.double() - empty.double()
    balance = design.masks[0::2].double().mean(1, keepdim=True) - 0.5
    odd = (values[0::2].double() - values[1::2].double()) / 2 - balance * gain
    directions, targets = direct(design), design.weights[0::2, None].sqrt() * odd
    d = directions.shape[1]
    # Rows sum to zero, so the Gram matrix lacks the direction of equal changes: 1/d in every cell fills it.
    factor, _ = torch.linalg.cholesky_ex(directions.T @ directions + 1 / d)
    influence = torch.cholesky_solve(directions.T, factor).T
    slopes = influence.T @ targets
    leverage = (influence * directions).sum(1, keepdim=True)
    return judge(slopes + gain / d, targets - directions @ slopes, influence, leverage, 1 - design.rates[0::2, None])


def direct(design: LeverageDesign) -> Float[Tensor, "pair d"]:
    """The first mask of each pair less its mean, times the root of its weight, in float64."""
    rows = design.masks[0::2].double()
    return design.weights[0::2, None].sqrt() * (rows - rows.mean(1, keepdim=True))


def judge(
    coefficients: Float[Tensor, "d class"],
    residuals: Float[Tensor, "pair class"],
    influence: Float[Tensor, "pair d"],
    leverage: Float[Tensor, "pair 1"],
    undrawn: Float[Tensor, "pair 1"],
) -> Known:
    """Standard errors by pair, HC2 (MacKinnon & White 1985) times the share of the stratum left undrawn (Cochran 1977), and
    Satterthwaite degrees of freedom (Bell & McCaffrey 2002).

    A residual's square lacks the share `leverage` of its error; a stratum drawn without replacement spares the share that
    was drawn, and has no error where all was.
    """
    squares = influence.square() * undrawn
    variances = (squares / (1 - leverage).clamp_min(1 - DECIDES)).T @ residuals.square()
    # Where nothing is left undrawn this is 0 / 0.
    freedom = count_freedom(squares, leverage).nan_to_num(nan=torch.inf)
    return Known(coefficients.T, variances.sqrt().T, freedom.expand(coefficients.shape[1], -1))
