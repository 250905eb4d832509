"""Masks drawn in balanced blocks: Hadamard's, Kerdock's and nested ones, folded over or not.

Within a block every component is on in half of the rows, and every two components are on together in a quarter: main
effects are free of each other, which independent rows achieve on average only. Hadamard matrices are square, with entries
±1 and orthogonal rows. Their orders come from Paley's two constructions (a prime q ≡ 3 mod 4 gives q + 1, one ≡ 1 mod 4
2q + 2; Paley 1933) and Sylvester's doubling, which together leave few gaps below a thousand.
"""

import random
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.fit import can_spare_local, correct_errors
from musiclime_torch.surrogate.kerdock import kerdock_signs, sylvester
from musiclime_torch.surrogate.nested import (
    FEWEST,
    Neighbourhoods,
    draw_nested,
    fits_nested,
    hand_out,
    list_triples,
)
from musiclime_torch.surrogate.signed import full_precision, pick_precision
from musiclime_torch.surrogate.solver import solve


def smallest_order(columns: int) -> int:
    """The smallest order this module can build whose matrix has `columns` columns beside the constant one.

    >>> [smallest_order(d) for d in (1, 3, 40, 100, 150)]
    [2, 4, 44, 104, 152]
    """
    order = 2
    while order < columns + 1 or not _constructible(order):
        order += 2
    return order


