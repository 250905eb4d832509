"""How much of a model's output depends on the audio alone, on the lyrics alone, and on both together.

Over random masks a model is mean + A(audio) + T(lyrics) + I(audio, lyrics), and its variance the sum of the three parts'
(two-way random effects; Searle, Casella & McCulloch 1992). Means over finitely many masks of the other side carry noise;
every sum of squares is corrected for it, so that long lyrics don't win by counting. Values are a grid of a crossed design.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.fit import Known, know_exactly
from musiclime_torch.surrogate.halves import Part, cut_grid, list_parts, make_room, pick_kind
from musiclime_torch.surrogate.sectors import is_signed
from musiclime_torch.surrogate.sides import Side, lay_side, split_classes, turn
from musiclime_torch.surrogate.signed import full_precision


@dataclass(frozen=True)
class _Squares:
    """Mean squares of one sector of the grid: of cells, of means by audio unit, by lyric unit, and of the mean of all.

    The last axis holds the mean square, then what every audio unit and every lyric unit adds to it (an influence function,
    mean zero). Linear combinations act on all of them alike.
    """

    cells: Float[Tensor, "class entry"]
    audio: Float[Tensor, "class entry"]
    lyrics: Float[Tensor, "class entry"]
    mean: Float[Tensor, "class entry"]

    def mix(self, cells: float, audio: float, lyrics: float, mean: float) -> Float[Tensor, "class entry"]:
        """A linear combination with these coefficients."""
        weighted = (cells * self.cells, audio * self.audio, lyrics * self.lyrics, mean * self.mean)
        return sum(weighted, torch.zeros_like(self.cells))


@dataclass(frozen=True)
class _Fitted:
    """What slopes explain of a sector, by row of one side: mean squares over the other side, and means."""

    squares: Float[Tensor, "class row"]
    means: Float[Tensor, "class row"]


# How a grid of numbers becomes three variances. With a audio units and t lyric units, m the mean of all cells, A_g and T_h
# the effects and I_gh the interactions (mean zero, independent of each other, variances V_A, V_T and V_I), the expected mean
# squares of a two-way table with one observation a cell are
#     E[cells] = m² + V_A + V_T + V_I,               E[mean of all, squared] = m² + V_A / a + V_T / t + V_I / (a t),
#     E[means by audio unit, squared] = m² + V_A + V_T / t + V_I / t,      and for the lyrics with a and t swapped
# (Searle, Casella & McCulloch 1992, chapter 4; their sums of squares are differences of these four). `unbias` solves for V.
#
# A fold-over splits its grid in sectors. With complement pairs on both sides every output is the sum of four parts, even or
# odd under complementing the audio mask and even or odd under complementing the lyric mask, and the variances add up. An odd
# part has mean zero over masks by symmetry, so that terms drop out of the equations above:
#     audio odd:  T and m are even in the audio, so both are zero;    lyrics odd:  A and m are zero.
# The sectors' solutions are the four cases of `unbias`; a design without pairs has the even-even sector alone.
#
# Errors. Each V is a smooth function of mean squares, and each mean square a mean over units: its influence function, what
# one unit adds to it beyond the average, goes through the same linear algebra (the delta method for a ratio: V_k / V has
# (ψ_k − share_k ψ) / V). The variance of a share is the sum over both sides of its units' squared influences / (n ·
# freedom).


def split_variance(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Known:
    """Shares (class, 3) of the variance over uniform masks that audio, lyrics and both have; they add up to one, and are
    zeros where the outputs don't vary.

    Standard errors are those of the influence functions over sampling units of both sides. Main effects and products of two
    are known better than their units show (in Hadamard blocks their squares have fixed sums), so the fitted part is taken
    out of the influences first.
    """
    shares, errors = (values.new_empty(len(values), 3, dtype=torch.float64) for _ in range(2))
    for rows, parts in _list_signed(design, values) if is_paired(design) else _list_any(design, values):
        shares[rows], errors[rows] = _share(design, parts)
    freedom = min(_count_freedom(design.audio), _count_freedom(design.lyrics))
    return Known(shares, errors, torch.full_like(shares, float(freedom)))


def split_exactly(values: Float[Tensor, "class na nt"]) -> Known:
    """The same shares from a grid of every mask of both sides, where means are means and nothing is left to correct."""
    parts = []
    for grid in values:
        wide = grid.double()
        of_audio, of_lyrics = (wide.mean(side).var(correction=0) for side in (1, 0))
        both = (wide.var(correction=0) - of_audio - of_lyrics).clamp_min(0)
        parts.append(torch.stack([of_audio, of_lyrics, both]))
    shares = torch.stack(parts)
    total = shares.sum(1, keepdim=True)
    return know_exactly(torch.where(total > 0, shares / total, torch.zeros_like(shares)))


def unbias(squares: _Squares, a: int, t: int, odd_audio: bool, odd_lyrics: bool) -> Float[Tensor, "part class entry"]:
    """V_A, V_T and V_I of one sector from its mean squares over a × t units, where either side's half is odd or even."""
    if odd_audio and odd_lyrics:
        # E[cells] = V_I: all other terms are even on one side.
        both = squares.cells
        return torch.stack([torch.zeros_like(both), torch.zeros_like(both), both])
    if odd_audio:
        # E[cells] = V_A + V_I and E[by audio] = V_A + V_I / t.
        both = squares.mix(cells=t / (t - 1), audio=-t / (t - 1), lyrics=0, mean=0)
        return torch.stack([squares.audio - both / t, torch.zeros_like(both), both])
    if odd_lyrics:
        # E[cells] = V_T + V_I and E[by lyrics] = V_T + V_I / a.
        both = squares.mix(cells=a / (a - 1), audio=0, lyrics=-a / (a - 1), mean=0)
        return torch.stack([torch.zeros_like(both), squares.lyrics - both / a, both])
    # E[cells − by audio − by lyrics + mean] = V_I (1 − 1/a)(1 − 1/t), and E[by audio − mean] = (V_A + V_I / t)(1 − 1/a).
    scale = a * t / ((a - 1) * (t - 1))
    both = squares.mix(cells=scale, audio=-scale, lyrics=-scale, mean=scale)
    of_audio = squares.mix(cells=0, audio=a / (a - 1), lyrics=0, mean=-a / (a - 1)) - both / t
    of_lyrics = squares.mix(cells=0, audio=0, lyrics=t / (t - 1), mean=-t / (t - 1)) - both / a
    return torch.stack([of_audio, of_lyrics, both])


