"""Functions of few components, known on every mask: their Walsh coefficients, and all values that follow in closed form.

A song of several windows is a sum of such functions, one for each set of columns that a window contains.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.surrogate.design import send
from musiclime_torch.surrogate.fit import pick
from musiclime_torch.surrogate.pairs import list_pairs


# With s_j = 2 z_j − 1 in {−1, 1}, every function of masks is Σ_S c_S Π_{j in S} s_j, one term for each set S of components.
# Under masks that keep each component with probability ½ the products are orthonormal (O'Donnell 2014, chapter 1), so that
#     main effects (Banzhaf values)  β_i  = 2 c_{i},      for s_i = 2 (z_i − ½);
#     interactions of two            β_ij = 4 c_{i,j},    for s_i s_j = 4 (z_i − ½)(z_j − ½);
#     variance                       Σ_{S ≠ ∅} c_S².
# Shapley values: Π_S s_j is symmetric in the members of S and doesn't depend on others, so that each member gets an equal
# share of its value on the song less that on the empty song, 1 − (−1)^|S|: 2 / |S| for odd |S|, nothing for even.
@dataclass(frozen=True)
class Walsh:
    """A function of masks: `subsets` of components, one term each, and their `coefficients` for every class."""

    subsets: Bool[Tensor, "term d"]
    coefficients: Float[Tensor, "term class"]

    @property
    def sizes(self) -> Int[Tensor, " term"]:
        """Number of components of each term."""
        return self.subsets.sum(1)

    @property
    def mean(self) -> Float[Tensor, " class"]:
        """The mean over all masks."""
        return (self.coefficients * (self.sizes == 0)[:, None]).sum(0)

    @property
    def main(self) -> Float[Tensor, "class d"]:
        """Banzhaf values."""
        return 2 * self._gather(self.sizes == 1)

    @property
    def shapley(self) -> Float[Tensor, "class d"]:
        """Shapley values; they sum to song − empty song."""
        shares = torch.where(self.sizes % 2 == 1, 2 / self.sizes.clamp_min(1), 0.0)
        return self._gather(shares)

    @property
    def variance(self) -> Float[Tensor, " class"]:
        """The variance over all masks."""
        return self._square(self.sizes > 0)

    @property
    def pair_variance(self) -> Float[Tensor, " class"]:
        """The part of the variance that lies in terms of two components."""
        return self._square(self.sizes == 2)

    def take(self, kept: Sequence[int] | None) -> "Walsh":
        """Some classes by number, None for all."""
        return Walsh(self.subsets, pick(self.coefficients.T, kept).T)

    def list_pairs(self) -> Float[Tensor, "class pair"]:
        """Interactions of every two components, in the order of `pairs.list_pairs`."""
        d = self.subsets.shape[1]
        table = self.coefficients.new_zeros(d, d, self.coefficients.shape[1])
        twos = (self.sizes == 2).nonzero().flatten()
        table[tuple(self.subsets[twos].nonzero()[:, 1].view(-1, 2).T)] = 4 * self.coefficients[twos]
        columns = send(list_pairs(d), table.device)
        return table[columns[:, 0], columns[:, 1]].T

    def measure_fidelity(
        self, slopes: Float[Tensor, "class d"], at_empty: Float[Tensor, " class"]
    ) -> Float[Tensor, " class"]:
        """R² over all masks of at_empty + Σ slope · z."""
        # The linear model's own coefficients: at_empty + ½ Σ slope for ∅, ½ slope for each component.
        missed = (self.mean - at_empty - slopes.sum(1) / 2).square() + (self.main - slopes).square().sum(1) / 4
        missed = missed + self._square(self.sizes > 1)
        return torch.where(self.variance > 0, 1 - missed / self.variance, torch.ones_like(missed))

    def _gather(self, weights: Tensor) -> Float[Tensor, "class d"]:
        return (self.coefficients * weights[:, None]).T @ self.subsets.to(self.coefficients.dtype)

    def _square(self, chosen: Bool[Tensor, " term"]) -> Float[Tensor, " class"]:
        return (self.coefficients.square() * chosen[:, None]).sum(0)


def count_up(k: int) -> Bool[Tensor, "mask k"]:
    """Every mask of k components, as binary numbers from 0 on with the first component as the lowest digit.

    >>> count_up(2).long().tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    return (torch.arange(2**k)[:, None] >> torch.arange(k)) & 1 > 0


def transform(values: Float[Tensor, "mask class"]) -> Float[Tensor, "term class"]:
    """Walsh coefficients of a function's values on `count_up`'s masks; term r is the set of the digits of r.

    >>> transform(torch.tensor([[0.0], [0.0], [0.0], [1.0]])).T.tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    # Digit by digit: the mean of the halves where it is on and off, and half their difference.
    step, terms = 1, values
    while step < len(values):
        off, on = terms.view(-1, 2, step, terms.shape[1]).unbind(1)
        terms = torch.stack([(on + off) / 2, (on - off) / 2], 1).view_as(values)
        step *= 2
    return terms


def add_up(d: int, functions: Sequence[tuple[Sequence[int], Float[Tensor, "_mask class"]]]) -> Walsh:
    """The sum of functions, each given by its columns among d and its values on `count_up`'s masks of these columns."""
    terms = torch.cat([transform(values) for _, values in functions])
    subsets = torch.zeros(len(terms), d, dtype=torch.bool)
    start = 0
    for columns, values in functions:
        subsets[start : start + len(values), list(columns)] = count_up(len(columns))
        start += len(values)
    # Functions may share columns, and with them terms: a term's coefficients are added up before anything is squared.
    packed = np.packbits(np.pad(subsets.numpy(), ((0, 0), (0, 1))), axis=1)
    _, first, places = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return Walsh(send(subsets[torch.from_numpy(first)], terms.device), _sum_alike(terms, places.ravel(), len(first)))


def _sum_alike(
    terms: Float[Tensor, "row class"], places: Int[np.ndarray, " row"], count: int
) -> Float[Tensor, "term class"]:
    """Rows of the same place added up, in their order: all that are the first of their place, then all second ones, and so
    on. An `index_add_` adds in whatever order a GPU comes to them, and gives other last bits every time.
    """
    order = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[order], np.arange(count))
    ranks = np.empty(len(places), dtype=int)
    ranks[order] = np.arange(len(places)) - starts[places[order]]
    summed = terms.new_zeros(count, terms.shape[1])
    for rank in range(int(ranks.max(initial=-1)) + 1):
        rows = np.flatnonzero(ranks == rank)
        here, there = (send(torch.from_numpy(numbers), terms.device) for numbers in (rows, places[rows]))
        summed.index_copy_(0, there, summed.index_select(0, there) + terms.index_select(0, here))
    return summed
