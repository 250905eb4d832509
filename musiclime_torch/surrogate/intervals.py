"""From standard errors to statements: intervals, discoveries among many, how two rankings agree, and when to stop drawing.

Drawing stops when the order of the largest components is settled, or every interval is narrow enough. Looking repeatedly
finds something by chance: each of the planned looks gets an equal share of the allowed error rate (Bonferroni), and the
intervals of a run that might have stopped early are wider for it.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.arguments import Until

#: What quantiles may be off by, relatively.
SLACK = 1e-6

#: The smallest chance whose quantile is asked for.
RAREST = 1e-30

#: Items tested at a time: few enough to stay in a processor's cache from one comparison to the next.
ITEMS = 2**18


def quantile(degrees_of_freedom: Float[Tensor, "*shape"], confidence: float) -> Float[Tensor, "*shape"]:
    """Student's two-sided quantile; infinite without degrees of freedom.

    >>> quantile(torch.tensor([4.0, 1000.0]), 0.95).tolist()
    [2.77..., 1.96...]
    """
    from scipy.special import stdtrit

    freedom = degrees_of_freedom.double().cpu()
    # A quantile takes microseconds, and degrees of freedom are often the same for all: once for each that there is.
    distinct, places = freedom.clamp(1, 1e9).unique(return_inverse=True)
    quantiles = torch.as_tensor(stdtrit(distinct.numpy(), 0.5 + confidence / 2))[places]
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
    if not size:
        return torch.zeros(shape, dtype=torch.bool)
    given = (part.cpu().expand(shape).reshape(-1, size) for part in (values, standard_errors, degrees_of_freedom))
    chunks = zip(*(part.split(max(ITEMS // size, 1)) for part in given), strict=True)
    return torch.cat([_discover_rows(some, errors, freedom, rate) for some, errors, freedom in chunks]).view(shape)


def _discover_rows(
    values: Float[Tensor, "row item"], errors: Float[Tensor, "row item"], freedom: Float[Tensor, "row item"], rate: float
) -> Bool[Tensor, "row item"]:
    """Benjamini and Hochberg's largest k with k chances of at most rate · k / size, without sorting: from k = size on, k
    becomes the number of items that pass at k until that is k itself.
    """
    from scipy.special import ndtri

    ratio = values.abs().div_(errors.clamp_min(1e-300)).nan_to_num_(0.0)
    fewest, most = (bound.double() for bound in freedom.aminmax(dim=1, keepdim=True))
    if bool((fewest < 1).any()):
        ratio = torch.where(freedom < 1, 0.0, ratio)
    fewest, most = fewest.clamp(1, 1e9), most.clamp(1, 1e9)
    size = ratio.shape[1]
    count = torch.full((len(ratio), 1), size)
    while True:  # without a test at first: no fewer pass a normal distribution's quantile than pass
        least = torch.from_numpy(-ndtri((rate * count.double() / size / 2).numpy())) * (1 - SLACK)
        now = _count(ratio >= least)
        if bool((now >= 0.8 * count).all()):
            break
        count = now
    ends = fewest, most
    if len(ratio) > 1:
        return _settle(ratio, freedom, ends, rate / size, count, torch.zeros_like(count))
    # Of a long row most items are beyond doubt: where at half the number as many pass for sure, so do they at the number
    # that is sought. Only those between the two are looked at from then on.
    beyond = ratio >= _bound_ratio(rate / size * (count // 2), fewest, torch.full_like(most, torch.inf)) * (1 + SLACK)
    if bool((sure := _count(beyond)) < count // 2):
        return _settle(ratio, freedom, ends, rate / size, count, torch.zeros_like(count))
    between = ((ratio >= least) ^ beyond)[0].nonzero()[:, 0]
    beyond[:, between] = _settle(ratio[:, between], freedom[:, between], ends, rate / size, count, sure)
    return beyond


def _settle(
    ratio: Float[Tensor, "row item"],
    freedom: Float[Tensor, "row item"],
    ends: tuple[Float[Tensor, "row 1"], Float[Tensor, "row 1"]],
    step: float,
    count: Int[Tensor, "row 1"],
    sure: Int[Tensor, "row 1"],
) -> Bool[Tensor, "row item"]:
    """Which items pass at the largest k up to `count` at which k do, counting `sure` ones that aren't among them; an item
    passes at chances of at most `step` · k.
    """
    from scipy.special import ndtri

    fewest, most = ends
    chances = None
    while True:
        # Tests are slow and hardly any is needed: a row's fewest degrees of freedom have the longest tails and its most the
        # shortest, so that items beyond both quantiles pass for sure, and those below both fail.
        bound = step * count
        normal = torch.from_numpy(-ndtri((bound.double() / 2).numpy()))
        surely = ratio >= _bound_ratio(bound, fewest, torch.full_like(most, torch.inf)) * (1 + SLACK)
        passed = ratio >= _bound_ratio(bound, most, normal) * (1 - SLACK)
        if not torch.equal(_count(surely), _count(passed)):
            perhaps = passed & ~surely
            chances = torch.full_like(ratio, torch.nan, dtype=torch.float64) if chances is None else chances
            untested = perhaps & chances.isnan()
            chances[untested] = _test(ratio[untested].double(), freedom[untested])
            passed = surely | (perhaps & (chances <= bound))
        if torch.equal(now := sure + _count(passed), count):
            return passed
        count = now


def _count(passed: Bool[Tensor, "row item"]) -> Int[Tensor, "row 1"]:
    """How many of each row; as bytes they are added three times as fast."""
    return passed.view(torch.int8).sum(1, keepdim=True, dtype=torch.int32).long()


def _bound_ratio(
    bound: Float[Tensor, "row 1"], freedom: Float[Tensor, "row 1"], otherwise: Float[Tensor, "row 1"]
) -> Float[Tensor, "row 1"]:
    """The ratio whose chance is `bound`; `otherwise` for chances too small for SciPy, which doesn't return for zero."""
    from scipy.special import stdtrit

    half = (bound.double() / 2).numpy()
    return torch.from_numpy(-stdtrit(freedom.numpy(), half.clip(RAREST))).where(bound > 2 * RAREST, otherwise)


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


