"""Errors of a crossed design, clustered two ways: by the sampling units of the audio and by those of the lyrics."""

from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.fit import Known, correct_errors
from musiclime_torch.surrogate.mixed import is_mixed, reduce_mixed
from musiclime_torch.surrogate.sectors import is_signed, reduce_grid, split_squares
from musiclime_torch.surrogate.sides import Cluster, Side, Variances, combine_freedom, lay_side, split_classes, turn


@dataclass(frozen=True)
class Projections:
    """A grid of values taken to coefficients: the lyrics' under each audio mask, the audio's under each lyric mask, and the
    table of both. Rows and columns are turned.
    """

    by_audio: Float[Tensor, "class na lyric"]
    by_lyrics: Float[Tensor, "class audio nt"]
    table: Float[Tensor, "class audio lyric"]


@dataclass(frozen=True)
class _Residuals:
    """What the table leaves of the two projections: the lyrics' coefficients under each audio mask, and the reverse."""

    by_audio: Float[Tensor, "class na lyric"]
    by_lyrics: Float[Tensor, "class audio nt"]


def project(audio: Side, lyrics: Side, turned: Float[Tensor, "class na nt"]) -> Projections:
    """A turned grid as coefficients of either side, and of both."""
    by_audio = turned @ lyrics.influence.T
    return Projections(by_audio, audio.influence @ turned, audio.influence @ by_audio)


def estimate_errors(
    design: CrossedDesign, audio: Side, lyrics: Side, turned: Float[Tensor, "class na nt"], projected: Projections
) -> Known:
    """The table with its standard errors and degrees of freedom."""
    residuals = _subtract(audio, lyrics, projected)
    cells = turned - audio.basis @ projected.by_lyrics - residuals.by_audio @ lyrics.basis.T
    by_side = [
        _correct(design.audio, audio, residuals.by_audio[:, :, 0]),
        _correct(design.lyrics, lyrics, residuals.by_lyrics[:, 0]),
    ]
    variances = _cluster_two_ways(audio, lyrics, residuals, cells, by_side[0][0][:, :, None], by_side[1][0][:, None, :])
    total = variances.total
    freedom = [side.freedom - spent for side, (_, spent) in zip((audio, lyrics), by_side, strict=True)]
    return Known(projected.table, total.sqrt(), combine_freedom(variances, total, *freedom))


def trace_crossed_errors(design: CrossedDesign, values: Float[Tensor, "na nt"]) -> Float[Tensor, "unit d"]:
    """What each sampling unit of either side contributes to the error of each main effect of one class.

    contributionsᵀ contributions is their covariance, a little too large: what single cells put into both sides is counted
    twice.
    """
    audio, lyrics = lay_side(design.audio), lay_side(design.lyrics)
    turned = turn(turn(values.double()[None], design.audio, 1), design.lyrics, 2)
    residuals = _subtract(audio, lyrics, project(audio, lyrics, turned))
    from_audio = _trace_side(design.audio, audio, residuals.by_audio[0])
    from_lyrics = _trace_side(design.lyrics, lyrics, residuals.by_lyrics[0].T)
    return torch.cat([torch.cat(from_audio, 1), torch.cat(from_lyrics[::-1], 1)])


