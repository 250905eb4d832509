"""The surrogate of a crossed design: main effects of both sides and all their interactions, in closed form.

Values are a grid, one for every pair of an audio mask and a lyric mask. With weights that are one vector a side the least
squares of an intercept, the main effects and all audio × lyrics products fall apart into four blocks, solved by one small
matrix a side. Grids are worked on a few classes at a time, in float64, on their own device; nothing waits for the host.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.solver import enlarge
from musiclime_torch.surrogate.third_order import share_third_order, spare

#: Numbers of a grid that are widened to float64 at a time: they stay in the cache of a CPU, and fill a GPU.
CELLS = 2**21


@dataclass(frozen=True)
class CrossedFit:
    """A table a class, with one more row than sound columns and one more column than lyric columns: row 0 holds the lyrics'
    main effects, column 0 the sound's, [0, 0] the mean, and the rest the interactions.

    `total` is the outputs' variance over the grid. `pivots` are those of the sound's columns, then the lyrics'.
    """

    coefficients: Float[Tensor, "class ear eye"]
    standard_errors: Float[Tensor, "class ear eye"]
    degrees_of_freedom: Float[Tensor, "class ear eye"]
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    total: Float[Tensor, " class"]
    pivots: Float[Tensor, " d"]


@dataclass(frozen=True)
class Side:
    """One side's algebra: `basis` holds a constant and the centred masks, `influence` @ values their coefficients.

    Rows of pairs are turned into their even and odd halves. `clusters` are the rows that make up sampling units, with the
    number of rows in each; with equal weights the halves of a pair have nothing in common and are units by themselves.
    `slack` enlarges squares for the freedom that the fit has used up, `freedom` is what is left.
    """

    basis: Float[Tensor, "row term"]
    influence: Float[Tensor, "term row"]
    clusters: tuple[tuple[slice, int], ...]
    slack: Float[Tensor, "term cluster"]
    freedom: Float[Tensor, " term"]
    gram: Float[Tensor, "d d"]
    mask_mean: Float[Tensor, " d"]
    pivots: Float[Tensor, " d"]


def solve_crossed(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> CrossedFit:
    """Fit every class. Errors are clustered two ways (Cameron, Gelbach & Miller 2011): by the sound's sampling units, by
    the lyrics', less what single cells put into both.
    """
    audio, lyrics = lay_side(design.audio), lay_side(design.lyrics)
    # What is kept has its place before anything is worked out: laid between the large passing tensors of every few classes,
    # it would keep a heap from closing up (head.py peaked at 11 GiB; 3 so).
    terms = (len(values), len(audio.influence), len(lyrics.influence))
    table, errors, freedom = (values.new_empty(terms, dtype=torch.float64) for _ in range(3))
    total, missed = (values.new_empty(len(values), dtype=torch.float64) for _ in range(2))
    for rows in split_classes(values):
        found = _solve_classes(design, audio, lyrics, values[rows])
        table[rows], errors[rows], freedom[rows], total[rows], missed[rows] = found
    off = table[:, 1:, 0] @ (audio.mask_mean + 0.5) + table[:, 0, 1:] @ (lyrics.mask_mean + 0.5)
    return CrossedFit(
        coefficients=table,
        standard_errors=errors,
        degrees_of_freedom=freedom,
        intercept=table[:, 0, 0] - off,
        fidelity=torch.where(total > 0, 1 - missed / total, torch.ones_like(total)),
        total=total,
        pivots=torch.cat([audio.pivots, lyrics.pivots]),
    )


def score_crossed(design: CrossedDesign, values: Float[Tensor, "na nt"]) -> Float[Tensor, "unit d"]:
    """What each sampling unit of either side adds to the error of each main effect of one class.

    scoresᵀ scores is their covariance, a little too large: what single cells put into both sides is counted twice.
    """
    audio, lyrics = lay_side(design.audio), lay_side(design.lyrics)
    turned = turn(turn(values.double()[None], design.audio, 1), design.lyrics, 2)
    by_audio, by_lyrics, table = _project(audio, lyrics, turned)
    ears = (by_audio - audio.basis @ table)[0]
    eyes = (by_lyrics - table @ lyrics.basis.T)[0].T
    return torch.cat(
        [
            _score_side(design.audio, audio, ears, own_first=True),
            _score_side(design.lyrics, lyrics, eyes, own_first=False),
        ]
    )


def split_errors(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Float[Tensor, "2"]:
    """What masking the sound and masking the lyrics add to the squared errors of all main effects.

    Classes count by the variance of their outputs, so that none rules by its scale alone.
    """
    audio, lyrics = lay_side(design.audio), lay_side(design.lyrics)
    sums = values.new_zeros(2, dtype=torch.float64)
    for rows in split_classes(values):
        turned = turn(turn(values[rows].double(), design.audio, 1), design.lyrics, 2)
        by_audio, by_lyrics, table = _project(audio, lyrics, turned)
        heard = _cluster(audio, by_audio - audio.basis @ table)
        read = _cluster(lyrics, (by_lyrics - table @ lyrics.basis.T).mT).mT
        scale = values[rows].double().var((1, 2)).clamp_min(torch.finfo(torch.float32).tiny)
        for side, part in enumerate((heard, read)):
            sums[side] += ((part[:, 1:, 0].sum(1) + part[:, 0, 1:].sum(1)) / scale).sum()
    return sums


def lay_side(design: Design) -> Side:
    """One side's masks, coded z − ½ and centred by their weighted mean, and the inverse of their Gram matrix at work."""
    weights = design.weights.double() / design.weights.double().sum()
    coded = design.masks.double() - 0.5
    mean = weights @ coded
    centred = coded - mean
    gram = centred.T @ (weights[:, None] * centred)
    scale = gram.diagonal().clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
    factor, _ = torch.linalg.cholesky_ex(gram * scale * scale[:, None])
    slopes = scale[:, None] * torch.cholesky_solve(scale[:, None] * (weights[:, None] * centred).T, factor)
    basis = torch.cat([torch.ones_like(weights)[:, None], centred], 1)
    influence = torch.cat([weights[None], slopes])
    pair = 1 if design.uniform else 2
    clusters = ((slice(0, design.folded), pair), (slice(design.folded, design.n_samples), 1))
    present = [cluster for cluster in clusters if cluster[0].start < cluster[0].stop]
    return Side(
        basis=turn(basis[None], design, 1)[0],
        influence=turn(influence[None], design, 2)[0],
        clusters=tuple(present),
        slack=_give_slack(design, gram),
        freedom=_count_freedom(design, gram),
        gram=gram,
        mask_mean=mean,
        pivots=factor.diagonal().square(),
    )