def is_settled(
    until: Until,
    values: Float[Tensor, " d"],
    contributions: Float[Tensor, "unit d"],
    degrees_of_freedom: Float[Tensor, " d"],
    confidence: float,
) -> bool:
    """Whether what was asked for holds at this look. contributionsᵀ contributions is the covariance of the values."""
    if until.kind in ("width", "share"):
        half = quantile(degrees_of_freedom, confidence).to(contributions) * contributions.square().sum(0).sqrt()
        most = until.width if until.kind == "width" else until.width * values.abs().max()
        return bool((half <= most).all())
    return is_ordered(until.count, values, contributions, degrees_of_freedom, confidence)


def is_ordered(
    count: int,
    values: Float[Tensor, " d"],
    contributions: Float[Tensor, "unit d"],
    degrees_of_freedom: Float[Tensor, " d"],
    confidence: float,
) -> bool:
    """Whether each of the `count` largest, whatever their signs, is significantly larger than all that rank below it.

    Ranks are checked one after the other (Hung & Fithian 2019), each with an equal share of the allowed error rate. The
    true value of a lower component may have either sign, so the intervals of both differences must exclude zero.
    """
    sizes = values.abs()
    order = sizes.argsort(descending=True, stable=True)
    count = min(count, len(order))
    # Errors of the absolute values: those of negative components change their sign.
    signed = contributions * torch.where(values < 0, -1.0, 1.0).to(contributions)
    limit = float(quantile(degrees_of_freedom.min(), 1 - (1 - confidence) / count))
    for rank in range(count):
        own, below = order[rank], order[rank + 1 :]
        if len(below) == 0:
            break
        for sign in (1.0, -1.0):
            error = (signed[:, own, None] - sign * signed[:, below]).square().sum(0).sqrt()
            if not bool((sizes[own] - sign * sizes[below] > limit * error).all()):
                return False
    return True


def plan_looks(first: int, last: int) -> list[int]:
    """Sizes at which to look, doubling from the first to the last, both included.

    >>> plan_looks(2, 11)
    [2, 4, 8, 11]
    """
    looks = [first]
    while looks[-1] < last:
        looks.append(min(2 * looks[-1], last))
    return looks


def describe_stop(until: Until | None, settled: bool, looks: int, confidence: float) -> str:
    """Why sampling ended, in words; empty without a stopping rule."""
    if until is None:
        return ""
    width = f"{until.width:g}" if until.kind == "width" else f"{100 * until.width:g}% of the largest attribution"
    goal = f"the order of the top {until.count}" if until.kind == "top" else f"half widths of at most {width}"
    if settled:
        return f"{goal} settled at {100 * confidence:g}% after {looks} look{'s' * (looks > 1)}"
    return f"the budget was spent before {goal} could be settled at {100 * confidence:g}%"