def split_errors(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Float[Tensor, "2"]:
    """What masking the audio and masking the lyrics add to the squared errors of all main effects.

    Classes count by the variance of their outputs, so that none rules by its scale alone.
    """
    if is_mixed(design):
        reduced = (reduce_grid if is_signed(design) else reduce_mixed)(design, values, ())
        return split_squares(design, reduced, values.shape[1] * values.shape[2])
    audio, lyrics = lay_side(design.audio), lay_side(design.lyrics)
    sums = values.new_zeros(2, dtype=torch.float64)
    for rows in split_classes(values):
        turned = turn(turn(values[rows].double(), design.audio, 1), design.lyrics, 2)
        residuals = _subtract(audio, lyrics, project(audio, lyrics, turned))
        from_audio, from_lyrics = _cluster(audio, residuals.by_audio), _cluster(lyrics, residuals.by_lyrics.mT).mT
        scale = values[rows].double().var((1, 2)).clamp_min(torch.finfo(torch.float32).tiny)
        for side, variances in enumerate((from_audio, from_lyrics)):
            sums[side] += ((variances[:, 1:, 0].sum(1) + variances[:, 0, 1:].sum(1)) / scale).sum()
    return sums


def _subtract(audio: Side, lyrics: Side, projected: Projections) -> _Residuals:
    return _Residuals(
        by_audio=projected.by_audio - audio.basis @ projected.table,
        by_lyrics=projected.by_lyrics - projected.table @ lyrics.basis.T,
    )


# Two-way clustering (Cameron, Gelbach & Miller 2011, section 2.2). The cells of a grid are not independent: all that share
# an audio mask share its chance, and all that share a lyric mask share that one's. The variance of Θ = P_a Y P_tᵀ is
#     V = V_audio + V_lyrics − V_both,
# each term clustered by itself: V_audio by the audio's sampling units g, V_lyrics by the lyrics' units h, and V_both by the
# pairs (g, h), which the other two have both counted. With residuals E = Y − B_a Θ B_tᵀ the first is
#     V_audio[i, j] = Σ_g (Σ_{a in g} P_a[i, a] · R[a, j])²,    R = E P_tᵀ = Y P_tᵀ − B_a Θ,
# for P_t B_t = 1: the sum over lyric masks is taken before anything is squared, and `_Residuals.by_audio` is R. V_lyrics is
# the same with the sides swapped.
#
# Where Y = A(a) + T(t) + I(a, t), V_audio holds what A and I leave over, V_lyrics what T and I do: V_both must hold I alone.
# So it is taken from the doubly centred cells C = (1 − B_a P_a) Y (1 − B_t P_t)ᵀ = Y − B_a (P_a Y) − R B_tᵀ, not from E:
#     V_both[i, j] = Σ_{g, h} (Σ_{a in g, t in h} P_a[i, a] C[a, t] P_t[j, t])².
# A difference of estimates may come out too small, even negative; it is never let below the larger of V_audio and V_lyrics.
#
# Degrees of freedom of the sum are Satterthwaite's (1946): V² / (V_audio² / ν_audio + V_lyrics² / ν_lyrics), at least the
# smaller of the two.


def _cluster_two_ways(
    audio: Side,
    lyrics: Side,
    residuals: _Residuals,
    cells: Float[Tensor, "class na nt"],
    correct_audio: Float[Tensor, "class audio 1"],
    correct_lyrics: Float[Tensor, "class 1 lyric"],
) -> Variances:
    from_audio = _cluster(audio, residuals.by_audio) * correct_audio
    from_lyrics = _cluster(lyrics, residuals.by_lyrics.mT).mT * correct_lyrics
    counted_twice = _cluster_cells(audio, lyrics, cells) * correct_audio * correct_lyrics
    return Variances(from_audio, from_lyrics, counted_twice)


def _correct(
    design: Design, side: Side, means: Float[Tensor, "class row"]
) -> tuple[Float[Tensor, "class term"], Float[Tensor, " term"]]:
    """What a side's structure says of its slopes' errors: factors on variances, and degrees of freedom spent."""
    factors, spent = means.new_ones(means.shape[0], side.influence.shape[0]), torch.zeros_like(side.freedom)
    if design.cycle or len(design.local):
        # Turned rows: the odd halves of the pairs are every second one, √2 times halves of differences.
        signs, odd = 2 * side.basis[1::2, 1:] * 0.5**0.5, means[:, 1::2].T
        correction = correct_errors(design, signs, odd)
        factors[:, 1:], spent[1:] = correction.factor[:, None], correction.spent
    return factors, spent


def _cluster(side: Side, residuals: Float[Tensor, "class row column"]) -> Float[Tensor, "class term column"]:
    """Σ over sampling units of (Σ over their rows of influence × residual)², with the square multiplied out."""
    total = residuals.new_zeros(residuals.shape[0], side.influence.shape[0], residuals.shape[2])
    for number, cluster in enumerate(side.clusters):
        influence, own = _members(side.influence, 1, cluster), _members(residuals, 1, cluster)
        for m, k in _member_pairs(cluster):
            products = own[:, :, m] * own[:, :, k]
            total += side.slack[:, number, None] * ((influence[:, :, m] * influence[:, :, k]) @ products)
    return total


def _cluster_cells(audio: Side, lyrics: Side, cells: Float[Tensor, "class na nt"]) -> Float[Tensor, "class audio lyric"]:
    """The same over pairs of units, one of each side: what the two clusterings both count.

    It is the einsum "ium,iuk,cumvp,cukvq,jvp,jvq->cij" over units u, v and their members, written as matrix products for
    one choice of members at a time: all at once would take up to sixteen grids of memory.
    """
    total = cells.new_zeros(cells.shape[0], audio.influence.shape[0], lyrics.influence.shape[0])
    for (a, rows), (t, columns) in product(enumerate(audio.clusters), enumerate(lyrics.clusters)):
        slack = audio.slack[:, a, None] * lyrics.slack[:, t]
        by_audio, by_lyrics = _members(audio.influence, 1, rows), _members(lyrics.influence, 1, columns)
        units = _members(_members(cells, 2, columns), 1, rows)
        for (m, k), (p, q) in product(_member_pairs(rows), _member_pairs(columns)):
            products = units[:, :, m, :, p] * units[:, :, k, :, q]
            summed = (by_audio[:, :, m] * by_audio[:, :, k]) @ products
            total += slack * (summed @ (by_lyrics[:, :, p] * by_lyrics[:, :, q]).T)
    return total


def _members(values: Tensor, dim: int, cluster: Cluster) -> Tensor:
    """The rows of a cluster along `dim`, as (unit, member)."""
    return values.narrow(dim, cluster.first, cluster.count).unflatten(dim, (-1, cluster.size))


def _member_pairs(cluster: Cluster) -> list[tuple[int, int]]:
    return [(m, k) for m in range(cluster.size) for k in range(cluster.size)]


def _trace_side(
    design: Design, side: Side, residuals: Float[Tensor, "row term"]
) -> tuple[Float[Tensor, "unit own"], Float[Tensor, "unit other"]]:
    """Contributions of one side's units to its own slopes and, through the mean, to the other side's."""
    by_cluster = [column.expand(cluster.count, -1) for column, cluster in zip(side.slack.T, side.clusters, strict=True)]
    slack = torch.cat(by_cluster).sqrt()
    spared = _correct(design, side, residuals[None, :, 0])[0].sqrt()
    own = residuals[:, :1] * side.influence[1:].T * slack[:, 1:] * spared[:, 1:]
    other = residuals[:, 1:] * side.influence[:1].T * slack[:, :1]
    return _sum_pairs(design, own), _sum_pairs(design, other)


def _sum_pairs(design: Design, rows: Float[Tensor, "row column"]) -> Float[Tensor, "unit column"]:
    return torch.cat([rows[: design.folded].unflatten(0, (-1, 2)).sum(1), rows[design.folded :]])
