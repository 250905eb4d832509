"""The surrogate of an orthogonal design, from signed sums: no Gram matrix, no factorisation, no inverse.

`solver` solves any design and is the oracle of this module's tests. Numbers are float64 on a CPU; on other devices products
run in float32, a few rows at a time, and their sums are added up in float64.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.fit import (
    Fit,
    Known,
    correct_errors,
    count_freedom,
    enlarge,
    enlarge_shared,
    sum_groups,
)

#: Whose products of float32 torch lets a caller round: a GPU's and a CPU's.
_BACKENDS: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]


def pick_precision(values: Tensor) -> torch.dtype:
    """float64 on a CPU. Elsewhere float32: consumer GPUs run float64 at a thirty-second of its speed or less.

    >>> pick_precision(torch.zeros(2))
    torch.float64
    """
    return torch.float64 if values.device.type == "cpu" else torch.float32


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Keep products of float32 in float32, also where the caller allows TensorFloat-32 or bfloat16.

    Products of float64 were never rounded; those of ±1 with float32 must not be either.
    """
    # By backend: torch's older setting for all of them can't even be read where a caller has set one of these.
    before = [backend.fp32_precision for backend in _BACKENDS]
    try:
        for backend in _BACKENDS:
            backend.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(_BACKENDS, before, strict=True):
            backend.fp32_precision = precision


def rounds_products() -> bool:
    """Whether the caller allows products of float32 to be rounded, as TensorFloat-32 does to ten bits.

    >>> rounds_products()
    False
    """
    return any(backend.fp32_precision not in ("none", "ieee") for backend in _BACKENDS)


#: Numbers of a few classes that are worked on at a time: they stay in the cache of a CPU.
CELLS = 2**17

#: Residuals whose squares are a smaller share of all than this are formed: eight digits of the difference must be left.
SMALL = 1e-7

#: Sampling units that are summed in float32 before float64 takes over.
BLOCK = 512


@dataclass(frozen=True)
class _Halves:
    """What the slopes are fitted to: half the difference of a pair, or a row that stands alone less the mean.

    The first `pairs` units are pairs. `even` is Σ over pairs of twice the square of their means: what no slope reaches.
    """

    odd: Float[Tensor, "unit class"]
    pairs: int
    mean: Float[Tensor, " class"]
    even: Float[Tensor, " class"]


@dataclass(frozen=True)
class _Solved:
    """Slopes, the Σ s o over pairs and Σ s y over rows alone that they come from, and `scale` = 1 / (n / 4 + λ)."""

    slopes: Float[Tensor, "class d"]
    pairs: Float[Tensor, "class d"]
    alone: Float[Tensor, "class d"]
    scale: float


# From the formulas of `solver` to the code below. In whole blocks the coded masks x = s / 2, s = ±1, sum to zero and
# G = (n / 4 + λ) I. With c = 1 / (n / 4 + λ) the slopes are β = c Σ x y. A pair (x, −x) adds x (y − y′) = s o, where o is
# half of y − y′, and a row that stands alone s y / 2:
#     β = c (Σ_pairs s o + ½ Σ_alone s y).
# The residual of a half is r = o − sᵀβ / 2. A unit's contribution is u = c s r for a pair and c s r / 2 for a row alone,
# so that u² is the same for every column: one variance a class, c² (Σ_pairs r² + ¼ Σ_alone r²).
# With M = Σ s o over m pairs, or Σ s y over m rows alone, Σ r² = Σ o² − β M + m |β|² / 4: residuals are formed only where
# they are needed one by one, or are so small that the difference would be rounding.


def solve_signed(design: Design, outputs: Float[Tensor, "n class"], ridge: float) -> Fit:
    """What `solver.solve` gives for an orthogonal design."""
    with full_precision(outputs.device):
        signs = _sign(design, outputs)
        parts = [_solve_classes(design, signs, some, ridge) for some in _split(design, outputs)]
    slopes, variances, intercept, fidelity, spent = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    errors = variances.sqrt().expand(-1, slopes.shape[1]).contiguous()
    known = Known(slopes, errors, torch.full_like(errors, max(count_freedom(design), 0)) - spent[:, None])
    return Fit(known, intercept, fidelity, pivots=errors.new_ones(slopes.shape[1]))


def trace_signed(design: Design, outputs: Float[Tensor, " n"], ridge: float) -> Float[Tensor, "unit d"]:
    """What `solver.trace_errors` gives for an orthogonal design."""
    with full_precision(outputs.device):
        signs, halves = _sign(design, outputs), _halve(design, outputs[:, None])
        solved = _solve(design, signs, halves, ridge)
        residuals = _subtract(signs, halves, solved)
        spared = correct_errors(design, signs, residuals).factor
    if design.repeats > 1:
        return sum_groups(design, signs * enlarge_shared(design, residuals)).double() * solved.scale
    pairs, alone = residuals[: halves.pairs], residuals[halves.pairs :]
    pushes = torch.cat([pairs * enlarge(design, folded=True) ** 0.5, alone * (enlarge(design, folded=False) ** 0.5 / 2)])
    return signs * (pushes.double() * solved.scale * spared.sqrt())


def _sign(design: Design, outputs: Tensor) -> Float[Tensor, "unit d"]:
    """The first mask of every sampling unit as ±1."""
    masks = _join(design.masks[0 : design.folded : 2], design.masks[design.folded :])
    return (2 * masks.contiguous().view(torch.int8) - 1).to(pick_precision(outputs))


def _join(pairs: Tensor, alone: Tensor) -> Tensor:
    """Both, without a copy where one kind is all there is."""
    return torch.cat([pairs, alone]) if len(pairs) and len(alone) else pairs if len(pairs) else alone