def fit_order(columns: int, n_samples: int) -> int:
    """The order of fold-over blocks that hold so many masks with the fewest left over.

    Two to four of the smallest blocks often hold far fewer masks than were asked for, and one block more far more. Somewhat
    longer blocks then come nearer.

    >>> [fit_order(100, n) for n in (200, 416, 448, 500, 623, 2000)]
    [104, 104, 112, 128, 104, 104]
    """
    least = smallest_order(columns)
    count, left = divmod(n_samples, 2 * least)
    if not left or count not in FITTED:
        return least
    order = smallest_order(-(-n_samples // (2 * count)) - 1)
    return order if count * order < (count + 1) * least else least


def hadamard(order: int) -> Int8[Tensor, "order order"]:
    """A Hadamard matrix whose first column is all ones; ValueError for an order that no construction here reaches.

    >>> h = hadamard(12).long()
    >>> bool((h @ h.T == 12 * torch.eye(12, dtype=torch.long)).all()), bool((h[:, 0] == 1).all())
    (True, True)
    """
    return torch.from_numpy(_construct(order).copy())


@lru_cache(maxsize=16)
def _construct(order: int) -> np.ndarray:
    """The same in NumPy, kept for the next call: for reading alone."""
    if order == 1:
        matrix = np.ones((1, 1), np.int8)
    elif _is_paley(order):
        matrix = _paley(order - 1)
    elif _is_second_paley(order):
        matrix = _second_paley(order // 2 - 1)
    elif order % 2 == 0 and _constructible(order // 2):
        half = _construct(order // 2)
        matrix = np.block([[half, half], [half, -half]])
    else:
        raise ValueError(f"no Hadamard matrix of order {order} by Paley's or Sylvester's constructions")
    return matrix * matrix[:, :1]


def _constructible(order: int) -> bool:
    if order in (1, 2) or _is_paley(order) or _is_second_paley(order):
        return True
    return order % 4 == 0 and _constructible(order // 2)


def _is_paley(order: int) -> bool:
    return order % 4 == 0 and _is_prime(order - 1)


def _is_second_paley(order: int) -> bool:
    return order % 8 == 4 and order > 4 and _is_prime(order // 2 - 1)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % i for i in range(2, int(number**0.5) + 1))


def _paley(q: int) -> np.ndarray:
    # Paley's first construction: Q[i, j] = χ(i − j), χ being 1 for squares modulo q, −1 for non-squares and 0 at 0, is
    # skew-symmetric for q ≡ 3 (mod 4). Bordered by 1 and −1 it is a skew S with S Sᵀ = q·I, so that H = S + I is Hadamard.
    skew = _border(q)
    skew[1:, 0] = -1
    return skew + np.eye(q + 1, dtype=np.int8)


def _second_paley(q: int) -> np.ndarray:
    # Paley's second: for q ≡ 1 (mod 4) Q is symmetric, and so is S, bordered by ones. S Sᵀ = q·I again, so that the blocks
    # S + I and S − I side by side over S − I and −S − I have orthogonal rows: their products are (S + I)² + (S − I)² =
    # 2 (q + 1) I, and (S + I)(S − I) − (S − I)(S + I) = 0.
    symmetric, one = _border(q), np.eye(q + 1, dtype=np.int8)
    return np.block([[symmetric + one, symmetric - one], [symmetric - one, -symmetric - one]])


def _border(q: int) -> np.ndarray:
    """χ(i − j) for all pairs modulo q, below and beside a border of ones; zeros on the diagonal."""
    character = np.full(q, -1, np.int8)
    steps = np.arange(q)
    character[steps**2 % q] = 1
    character[0] = 0
    bordered = np.ones((q + 1, q + 1), np.int8)
    bordered[0, 0] = 0
    bordered[1:, 1:] = character[(steps[:, None] - steps) % q]
    return bordered


#: Length of the Kerdock blocks in use, 32 of them in a cycle. There are so many blocks of length 256 that no run gets far
#: into a cycle, and with those of length 16 a cycle is over before its errors can be estimated.
KERDOCK = 64

#: Numbers of the smallest Hadamard blocks that are fitted: of one block alone nobody could tell which terms it confounds,
#: and of more hardly a fifth of the masks is rounding.
FITTED = range(2, 5)

#: Masks from which on Kerdock's blocks leave less of third-order errors than Hadamard's, an eighth of a cycle, and than
#: nested ones, three quarters of it.
KERDOCK_FROM, KERDOCK_BEST_FROM = 512, 3072

#: How much longer than Hadamard's a nested block may be: an easy song is settled after the first one, however long it is.
LONGER = 2.5


def draw_foldover(d: int, n_samples: int, seed: int, order: int | None = None) -> Design:
    """Fold-over Hadamard blocks, as many as hold `n_samples` rows (rounded up to whole blocks).

    A block takes `d` random columns of a Hadamard matrix with random signs and rows in random order, and every row's
    complement after it. Main effects are free of each other and of all two-way terms (strength three). The matrix is the
    smallest that has so many columns, or of the `order` that is given.

    >>> design = draw_foldover(40, 80, seed=0)
    >>> design.n_samples, design.block, bool((design.masks[0::2] ^ design.masks[1::2]).all())
    (88, 88, True)
    """
    order = order or smallest_order(d)
    rows = _draw_hadamard_rows(d, order, -(-max(n_samples, 1) // (2 * order)), seed)
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    return Design(masks, torch.ones(len(masks)), folded=len(masks), block=2 * order, uniform=True, balanced=len(masks))


def draw_unfolded(d: int, n_samples: int, seed: int) -> Design:
    """Hadamard blocks without their complements: as many different rows for the same passes.

    Main effects are free of each other but not of two-way terms (strength two). Where odd terms of higher order dominate a
    model, its squared errors are up to one half smaller than a fold-over's.

    >>> draw_unfolded(40, 80, seed=0).n_samples
    88
    """
    order = smallest_order(d)
    masks = _draw_hadamard_rows(d, order, -(-max(n_samples, 1) // order), seed)
    return Design(masks, torch.ones(len(masks)), folded=0, block=order, uniform=True, balanced=len(masks))


def draw_kerdock(d: int, n_samples: int, seed: int, neighbourhoods: Neighbourhoods = ()) -> Design:
    """Fold-over blocks that belong together: third-order terms cancel over a whole cycle of them, and in part before.

    A block is a Sylvester matrix under one of Kerdock's sign vectors (see `kerdock`), and its complement. Columns, signs and
    the order of the blocks are drawn again for every cycle, so that no product of three columns of one of the
    `neighbourhoods` is a column in use where that can be had. InputError for more than 64 components.

    >>> design = draw_kerdock(40, 400, seed=0)
    >>> design.n_samples, design.block, design.cycle
    (512, 128, 32)
    """
    if d > KERDOCK:
        raise InputError(f"Kerdock blocks have columns for {KERDOCK} components, got {d}: use design foldover.")
    length, signs, matrix = KERDOCK, kerdock_signs(KERDOCK), sylvester(KERDOCK)
    generator = torch.Generator().manual_seed(seed)
    blocks: list[Tensor] = []
    kept_apart = bool(neighbourhoods)
    count = -(-max(n_samples, 1) // (2 * length))
    while len(blocks) < count:
        columns, kept_apart = _pick_columns(d, neighbourhoods if kept_apart else (), generator)
        flips = torch.rand(d, generator=generator) < 0.5
        for vector in signs[torch.randperm(len(signs), generator=generator)]:
            rows = ((matrix * vector)[:, columns] > 0) ^ flips
            blocks.append(rows[torch.randperm(length, generator=generator)])
    rows = torch.cat(blocks[:count])
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    n = len(masks)
    return Design(
        masks, torch.ones(n), folded=n, block=2 * length, uniform=True, cycle=len(signs), balanced=n,
        local=list_triples(neighbourhoods if kept_apart else ()),
    )  # fmt: skip


def _pick_columns(d: int, neighbourhoods: Neighbourhoods, generator: torch.Generator) -> tuple[Tensor, bool]:
    """Random columns of a Kerdock block, and whether they keep products of neighbours off each other."""
    if neighbourhoods:
        chance = random.Random(int(torch.randint(2**31, (), generator=generator)))
        columns = hand_out(d, KERDOCK, neighbourhoods, chance)
        if columns is not None:
            return torch.tensor(columns), True
    return torch.randperm(KERDOCK, generator=generator)[:d], False


def draw_blocks(d: int, n_samples: int, seed: int, neighbourhoods: Neighbourhoods = (), fitted: bool = False) -> Design:
    """Fold-over blocks of the best kind that there is for so many columns and masks.

    Nested blocks from two of them on, unless they are long for so few columns; Kerdock's instead of these from an eighth of
    a cycle on, and always near a whole one, after which third-order terms are gone for good; else Hadamard's. Products of
    three columns of a neighbourhood are kept off main effects where that can be had. Hadamard blocks are as short as can
    be, for a run may end after any of them; `fitted` ones come near the number of masks (`fit_order`).

    >>> [draw_blocks(40, n, 0).block for n in (200, 256, 4096)], draw_blocks(140, 5000, 0).block
    ([88, 128, 128], 288)
    """
    kerdock = FEWEST <= d <= KERDOCK
    if not (kerdock and n_samples >= KERDOCK_BEST_FROM) and fits_nested(d, n_samples):
        nested = draw_nested(d, n_samples, seed, neighbourhoods)
        if nested is not None and nested.block <= LONGER * 2 * smallest_order(d):
            return nested
    if kerdock and n_samples >= KERDOCK_FROM:
        return draw_kerdock(d, n_samples, seed, neighbourhoods)
    return draw_foldover(d, n_samples, seed, fit_order(d, n_samples) if fitted else None)


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
    begun = pilot.n_samples // (2 * order) + 1
    alone = _draw_hadamard_rows(d, order, begun + count, seed)[-count * order :] if count else None
    masks = pilot.masks if alone is None else torch.cat([pilot.masks, alone])
    balanced = len(masks) if pilot.orthogonal else 0
    return Design(masks, torch.ones(len(masks)), folded=pilot.n_samples, block=order, uniform=True, balanced=balanced)


#: How sure a pilot block must be before complements are given up. They cost at most a factor of two where they are the
#: wrong choice and may save any factor where they are the right one.
SURE = 0.9


def is_better_unfolded(design: Design, values: Float[Tensor, " n"], third_order: float) -> bool:
    """Whether rows without complements would have smaller errors on this class, judged by one or more fold-over blocks.

    `third_order` is the share of third-order terms' error that the folded blocks will leave once all are drawn.
    """
    from scipy.special import fdtri

    # The noise of a pair's half difference are the odd terms of order three and up, so the slopes of m pairs have a variance
    # in proportion to odd · third_order / m. The noise of 2 m rows that stand alone are all nonlinear terms, and their
    # variance goes with (even + odd) / (2 m). Rows are better where 2 · odd · third_order > even + odd, that is where
    # odd (2 · third_order − 1) > even, which an F test has to confirm.
    pairs, d = design.units, design.masks.shape[1]
    # Local terms are no noise of the slopes. Where there are too few pairs to take them out, complements stay.
    if pairs <= d + 1 or (len(design.local) and not can_spare_local(design)):
        return False
    fit = solve(design, values[:, None], 0.0)
    first, second = values[0::2].double(), values[1::2].double()
    kind = pick_precision(values)
    with full_precision(values.device):
        fitted = (design.masks[0::2].to(kind) - 0.5) @ fit.coefficients.values[0].to(kind)
    left = ((first - second) / 2 - fitted)[:, None]
    # What a cycle's blocks make cancel is judged by `third_order`, of all blocks to come.
    correction = correct_errors(replace(design, cycle=0), 2.0 * design.masks[0::2] - 1, left)
    odd = left.square().sum() * correction.factor[0] / (pairs - d)
    even = ((first + second) / 2).var()
    return bool(odd * (2 * third_order - 1) > float(fdtri(pairs - d, pairs - 1, SURE)) * even)


def _draw_hadamard_rows(d: int, order: int, blocks: int, seed: int) -> Bool[Tensor, "n d"]:
    """Random columns of a Hadamard matrix with random signs and rows in random order, block after block."""
    # Columns are picked as rows of the transpose, bytes that lie side by side, and those of all blocks at once.
    columns = torch.from_numpy(np.ascontiguousarray(_construct(order)[:, 1:].T > 0))
    generator = torch.Generator().manual_seed(seed)
    chosen, flips, rows = [], [], []
    for block in range(blocks):
        chosen.append(torch.randperm(order - 1, generator=generator)[:d])
        flips.append(torch.rand(d, generator=generator))
        rows.append(torch.randperm(order, generator=generator) + block * order)
    picked = columns.index_select(0, torch.cat(chosen)).view(blocks, d, order).mT.contiguous()
    signed = picked ^ (torch.stack(flips) < 0.5)[:, None]
    return signed.flatten(0, 1).index_select(0, torch.cat(rows))
