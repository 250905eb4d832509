"""Masks for Captum's classes: where their random numbers come from, and the coalitions of `KernelShap`.

Masks are drawn from the global random state, which is advanced exactly as Captum does, from a generator, or from a
seed. `KernelShap` takes all coalitions where they fit the budget, else pairs of complements spread evenly over sizes.
The spread is leverage sampling's (`surrogate.shapley.leverage`), drawn for all sizes at once. A drop-in has to answer
where leverage sampling refuses, with fewer pairs than components: it then returns the values of least norm.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.arguments import read_integer
from musiclime_torch.basics.errors import InputError
from musiclime_torch.captum.least_squares import CELLS, JITTER, factorise, pick_precision, refine, score_fit
from musiclime_torch.captum.request import Lines, unknown
from musiclime_torch.surrogate.fit import Known
from musiclime_torch.surrogate.shapley.levels import solve_exact
from musiclime_torch.surrogate.shapley.leverage import (
    LISTED,
    SPARE_PAIRS,
    LeverageDesign,
    allocate,
    count_pairs,
    draw_size,
    judge,
    weigh_rows,
)


def draw_coalitions(d: int, pairs: int, generator: torch.Generator) -> LeverageDesign:
    """Distinct pairs, as many for every size; where sizes are more than pairs, of sizes at equal steps."""
    counts = allocate(d, pairs) if pairs >= d // 2 else dict.fromkeys(_step(d // 2, pairs), 1)
    # Sizes with few coalitions are drawn from their list, without replacement. For the others a list would be too long:
    # coalitions that are drawn twice are drawn again.
    few = {size: count for size, count in counts.items() if count_pairs(d, size) <= LISTED * count}
    many = {size: count for size, count in counts.items() if size not in few}
    rows = {size: draw_size(d, size, count, generator) for size, count in few.items()}
    rows |= dict(zip(many, _draw_distinct(d, many, generator).split(list(many.values())), strict=True)) if many else {}
    drawn = [rows[size] for size in counts]
    return weigh_rows(torch.cat(drawn) if drawn else torch.zeros(0, d, dtype=torch.bool), counts)


def solve_coalitions(design: LeverageDesign, outputs: Float[Tensor, "n output"], judged: bool) -> Lines:
    """Shapley values from rows [all on, all off, the design's], by least squares under the constraint that they sum to the
    difference of the first two (Lundberg & Lee 2017). Errors, where the pairs suffice for them: see `leverage.judge`.
    """
    song, empty, values = outputs[0].double(), outputs[1].double(), outputs[2:].double()
    gain, d = song - empty, design.masks.shape[1]
    rows, root = design.masks[0::2], design.weights[0::2, None].sqrt()
    # Sampled by leverage, all rows count alike.
    kind = pick_precision(outputs, torch.ones_like(root.T), d)
    share = rows.view(torch.int8).sum(1, keepdim=True, dtype=torch.int32) / torch.tensor(d, dtype=torch.float64)
    directions = rows.view(torch.int8).to(kind).sub_(share.to(kind)).mul_(root.to(kind))
    targets = root * ((values[0::2] - values[1::2]) / 2 - (share - 0.5) * gain)
    # A pair is a coalition S and its complement. With the constraint Σ φ = v(all) − v(none) =: gain, φ = slopes + gain / d
    # and Σ slopes = 0. Half the difference of a pair's values, (v(S) − v(Sᶜ)) / 2, is Σ_c (z_c − ½) φ_c. Of this,
    # gain / d contributes (|S| / d − ½) gain; the rest is regressed on the slopes.
    slopes, factor = _solve_pairs(directions, targets)
    fit = Known((slopes + gain / d).T, unknown(slopes).T, unknown(slopes).T)
    if judged and len(directions) >= d - 1 + SPARE_PAIRS:
        # Errors from the residuals: `influence` is (XᵀX)⁻¹ xᵢ for each pair, `leverage` is xᵢᵀ (XᵀX)⁻¹ xᵢ.
        directions = directions.double()
        influence = torch.cholesky_solve(directions.T, factor).T
        leverage = (influence * directions).sum(1, keepdim=True)
        fit = judge(slopes + gain / d, targets - directions @ slopes, influence, leverage, 1 - design.rates[0::2, None])
    return _report(fit, design.masks, design.weights, values, empty, judged)


def _solve_pairs(
    directions: Float[Tensor, "pair d"], targets: Float[Tensor, "pair output"]
) -> tuple[Float[Tensor, "d output"], Float[Tensor, "size size"]]:
    """Slopes that sum to zero, and Cholesky's factor of the Gram matrix: of components, or of pairs if they are fewer."""
    pairs, d = directions.shape
    # Rows sum to zero: the direction in which all components change alike is the constraint's, and 1/d fills it for
    # Cholesky. Equations for the pairs, as in `least_squares`, have no share in it.
    few = 0 < pairs < d
    gram = (directions @ directions.T if few else directions.T @ directions + 1 / d).double()[None]
    factor = factorise(gram, JITTER * gram.diagonal(dim1=1, dim2=2).amax(1)[:, None, None])
    if few:
        slopes = directions.T @ refine(gram, factor, targets[None])[0]
    else:
        slopes = refine(gram, factor, (directions.T @ targets.to(directions.dtype)).double()[None])[0]
    # Without what rounding leaves of a sum.
    return slopes - slopes.mean(0), factor[0]


def solve_every(masks: Bool[Tensor, "n d"], outputs: Float[Tensor, "n output"], judged: bool) -> Lines:
    """Shapley values from all coalitions, of which the first is the empty one."""
    sizes = masks.sum(1).double()
    d = masks.shape[1]
    inside = (sizes > 0) & (sizes < d)
    # Shapley's kernel over the coalitions inside, (d − 1) / (C(d, s) s (d − s)); the two ends are met whatever they weigh.
    counts = torch.exp(math.lgamma(d + 1) - torch.lgamma(sizes + 1) - torch.lgamma(d - sizes + 1))
    weights = torch.where(inside, (d - 1) / (counts * sizes * (d - sizes)).clamp_min(1), 0.0)
    return _report(solve_exact(masks, outputs), masks, weights, outputs.double(), outputs[0].double(), judged)


def _report(
    fit: Known,
    masks: Bool[Tensor, "n d"],
    weights: Float[Tensor, " n"],
    outputs: Float[Tensor, "n output"],
    empty: Float[Tensor, " output"],
    judged: bool,
) -> Lines:
    fidelity = unknown(empty)
    if judged:
        fidelity = score_fit(weights[:, None], outputs, empty + masks.double() @ fit.values.T)
    return Lines(fit.values, empty, fidelity, fit.errors, fit.freedom)


def _step(sizes: int, pairs: int) -> list[int]:
    """`pairs` of the sizes 1 to `sizes`, at equal steps."""
    return [1 + (2 * pair + 1) * sizes // (2 * pairs) for pair in range(pairs)]


def _draw_distinct(d: int, counts: dict[int, int], generator: torch.Generator) -> Bool[Tensor, "pair d"]:
    """Coalitions of each size, uniform, none twice. Of two halves the one with component 0."""
    sizes = torch.tensor(list(counts)).repeat_interleave(torch.tensor(list(counts.values())))
    rows = _draw_sizes(d, sizes, generator)
    marks = torch.randn(d, generator=generator, dtype=torch.float64)
    while True:
        # Equal coalitions have equal sums of random marks, and others don't.
        order = (rows.view(torch.int8).double() @ marks).sort()
        twice = order.indices[1:][order.values.diff() == 0]
        if not len(twice):
            return rows
        rows[twice] = _draw_sizes(d, sizes[twice], generator)


def _draw_sizes(d: int, sizes: Tensor, generator: torch.Generator) -> Bool[Tensor, "pair d"]:
    # The components with the s smallest of d independent numbers are a uniform draw of s out of d. Whole numbers below 2³¹
    # are drawn and sorted in half the time of float64; where the s-th is there twice, d times in 2³¹, one more is on.
    rows = torch.empty(len(sizes), d, dtype=torch.bool)
    step = max(CELLS // d, 1)
    for some, wanted in zip(rows.split(step), sizes.split(step), strict=True):
        drawn = torch.empty(some.shape, dtype=torch.int32).random_(generator=generator).numpy()
        # The smallest of each row; numpy sorts six times as fast as torch here, and compares twice as fast.
        limits = np.take_along_axis(np.sort(drawn, axis=1), wanted.numpy()[:, None] - 1, axis=1)
        np.less_equal(drawn, limits, out=some.numpy())
    # At half size a coalition and its complement are both of that size, and would be drawn as two pairs: the one with
    # component 0 stands for both.
    turned = (2 * sizes == d) & ~rows[:, 0]
    rows[turned] = ~rows[turned]
    return rows


#: The first of 24 random bits in a number of 32.
FIRST_BIT = 1 << 23


@dataclass(frozen=True)
class Chance:
    """A `seed` gives every example and every call the same masks: common random numbers. A `generator` is drawn from in
    turn. With neither, the global random state is: example after example, as Captum draws.
    """

    seed: int | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and self.generator is not None:
            raise InputError(f"seed={self.seed} and a generator were both given: give only one.")
        if self.generator is not None and self.generator.device.type != "cpu":
            raise InputError(
                f"masks are drawn on the CPU, but the generator is on {self.generator.device}: give one for the CPU."
            )

    @property
    def shared(self) -> bool:
        """Whether all examples have the same masks."""
        return self.seed is not None

    @property
    def is_global(self) -> bool:
        """Whether the global random state is drawn from."""
        return self.seed is None and self.generator is None

    def start(self) -> torch.Generator | None:
        """The generator of this call; None is the global state."""
        return self.generator if self.seed is None else torch.Generator().manual_seed(self.seed)

    @contextmanager
    def governing(self) -> Iterator[None]:
        """For one example: callables that draw from torch's global state draw from here instead; it is given back."""
        if self.is_global:
            yield
        else:
            with torch.random.fork_rng():
                torch.manual_seed(draw_seed(self.generator) if self.seed is None else self.seed)
                yield


def pick_chance(seed: SupportsIndex | None, generator: torch.Generator | None) -> Chance:
    """The `Chance` of an explainer's arguments; InputError for a seed that is not a whole number."""
    return Chance(None if seed is None else read_integer(seed, "seed"), generator)


def draw_seed(generator: torch.Generator | None) -> int:
    """One number for another generator to start from."""
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator))


def draw_masks(n_samples: int, components: int, generator: torch.Generator | None) -> Bool[Tensor, "n component"]:
    """Independent masks, each component on with probability one half, bit by bit those of Captum's `Lime` at the same state.

    They take the same numbers as Captum's `torch.bernoulli`, in a quarter of the time.
    """
    # `bernoulli` at one half tells whether a number made of 24 random bits is below ½: whether the first of them is 0.
    masks = torch.empty(n_samples, components, dtype=torch.bool)
    for rows in masks.split(max(CELLS // components, 1)):
        chosen = rows.view(-1)
        paired = len(chosen) - len(chosen) % 2
        # Two numbers of 32 bits at a time take a sixth less time. The first is the upper half, and comes second.
        both = torch.empty(paired // 2, dtype=torch.int64).random_(generator=generator).view(torch.int32)
        lower, upper = both.bitwise_and_(FIRST_BIT).view(-1, 2).unbind(1)
        torch.eq(upper, 0, out=chosen[0:paired:2])
        torch.eq(lower, 0, out=chosen[1:paired:2])
        if paired < len(chosen):
            last = torch.empty((), dtype=torch.int32).random_(generator=generator)
            chosen[-1] = last.bitwise_and_(FIRST_BIT) == 0
    return masks


def skip_fit_draws(components: int) -> None:
    """Advance the global state as Captum's fit of a linear surrogate does: a data loader's seed, a new layer's weights."""
    # Captum's next example draws after these, so masks match its own only if they are drawn here too.
    torch.empty((), dtype=torch.int64).random_()
    # As many numbers as `torch.nn.Linear(components, 1)` takes for weights and bias, in a tenth of the time.
    torch.empty(components).uniform_()
    torch.empty(1).uniform_()
