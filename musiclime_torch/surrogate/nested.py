"""Fold-over blocks in which what belongs together spares main effects: stems of one segment, words in a row.

All that a fold-over's main effects err by are odd terms of third order and up. Much of it lies in few terms known in
advance, products of three cells of one segment. Here columns are handed out so that no such product is a column in use,
and blocks follow each other so that few other products are: each pair of blocks, then each four, and so on, is a regular
fraction of low aberration (Fries & Hunter 1980).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from math import comb

import numpy as np
import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.kerdock import sylvester

#: Columns that belong together, one tuple each. Neighbours in this order are near each other.
Neighbourhoods = tuple[tuple[int, ...], ...]

#: With fewer columns most errors are zero and some are large, which intervals can't show; with more, whole blocks are long.
FEWEST, MOST = 20, 89

#: Doublings of a block in a cycle: after 32 blocks hardly a product of three is left on a column in use.
DOUBLINGS = 5

#: The share of a block's columns that may be in use: beyond, products of three find no place that is free.
FILLED = 0.7

#: Attempts at handing out the columns of a block, and at each of its doublings.
ATTEMPTS, STARTS = 400, 6

#: How much more a term within two neighbouring segments counts than one of three components anywhere.
NEAR = 4.0


def pick_length(d: int) -> int:
    """Rows of a block before its complements, for so many columns.

    >>> [pick_length(d) for d in (20, 40, 60)]
    [32, 64, 128]
    """
    length = 32
    while d > FILLED * length:
        length *= 2
    return length


def fits_nested(d: int, n_samples: int) -> bool:
    """Whether these blocks exist for so many columns, and two of them for so many masks.

    Of one block alone nobody could tell which terms it confounds.

    >>> fits_nested(40, 256), fits_nested(40, 200), fits_nested(140, 5000)
    (True, False, False)
    """
    return FEWEST <= d <= MOST and n_samples >= 4 * pick_length(d)


def list_triples(neighbourhoods: Neighbourhoods) -> Int[Tensor, "triple 3"]:
    """All products of three columns that belong together, each once.

    >>> list_triples(((0, 1, 2), (1, 2, 3))).tolist()
    [[0, 1, 2], [1, 2, 3]]
    """
    triples = {triple for columns in neighbourhoods for triple in combinations(sorted(columns), 3)}
    return torch.tensor(sorted(triples), dtype=torch.long).view(-1, 3)


def draw_nested(d: int, n_samples: int, seed: int, neighbourhoods: Neighbourhoods = ()) -> Design | None:
    """Whole blocks, as many as come nearest to `n_samples` masks; None where no columns keep the neighbourhoods apart.

    A block takes `d` columns of a Sylvester matrix with random signs and rows in random order, and every row's complement
    after it. All blocks of a cycle have the same columns; columns and signs are drawn again for the next cycle.

    >>> design = draw_nested(40, 300, seed=0)
    >>> design.n_samples, design.block, design.cycle
    (256, 128, 32)
    """
    for length in (pick_length(d), 2 * pick_length(d)):
        # Columns that find no room in a block may find it in one twice as long, if there are masks for two of these.
        if n_samples >= 4 * length or length == pick_length(d):
            design = _draw_blocks(d, length, n_samples, seed, neighbourhoods)
            if design is not None:
                return design
    return None


def _draw_blocks(d: int, length: int, n_samples: int, seed: int, neighbourhoods: Neighbourhoods) -> Design | None:
    # Rounded up, a third more passes than asked for could be spent on 256 masks and one.
    count = max(round(n_samples / (2 * length)), 1)
    generator = torch.Generator().manual_seed(seed)
    matrix, drawn, left = sylvester(length), list[Tensor](), torch.empty(0)
    while len(drawn) < count:
        laid = lay_columns(d, length, neighbourhoods, int(torch.randint(2**31, (), generator=generator)))
        if laid is None:
            return None
        left = left if drawn else laid.left
        flips = torch.rand(d, generator=generator) < 0.5
        for signs in laid.signs[: count - len(drawn)]:
            rows = ((matrix[:, list(laid.columns)] * signs) > 0) ^ flips
            drawn.append(rows[torch.randperm(length, generator=generator)])
    rows = torch.cat(drawn)
    masks = torch.stack([rows, ~rows], 1).flatten(0, 1)
    n = len(masks)
    return Design(
        masks, torch.ones(n), folded=n, block=2 * length, uniform=True, cycle=2**DOUBLINGS, balanced=n,
        left=left, local=list_triples(neighbourhoods),
    )  # fmt: skip


# A block of 2^b rows has columns numbered by b bits, and the product of columns i, j and k is column i ^ j ^ k. It is
# confounded with a main effect where that is the column l of another component: where i ^ j ^ k ^ l = 0. Such a set of four
# is called a word. The block's second copy has signs ±1 on its components: over both, a word whose signs multiply to −1
# cancels, for its products are opposite in the copies. Signs are chosen so that as many words as possible do, most of all
# those with products of near components; the four copies with another set of signs cancel words of what is left, and so on.
@dataclass(frozen=True)
class Laid:
    """The columns of a cycle's blocks, the signs of each block, and what is left of third-order errors after it."""

    columns: tuple[int, ...]
    signs: Int8[Tensor, "block d"]
    left: Float[Tensor, " block"]