def _count_freedom(design: Design) -> int:
    return max(design.units - design.masks.shape[1] - 1, 1)


def is_paired(design: CrossedDesign) -> bool:
    """Whether the grid falls apart into sectors of pairs' halves: both sides orthogonal and all in pairs."""
    return is_signed(design) and all(side.folded for side in (design.audio, design.lyrics))


def _share(
    design: CrossedDesign, parts: Float[Tensor, "part class entry"]
) -> tuple[Float[Tensor, "class 3"], Float[Tensor, "class 3"]]:
    """Each part's share of the sum of all parts, and its standard error."""
    total = parts.sum(0, keepdim=True)
    size = torch.where(total[..., :1] > 0, total[..., :1], torch.ones_like(total[..., :1]))
    shares = parts[..., :1] / size
    influence = (parts[..., 1:] - shares * total[..., 1:]) / size
    variance = torch.zeros_like(shares[..., 0])
    counts = [side.units for side in (design.audio, design.lyrics)]
    for side, own in zip((design.audio, design.lyrics), influence.split(counts, dim=2), strict=True):
        variance = variance + own.square().sum(2) / (side.units * _count_freedom(side))
    return shares[..., 0].T, variance.sqrt().T


def _list_any(
    design: CrossedDesign, values: Float[Tensor, "class na nt"]
) -> Iterator[tuple[slice, Float[Tensor, "part some entry"]]]:
    """V_A, V_T and V_I of a few classes at a time, with their influences, summed over odd and even halves of both sides."""
    audio, lyrics = lay_side(design.audio), lay_side(design.lyrics)
    for rows in split_classes(values):
        turned = turn(turn(values[rows].double(), design.audio, 1), design.lyrics, 2)
        yield rows, _sum_sectors(design, audio, lyrics, turned)


def _list_signed(
    design: CrossedDesign, values: Float[Tensor, "class na nt"]
) -> Iterator[tuple[slice, Float[Tensor, "part some entry"]]]:
    """The same where both sides are orthogonal pairs: what is fitted isn't formed, only its squares are."""
    with full_precision(values.device):
        kind = pick_kind(values)
        audio, lyrics = (list_parts(side, values, kind) for side in (design.audio, design.lyrics))
        room = make_room(values, audio, lyrics)
        for rows in split_classes(values):
            total = values.new_zeros(3, len(values[rows]), 1 + design.audio.units + design.lyrics.units, dtype=torch.float64)
            for i, j, place in cut_grid(values[rows], audio, lyrics, room):
                half, other = audio[i], lyrics[j]
                sector = place.to(kind).mul_(half.shrink * other.shrink)
                if half.constant and other.constant:
                    # No variance depends on the mean, and what is small is summed exactly.
                    sector -= sector.mean((1, 2), keepdim=True)
                squares = _square(sector, _fit_signed(half, sector), _fit_signed(other, sector.mT))
                total += unbias(squares, half.rows, other.rows, not half.constant, not other.constant)
            yield rows, total


