"""From standard errors to statements: intervals, discoveries among many, and how two rankings agree."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


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
    from scipy.special import stdtr

    size = values.shape[-1]
    if not size:
        return torch.zeros(values.shape, dtype=torch.bool)
    freedom = degrees_of_freedom.double().cpu()
    ratio = (values.abs() / standard_errors.clamp_min(1e-300)).nan_to_num(0.0).double().cpu()
    chance = 2 * torch.as_tensor(stdtr(freedom.clamp(1, 1e9).numpy(), -ratio.numpy()))
    chance = torch.where(freedom < 1, 1.0, chance)
    ordered, order = chance.sort(dim=-1)
    passed = ordered <= rate * torch.arange(1, size + 1) / size
    # Every item up to the last one that passes counts, also those before it that don't: a running maximum from the right.
    kept = passed.flip(-1).cummax(-1).values.flip(-1)
    return torch.zeros_like(kept).scatter(-1, order, kept)


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