# A catalogue asks for the same columns again and again; its songs with other components must not fill the memory.
@lru_cache(maxsize=64)
def lay_columns(d: int, length: int, neighbourhoods: Neighbourhoods, seed: int) -> Laid | None:
    """Columns and signs for a cycle; None where products of neighbours can't be kept off the columns in use."""
    chance = random.Random(seed)
    columns = hand_out(d, length, neighbourhoods, chance)
    if columns is None:
        return None
    words = list_words(columns)
    near = set(map(tuple, list_triples(tuple((*a, *b) for a, b in pairwise(neighbourhoods))).tolist()))
    weights = np.array([1 + (NEAR - 1) * sum(t in near for t in combinations(word, 3)) / 4 for word in words.tolist()])
    doublings: list[Int[np.ndarray, " d"]] = []
    signs, alive = np.ones((1, d), dtype=np.int8), np.ones(len(words), dtype=bool)
    for _ in range(DOUBLINGS):
        doublings.append(_cancel(d, words[alive], weights[alive], np.random.default_rng(chance.getrandbits(32))))
        alive[alive] = doublings[-1][words[alive]].prod(1) > 0
        signs = np.concatenate([signs, signs * doublings[-1]])
    return Laid(columns, torch.from_numpy(signs.astype(np.int8)), _tell_left(d, length, words, signs))


def hand_out(d: int, length: int, neighbourhoods: Neighbourhoods, chance: random.Random) -> tuple[int, ...] | None:
    """Different columns below `length` for d components, so that no product of three that belong together is one of them.

    One component after the other gets a random column that breaks no rule; where none is left, all begin again.
    """
    order = list(dict.fromkeys([column for together in neighbourhoods for column in together] + list(range(d))))
    place = {component: number for number, component in enumerate(order)}
    completes: list[list[tuple[int, int]]] = [[] for _ in range(d)]
    for triple in list_triples(neighbourhoods).tolist():
        first, second, last = sorted(triple, key=place.__getitem__)
        completes[last].append((first, second))
    for _ in range(ATTEMPTS):
        columns = _hand_out_once(order, completes, length, chance)
        if columns is not None:
            return tuple(columns[component] for component in range(d))
    return None


def _hand_out_once(
    order: Sequence[int], completes: Sequence[Sequence[tuple[int, int]]], length: int, chance: random.Random
) -> dict[int, int] | None:
    columns: dict[int, int] = {}
    free, used, products = list(range(length)), set[int](), set[int]()
    for component in order:
        chance.shuffle(free)
        for column in free:
            new = {column ^ columns[first] ^ columns[second] for first, second in completes[component]}
            if column not in products and column not in new and not new & used:
                break
        else:
            return None
        free.remove(column)
        columns[component] = column
        used.add(column)
        products |= new
    return columns


def list_words(columns: Sequence[int]) -> Int[np.ndarray, "word 4"]:
    """All sets of four columns whose product is constant.

    >>> list_words((1, 2, 4, 7, 8)).tolist()
    [[0, 1, 2, 3]]
    """
    numbers = np.asarray(columns)
    first, second = np.triu_indices(len(numbers), 1)
    # Two pairs with the same product make a word, and every word does so three times: with its least column is enough.
    product = numbers[first] ^ numbers[second]
    order = np.argsort(product, kind="stable")
    borders = np.flatnonzero(np.diff(product[order], prepend=-1, append=-1))
    words = [np.empty((0, 4), dtype=int)]
    for start, end in pairwise(borders):
        one, other = (order[start:end][side] for side in np.triu_indices(int(end - start), 1))
        words.append(np.stack([first[one], second[one], first[other], second[other]], 1))
    return np.unique(np.sort(np.concatenate(words), 1), axis=0)


def _cancel(
    d: int, words: Int[np.ndarray, "word 4"], weights: Float[np.ndarray, " word"], chance: np.random.Generator
) -> Int[np.ndarray, " d"]:
    """Signs of the components under which as much as possible of the words' weight cancels: the best of a few descents."""
    best, least = chance.choice([-1, 1], d), np.inf
    for _ in range(STARTS):
        signs = chance.choice([-1, 1], d)
        while True:
            standing = signs[words].prod(1) * weights
            gains = np.bincount(words.ravel(), np.repeat(standing, 4), d)
            # Turning a component's sign turns all of its words. Weights are quarters: sums of them are exact.
            if gains.max() <= 0:
                break
            signs[gains.argmax()] *= -1
        left = weights[standing > 0].sum()
        if left < least:
            best, least = signs, left
    return best


def _tell_left(
    d: int, length: int, words: Int[np.ndarray, "word 4"], signs: Int[np.ndarray, "block d"]
) -> Float[Tensor, " block"]:
    """Squared errors by third-order terms after each block, as shares of those of as many independent blocks."""
    # A word of k blocks adds a square of (Σ of its signs / k)², four times over. In k independent blocks each of the C(d, 4)
    # sets of four is a word of a block with probability 1 / length, and has another sign in each.
    sums = np.cumsum(signs[:, words].prod(2, dtype=int), 0)
    blocks = np.arange(1, len(signs) + 1)
    squares = np.square(sums).sum(1) / blocks
    return torch.from_numpy(squares / (comb(d, 4) / length))