def turn(values: Float[Tensor, "one two three"], design: Design, dim: int) -> Float[Tensor, "one two three"]:
    """Pairs along `dim` become (first + second) / √2 and (first − second) / √2: lengths and products stay as they are.

    Turning twice changes nothing.
    """
    pairs = values.narrow(dim, 0, design.folded).unflatten(dim, (-1, 2))
    first, second = pairs.select(dim + 1, 0), pairs.select(dim + 1, 1)
    halves = torch.stack([first + second, first - second], dim + 1).flatten(dim, dim + 1) * 0.5**0.5
    return torch.cat([halves, values.narrow(dim, design.folded, design.n_samples - design.folded)], dim)


def _give_slack(design: Design, like: Tensor) -> Float[Tensor, "term cluster"]:
    d, n = design.masks.shape[1], design.n_samples
    pairs = [n / max(n - 2, 0.5), *[enlarge(design, folded=True)] * d]
    alone = [enlarge(design, folded=False)] * (1 + d)
    columns = ([pairs] if design.folded else []) + ([alone] if design.folded < n else [])
    return torch.stack([_send(column, like) for column in columns], 1)


def _count_freedom(design: Design, like: Tensor) -> Float[Tensor, " term"]:
    """A pair's mean carries no main effect, so the mean and the slopes of a fold-over don't compete for it."""
    d, alone = design.masks.shape[1], design.folded < design.n_samples
    return _send([max(design.units - 1 - d * alone, 0), *[max(design.units - d - alone, 0)] * d], like)


def _send(numbers: list[float], like: Tensor) -> Tensor:
    """Numbers on the device of a tensor, made there: a copy from the host would wait for what is queued."""
    first, other = numbers[0], numbers[-1]
    return torch.cat([like.new_full((1,), first), like.new_full((len(numbers) - 1,), other)])


