"""The algebra of one side of a crossed design: its masks as a basis, and the matrix that takes values to coefficients."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.fit import enlarge

#: Numbers of a grid that are widened to float64 at a time: they stay in the cache of a CPU, and fill a GPU.
CELLS = 2**21


@dataclass(frozen=True)
class Cluster:
    """`count` rows from `first` on, which are sampling units of `size` rows each."""

    first: int
    count: int
    size: int


@dataclass(frozen=True)
class Side:
    """One side's algebra: `basis` holds a constant and the centred masks, `influence` @ values their coefficients.

    Rows of pairs are turned into their even and odd halves. `clusters` are the rows that make up sampling units; with equal
    weights the halves of a pair have nothing in common and are units by themselves. `slack` enlarges squares for the freedom
    that the fit has used up, `freedom` is what is left.
    """

    basis: Float[Tensor, "row term"]
    influence: Float[Tensor, "term row"]
    clusters: tuple[Cluster, ...]
    slack: Float[Tensor, "term cluster"]
    freedom: Float[Tensor, " term"]
    gram: Float[Tensor, "d d"]
    mask_mean: Float[Tensor, " d"]
    pivots: Float[Tensor, " d"]


def lay_side(design: Design) -> Side:
    """One side's masks, coded z − ½ and centred by their weighted mean, and the inverse of their Gram matrix at work."""
    weights = design.weights.double() / design.weights.double().sum()
    coded = design.masks.double() - 0.5
    mean = coded.new_zeros(coded.shape[1]) if design.orthogonal else weights @ coded
    centred = coded - mean
    gram, slopes, pivots = _share_evenly(centred) if design.orthogonal else _invert(centred, weights)
    # Centred masks are orthogonal to the constant, so its coefficient is the weighted mean whatever the masks are.
    basis = torch.cat([torch.ones_like(weights)[:, None], centred], 1)
    influence = torch.cat([weights[None], slopes])
    pairs = Cluster(0, design.folded, size=1 if design.uniform else 2)
    alone = Cluster(design.folded, design.n_samples - design.folded, size=1)
    return Side(
        basis=turn(basis[None], design, 1)[0],
        influence=turn(influence[None], design, 2)[0],
        clusters=tuple(cluster for cluster in (pairs, alone) if cluster.count),
        slack=give_slack(design, gram),
        freedom=count_side_freedom(design, gram),
        gram=gram,
        mask_mean=mean,
        pivots=pivots,
    )


def _share_evenly(coded: Float[Tensor, "row d"]) -> tuple[Tensor, Tensor, Tensor]:
    """The Gram matrix of orthogonal masks, which is ¼ of the identity, the slopes' influence and the pivots."""
    n, d = coded.shape
    return torch.eye(d, dtype=coded.dtype, device=coded.device) / 4, coded.T * (4 / n), coded.new_ones(d)


def _invert(centred: Float[Tensor, "row d"], weights: Float[Tensor, " row"]) -> tuple[Tensor, Tensor, Tensor]:
    """The same of any masks, by a Cholesky factor."""
    weighted = weights[:, None] * centred
    gram = centred.T @ weighted
    scale = gram.diagonal().clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
    factor, _ = torch.linalg.cholesky_ex(gram * scale * scale[:, None])
    slopes = scale[:, None] * torch.cholesky_solve(scale[:, None] * weighted.T, factor)
    return gram, slopes, factor.diagonal().square()


# Why pairs are turned. A pair's masks are x and −x. With equal weights the constant's row of `influence` has the same number
# for both, and the rows of the slopes have opposite numbers. Turned by 45 degrees, the constant is zero on the odd half
# (first − second) / √2 and the slopes are zero on the even half (first + second) / √2. So a pair's share of a coefficient,
# (Σ over its two rows of influence × residual)², is one product instead of four: each half is a sampling unit by itself.
# With unequal weights both halves carry both, and the pair stays one unit of two rows.


def turn(values: Float[Tensor, "one two three"], design: Design, dim: int) -> Float[Tensor, "one two three"]:
    """Pairs along `dim` become (first + second) / √2 and (first − second) / √2: lengths and products stay as they are.

    Turning twice changes nothing.
    """
    pairs = values.narrow(dim, 0, design.folded).unflatten(dim, (-1, 2))
    first, second = pairs.select(dim + 1, 0), pairs.select(dim + 1, 1)
    halves = torch.stack([first + second, first - second], dim + 1).flatten(dim, dim + 1) * 0.5**0.5
    return torch.cat([halves, values.narrow(dim, design.folded, design.n_samples - design.folded)], dim)


def split_classes(values: Float[Tensor, "class na nt"]) -> Iterator[slice]:
    """Classes that are worked on together, so that temporary tensors have no more than `CELLS` numbers each."""
    step = max(CELLS // (values.shape[1] * values.shape[2]), 1)
    return (slice(start, start + step) for start in range(0, values.shape[0], step))


def give_slack(design: Design, like: Tensor) -> Float[Tensor, "term cluster"]:
    """1 / (1 − average leverage) for each kind of unit: a pair's mean is fitted by the constant alone, its half difference
    by the slopes alone, and a row that stands alone by both.
    """
    d, n = design.masks.shape[1], design.n_samples
    pairs = [n / max(n - 2, 0.5), *[enlarge(design, folded=True)] * d]
    alone = [enlarge(design, folded=False)] * (1 + d)
    columns = ([pairs] if design.folded else []) + ([alone] if design.folded < n else [])
    return torch.stack([_send(column, like) for column in columns], 1)


def count_side_freedom(design: Design, like: Tensor) -> Float[Tensor, " term"]:
    """A pair's mean carries no main effect, so the mean and the slopes of a fold-over don't compete for it."""
    d, alone = design.masks.shape[1], design.folded < design.n_samples
    return _send([max(design.units - 1 - d * alone, 0), *[max(design.units - d - alone, 0)] * d], like)


def _send(numbers: list[float], like: Tensor) -> Tensor:
    """Numbers on the device of a tensor, made there: a copy from the host would wait for what is queued."""
    first, other = numbers[0], numbers[-1]
    return torch.cat([like.new_full((1,), first), like.new_full((len(numbers) - 1,), other)])


@dataclass(frozen=True)
class Variances:
    """Squared errors of a table from sampling audio masks and from sampling lyric masks, and what both of them count.

    They are clustered two ways and added up: Cameron, Gelbach & Miller (2011), section 2.2.
    """

    audio: Float[Tensor, "class audio lyric"]
    lyrics: Float[Tensor, "class audio lyric"]
    twice: Float[Tensor, "class audio lyric"]

    @property
    def total(self) -> Float[Tensor, "class audio lyric"]:
        """Their sum less the overlap. A difference of estimates may come out too small: it is never below the larger one."""
        return torch.maximum(self.audio + self.lyrics - self.twice, torch.maximum(self.audio, self.lyrics))


def combine_freedom(
    variances: Variances,
    total: Float[Tensor, "class audio lyric"],
    audio: Float[Tensor, " audio"],
    lyrics: Float[Tensor, " lyric"],
) -> Float[Tensor, "class audio lyric"]:
    """Satterthwaite's (1946) degrees of freedom of the sum, at least the smaller of both sides'."""
    spent = variances.audio.square() / audio[:, None] + variances.lyrics.square() / lyrics
    least = torch.minimum(audio[:, None], lyrics)
    return torch.where(spent > 0, total.square() / spent, least).clamp_min(least)