def _fit_signed(part: Part, sector: Float[Tensor, "class row column"]) -> _Fitted | None:
    """Squares of S N / m by row, N = Sᵀ Z: over m² they are the diagonal of S (N Nᵀ) Sᵀ."""
    if part.signs is None:
        return None
    pulled = part.signs.T @ sector
    spread = ((part.signs @ (pulled @ pulled.mT)) * part.signs).sum(2) / (part.rows**2 * sector.shape[2])
    return _Fitted(spread, (part.signs @ pulled.mean(2, keepdim=True))[:, :, 0] / part.rows)


def _sum_sectors(
    design: CrossedDesign, audio: Side, lyrics: Side, turned: Float[Tensor, "class na nt"]
) -> Float[Tensor, "part class entry"]:
    # Only orthogonal blocks fix the sums of squares; independent rows don't.
    fitted_audio = audio.basis[:, 1:] @ (audio.influence[1:] @ turned) * (design.audio.block > 1)
    fitted_lyrics = (turned @ lyrics.influence[1:].T) @ lyrics.basis[:, 1:].T * (design.lyrics.block > 1)
    grids = (turned, fitted_audio, fitted_lyrics)
    if design.audio.folded != design.audio.n_samples or design.lyrics.folded != design.lyrics.n_samples:
        grid, *fits = [turn(turn(grid, design.lyrics, 2), design.audio, 1) for grid in grids]
        squares = _square(grid, _average(fits[0]), _average(fits[1].mT))
        parts = unbias(squares, design.audio.n_samples, design.lyrics.n_samples, odd_audio=False, odd_lyrics=False)
        return torch.stack([_gather_units(design, part) for part in parts])
    total = turned.new_zeros(3, turned.shape[0], 1 + design.audio.units + design.lyrics.units)
    for odd_audio in (False, True):
        for odd_lyrics in (False, True):
            # Turned rows alternate between even and odd halves. They are (first ± second) / √2, and the parts of the output
            # (first ± second) / 2: a factor of √½ for either side.
            grid, *fits = [grid[:, odd_audio::2, odd_lyrics::2] * 0.5 for grid in grids]
            squares = _square(grid, _average(fits[0]), _average(fits[1].mT))
            total += unbias(squares, design.audio.units, design.lyrics.units, odd_audio, odd_lyrics)
    return total


def _average(fitted: Float[Tensor, "class row column"]) -> _Fitted:
    return _Fitted(fitted.square().mean(2), fitted.mean(2))


def _gather_units(design: CrossedDesign, part: Float[Tensor, "class row"]) -> Float[Tensor, "class entry"]:
    """Influences of rows summed over pairs, scaled to means over units."""
    value, rows, columns = part.split([1, design.audio.n_samples, design.lyrics.n_samples], 1)
    pieces = [value]
    for side, influence in ((design.audio, rows), (design.lyrics, columns)):
        pairs = influence[:, : side.folded].unflatten(1, (-1, 2)).sum(2)
        pieces.append(torch.cat([pairs, influence[:, side.folded :]], 1) * side.units / side.n_samples)
    return torch.cat(pieces, 1)


def _square(grid: Float[Tensor, "class a t"], by_audio: _Fitted | None, by_lyrics: _Fitted | None) -> _Squares:
    """The four mean squares of a sector. Fitted parts count in the mean squares, but add nothing to any influence."""
    means_a, means_t = grid.mean(2), grid.mean(1)
    squares = grid.square()
    # One unit's row of the grid enters its own mean once, and every mean of the other side: hence the factors of two.
    with_columns = (grid @ means_t[:, :, None])[:, :, 0].double() / grid.shape[2]
    with_rows = (means_a[:, None] @ grid)[:, 0].double() / grid.shape[1]
    cells_a, cells_t = squares.mean(2).double(), squares.mean(1).double()
    means_a, means_t = means_a.double(), means_t.double()
    mean = means_a.mean(1, keepdim=True)
    own_a, own_t = means_a.square(), means_t.square()
    fit_a, fit_t = by_audio or _Fitted(0.0 * own_a, 0.0 * own_a), by_lyrics or _Fitted(0.0 * own_t, 0.0 * own_t)
    return _Squares(
        cells=_influence(cells_a.mean(1), cells_a - fit_a.squares, cells_t - fit_t.squares),
        audio=_influence(own_a.mean(1), own_a - fit_a.means.double().square(), 2 * with_rows),
        lyrics=_influence(own_t.mean(1), 2 * with_columns, own_t - fit_t.means.double().square()),
        mean=_influence(mean[:, 0].square(), 2 * mean * means_a, 2 * mean * means_t),
    )


def _influence(
    value: Float[Tensor, " class"], by_audio: Float[Tensor, "class a"], by_lyrics: Float[Tensor, "class t"]
) -> Float[Tensor, "class entry"]:
    """A mean square, and its units' influences less their means."""
    centred = [part - part.mean(1, keepdim=True) for part in (by_audio, by_lyrics)]
    return torch.cat([value[:, None], *centred], 1)