def split_classes(values: Float[Tensor, "class na nt"]) -> Iterator[slice]:
    """Classes that are worked on together, so that what passes by takes no more than `CELLS` cells a tensor."""
    step = max(CELLS // (values.shape[1] * values.shape[2]), 1)
    return (slice(start, start + step) for start in range(0, values.shape[0], step))


def _project(
    audio: Side, lyrics: Side, turned: Float[Tensor, "class na nt"]
) -> tuple[Float[Tensor, "class na eye"], Float[Tensor, "class ear nt"], Float[Tensor, "class ear eye"]]:
    """The lyrics' coefficients under each audio mask, the sound's under each lyric mask, and the coefficients of both."""
    by_audio = turned @ lyrics.influence.T
    return by_audio, audio.influence @ turned, audio.influence @ by_audio


def _solve_classes(
    design: CrossedDesign, audio: Side, lyrics: Side, values: Float[Tensor, "class na nt"]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    wide = values.double()
    shares = [side.weights.double() / side.weights.double().sum() for side in (design.audio, design.lyrics)]
    mean = ((wide @ shares[1]) @ shares[0])[:, None, None]
    total = ((wide - mean).square() @ shares[1]) @ shares[0]
    turned = turn(turn(wide, design.audio, 1), design.lyrics, 2)
    by_audio, by_lyrics, table = _project(audio, lyrics, turned)
    ears = by_audio - audio.basis @ table
    eyes = by_lyrics - table @ lyrics.basis.T
    cells = turned - audio.basis @ by_lyrics - ears @ lyrics.basis.T
    spare_audio = _spare_third_order(design.audio, audio, ears[:, :, 0])[:, :, None]
    spare_lyrics = _spare_third_order(design.lyrics, lyrics, eyes[:, 0])[:, None, :]
    from_audio = _cluster(audio, ears) * spare_audio
    from_lyrics = _cluster(lyrics, eyes.mT).mT * spare_lyrics
    both = torch.maximum(from_audio, from_lyrics)
    counted_twice = _cluster_cells(audio, lyrics, cells) * spare_audio * spare_lyrics
    variances = torch.maximum(from_audio + from_lyrics - counted_twice, both)
    # Satterthwaite (1946): freedom of a sum, from the freedom of its parts.
    spent = from_audio.square() / audio.freedom[:, None] + from_lyrics.square() / lyrics.freedom
    least = torch.minimum(audio.freedom[:, None], lyrics.freedom)
    freedom = torch.where(spent > 0, variances.square() / spent, least).clamp_min(least)
    main = [
        (table[:, 1:, 0] @ audio.gram * table[:, 1:, 0]).sum(1),
        (table[:, 0, 1:] @ lyrics.gram * table[:, 0, 1:]).sum(1),
    ]
    return table, variances.clamp_min(0).sqrt(), freedom, total, total - main[0] - main[1]


def _spare_third_order(design: Design, side: Side, means: Float[Tensor, "class row"]) -> Float[Tensor, "class term"]:
    """The factor on variances of slopes by which blocks that belong together err less than their pairs show."""
    factors = means.new_ones(means.shape[0], side.influence.shape[0])
    if design.cycle:
        # Turned rows: the odd halves of the pairs are every second one.
        factors[:, 1:] = spare(design.third_order, share_third_order(2 * side.basis[1::2, 1:] * 0.5**0.5, means[:, 1::2].T))[
            :, None
        ]
    return factors


def _cluster(side: Side, residuals: Float[Tensor, "class row column"]) -> Float[Tensor, "class term column"]:
    """Σ over sampling units of (Σ over their rows of influence × residual)²."""
    total = residuals.new_zeros(residuals.shape[0], side.influence.shape[0], residuals.shape[2])
    for number, (rows, size) in enumerate(side.clusters):
        influence, own = side.influence[:, rows], residuals[:, rows]
        for one, two in product(range(size), repeat=2):
            squares = own[:, one::size] * own[:, two::size]
            total += side.slack[:, number, None] * ((influence[:, one::size] * influence[:, two::size]) @ squares)
    return total


def _cluster_cells(audio: Side, lyrics: Side, cells: Float[Tensor, "class na nt"]) -> Float[Tensor, "class ear eye"]:
    """The same over pairs of units, one of each side: what the two clusterings both count."""
    total = cells.new_zeros(cells.shape[0], audio.influence.shape[0], lyrics.influence.shape[0])
    for (a, (rows, tall)), (t, (columns, wide)) in product(enumerate(audio.clusters), enumerate(lyrics.clusters)):
        own, slack = cells[:, rows, columns], audio.slack[:, a, None] * lyrics.slack[:, t]
        ears, eyes = audio.influence[:, rows], lyrics.influence[:, columns]
        for (one, two), (left, right) in product(product(range(tall), repeat=2), product(range(wide), repeat=2)):
            squares = own[:, one::tall, left::wide] * own[:, two::tall, right::wide]
            heard = (ears[:, one::tall] * ears[:, two::tall]) @ squares
            total += slack * (heard @ (eyes[:, left::wide] * eyes[:, right::wide]).T)
    return total


def _score_side(
    design: Design, side: Side, residuals: Float[Tensor, "row term"], own_first: bool
) -> Float[Tensor, "unit d"]:
    """Contributions of one side's units to its own slopes and, through the mean, to the other side's."""
    slack = torch.cat([column.expand(stop - start, -1) for column, start, stop in _spans(side)]).sqrt()
    spared = _spare_third_order(design, side, residuals[None, :, 0]).sqrt()
    own = residuals[:, :1] * side.influence[1:].T * slack[:, 1:] * spared[:, 1:]
    other = residuals[:, 1:] * side.influence[:1].T * slack[:, :1]
    rows = torch.cat([own, other] if own_first else [other, own], 1)
    pairs = rows[: design.folded].unflatten(0, (-1, 2)).sum(1)
    return torch.cat([pairs, rows[design.folded :]])


def _spans(side: Side) -> list[tuple[Tensor, int, int]]:
    return [(side.slack[:, number], rows.start, rows.stop) for number, (rows, _) in enumerate(side.clusters)]
