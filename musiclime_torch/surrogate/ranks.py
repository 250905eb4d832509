"""Ranks, and how two orders agree."""

import torch
from jaxtyping import Float
from torch import Tensor


def rank(values: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Ranks from 1 up; ties get the mean of their ranks.

    >>> rank(torch.tensor([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, places, counts = values.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2).double()[places]


def rank_correlation(first: Float[Tensor, " d"], second: Float[Tensor, " d"]) -> float:
    """Spearman's rank correlation; 0 where there is nothing to rank.

    >>> rank_correlation(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([3.0, 4.0, 5.0]))
    1.0
    """
    ranks = torch.stack([rank(values) for values in (first, second)])
    if len(first) < 2 or not bool((ranks.std(1) > 0).all()):
        return 0.0
    return round(float(torch.corrcoef(ranks)[0, 1]), 12)
