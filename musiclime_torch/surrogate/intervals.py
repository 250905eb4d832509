"""From standard errors to statements: intervals, discoveries among many, and how two rankings agree."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

#: Bounds are this much wider than they are, for rounding.
SLACK = 1 - 1e-6


def quantile(degrees_of_freedom: Float[Tensor, "*shape"], confidence: float) -> Float[Tensor, "*shape"]:
    """Student's two-sided quantile; infinite without degrees of freedom.

    >>> quantile(torch.tensor([4.0, 1000.0]), 0.95).tolist()
    [2.77..., 1.96...]
    """
    from scipy.special import stdtrit

    freedom = degrees_of_freedom.double().cpu()
    quantiles = torch.as_tensor(stdtrit(freedom.clamp(1, 1e9).numpy(), 0.5 + confidence / 2))
    return torch.where(freedom < 1, float("inf"), quantiles)


def share_risk(confidence: float, looks: int) -> float:
    """What each of several looks may err by so that all together keep the confidence: (1 − confidence) / looks (Bonferroni).

    >>> round(share_risk(0.95, 5), 3)
    0.01
    """
    return (1 - confidence) / looks


def halve_interval(standard_error: float, count: int, confidence: float) -> float:
    """Half the interval of a mean over `count` songs: Student's quantile × its standard error."""
    return 0.0 if standard_error == 0 else standard_error * float(quantile(torch.tensor(count - 1.0), confidence))


def discover(
    values: Float[Tensor, "*batch item"],
    standard_errors: Float[Tensor, "*batch item"],
    degrees_of_freedom: Float[Tensor, "*batch item"],
    rate: float,
) -> Bool[Tensor, "*batch item"]:
    """Which items of a row differ significantly from zero, with at most `rate` false discoveries among them on average.

    Benjamini & Hochberg (1995) on two-sided t tests; a value without error is significant unless it is zero.
    """
    size, shape = values.shape[-1], values.shape
    discovered = torch.zeros(shape, dtype=torch.bool).view(-1, size) if size else torch.zeros(shape, dtype=torch.bool)
    if not size:
        return discovered
    ratio = (values.abs() / standard_errors.clamp_min(1e-300)).nan_to_num(0.0).cpu().reshape(-1, size)
    rows, places = _find_candidates(ratio, rate)
    chances = _test(ratio[rows, places].double(), degrees_of_freedom.cpu().expand(shape).reshape(-1, size)[rows, places])
    # By row, and by chance within it: sorted by chance first, and then by row, which leaves that order as it is.
    order = chances.argsort(stable=True)
    order = order[rows[order].argsort(stable=True)]
    rows, places, chances = rows[order], places[order], chances[order]
    counts = rows.bincount(minlength=len(ratio))
    ranks = torch.arange(1, len(rows) + 1) - (counts.cumsum(0) - counts)[rows]
    # Every item up to the last one that passes counts, also those before it that don't.
    passed = torch.where(chances <= rate * ranks / size, ranks, 0)
    last = torch.zeros(len(ratio), dtype=torch.long).scatter_reduce(0, rows, passed, "amax")
    kept = ranks <= last[rows]
    discovered[rows[kept], places[kept]] = True
    return discovered.view(shape)


def _find_candidates(ratio: Float[Tensor, "row item"], rate: float) -> tuple[Int[Tensor, " some"], Int[Tensor, " some"]]:
    """Rows and places of all items that may pass.

    Of k items that pass in a row none has a chance above rate · k / size, and Student's tails are longer than a normal
    distribution's. So the items beyond the normal quantile at the largest chance are at least as many as pass, and their
    number bounds the chance again.
    """
    from scipy.special import ndtri

    size = ratio.shape[1]
    rows, places = (ratio >= -float(ndtri(min(rate, 1.0) / 2)) * SLACK).nonzero(as_tuple=True)
    while len(rows):
        bound = rate * rows.bincount(minlength=len(ratio)).double() / size
        least = -torch.from_numpy(ndtri(bound.clamp(1e-300, 1).numpy() / 2)) * SLACK
        kept = ratio[rows, places] >= least[rows]
        if int(kept.sum()) > 0.9 * len(rows):
            break
        rows, places = rows[kept], places[kept]
    return rows, places


def _test(ratio: Float[Tensor, " item"], freedom: Float[Tensor, " item"]) -> Float[Tensor, " item"]:
    """Chances of a ratio as large or larger, of either sign; 1 without degrees of freedom."""
    from scipy.special import stdtr

    freedom = freedom.double()
    chances = 2 * torch.as_tensor(stdtr(freedom.clamp(1, 1e9).numpy(), -ratio.numpy()))
    return torch.where(freedom < 1, 1.0, chances)


def bound_share(hits: float, count: int, confidence: float) -> tuple[float, float]:
    """The interval of a share of trials (Wilson 1927), which has a width even at 0 and 1. Hits may be fractional: numbers
    between 0 and 1 vary no more than zeros and ones with the same mean.

    >>> [round(bound, 3) for bound in bound_share(20, 20, 0.95)]
    [0.839, 1.0]
    """
    normal = float(quantile(torch.tensor(1e9), confidence))
    share, extra = hits / count, normal**2 / count
    middle, half = share + extra / 2, normal * (share * (1 - share) / count + extra / (4 * count)) ** 0.5
    return max((middle - half) / (1 + extra), 0.0), min((middle + half) / (1 + extra), 1.0)


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