def _split(design: Design, outputs: Float[Tensor, "n class"]) -> Sequence[Float[Tensor, "n some"]]:
    """A few classes at a time on a CPU, whose cache they stay in. What blocks of a cycle share is found for all at once."""
    if design.cycle or outputs.device.type != "cpu":
        return (outputs,)
    return outputs.split(max(CELLS // design.units, 1), 1)


def _solve_classes(
    design: Design, signs: Float[Tensor, "unit d"], outputs: Float[Tensor, "n class"], ridge: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Slopes (class, d), their variances or the one that all of a class share, intercepts, fidelities, freedom spent."""
    halves = _halve(design, outputs)
    solved = _solve(design, signs, halves, ridge)
    every = all_pairs, all_alone = _square(halves, halves.odd)
    (pairs, alone), residuals = _leave(design, signs, halves, solved, every)
    # What was sampled is known no better than numbers are rounded: an error of exactly zero means that nothing was.
    rounding = torch.finfo(signs.dtype).eps ** 2 * (all_pairs + all_alone)
    variances = (pairs + rounding) * enlarge(design, folded=True) + alone * (enlarge(design, folded=False) / 4)
    correction = None if residuals is None else correct_errors(design, signs, residuals)
    missed, spread = (halves.even + 2 * two + one for two, one in ((pairs, alone), (all_pairs, all_alone)))
    return (
        solved.slopes,
        _sum_clusters(design, signs, residuals, solved.scale, rounding)
        if residuals is not None and design.repeats > 1
        else (solved.scale**2 * variances * (1.0 if correction is None else correction.factor))[:, None],
        halves.mean - solved.slopes.sum(1) / 2,
        torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread)),
        torch.zeros_like(spread) if correction is None else correction.spent.double().expand(len(spread)),
    )


def _leave(
    design: Design,
    signs: Float[Tensor, "unit d"],
    halves: _Halves,
    solved: _Solved,
    squares: tuple[Float[Tensor, " class"], Float[Tensor, " class"]],
) -> tuple[tuple[Float[Tensor, " class"], Float[Tensor, " class"]], Float[Tensor, "unit class"] | None]:
    """Σ of squared residuals over pairs and over rows alone, of `squares` in all; and residuals, where they were formed."""
    # Whether a difference is rounding is looked at, which on another device would mean to wait for it.
    if signs.device.type == "cpu" and design.repeats == 1 and not design.cycle and not len(design.local):
        sizes = (halves.pairs, len(signs) - halves.pairs)
        terms = zip(squares, (solved.pairs, solved.alone), sizes, strict=True)
        left = [whole - _explain(solved.slopes, moments, size) for whole, moments, size in terms]
        if all(bool((one >= SMALL * whole).all()) for one, whole in zip(left, squares, strict=True)):
            return (left[0], left[1]), None
    residuals = _subtract(signs, halves, solved)
    return _square(halves, residuals), residuals


def _explain(slopes: Float[Tensor, "class d"], moments: Float[Tensor, "class d"], size: int) -> Float[Tensor, " class"]:
    """β M − m |β|² / 4."""
    return (slopes * moments).sum(1) - slopes.square().sum(1) * (size / 4)


def _sum_clusters(
    design: Design,
    signs: Float[Tensor, "pair d"],
    residuals: Float[Tensor, "pair class"],
    scale: float,
    rounding: Float[Tensor, " class"],
) -> Float[Tensor, "class d"]:
    """Variances where pairs share sounds: Σ_g u_g², which differs from column to column."""
    enlarged = enlarge_shared(design, residuals)
    rows = [sum_groups(design, signs * column[:, None]).double().square().sum(0) for column in enlarged.T]
    return scale**2 * (torch.stack(rows) + rounding[:, None])


def _halve(design: Design, outputs: Float[Tensor, "n class"]) -> _Halves:
    kind, folded = pick_precision(outputs), design.folded
    wide = outputs.to(torch.promote_types(outputs.dtype, kind))
    mean = wide.mean(0)
    first, second, alone = wide[0:folded:2], wide[1:folded:2], wide[folded:] - mean
    even = (first + second).sub_(2 * mean).square().sum(0) / 2
    return _Halves(_join((first - second).div_(2), alone).to(kind), folded // 2, mean.double(), even.double())


def _solve(design: Design, signs: Float[Tensor, "unit d"], halves: _Halves, ridge: float) -> _Solved:
    scale, pairs = 1 / (design.n_samples / 4 + ridge), halves.pairs
    first, second = _sum_signed(signs[:pairs], halves.odd[:pairs]), _sum_signed(signs[pairs:], halves.odd[pairs:])
    return _Solved((first + second / 2).mul_(scale), first, second, scale)


def _subtract(signs: Float[Tensor, "unit d"], halves: _Halves, solved: _Solved) -> Float[Tensor, "unit class"]:
    """Residuals of the units."""
    return torch.addmm(halves.odd, signs, solved.slopes.T.to(signs.dtype), alpha=-0.5)


def _sum_signed(signs: Float[Tensor, "unit d"], values: Float[Tensor, "unit class"]) -> Float[Tensor, "class d"]:
    """Σ s y in float64: of all rows at once, or of a few at a time where they are float32."""
    step = BLOCK if signs.dtype == torch.float32 else max(len(signs), 1)
    total = torch.zeros(values.shape[1], signs.shape[1], dtype=torch.float64, device=values.device)
    for start in range(0, len(signs), step):
        total += values[start : start + step].T @ signs[start : start + step]
    return total


def _square(halves: _Halves, values: Float[Tensor, "unit class"]) -> tuple[Float[Tensor, " class"], Float[Tensor, " class"]]:
    """Σ of squares over pairs, and over rows that stand alone."""
    squares = values.square()
    return squares[: halves.pairs].sum(0).double(), squares[halves.pairs :].sum(0).double()
