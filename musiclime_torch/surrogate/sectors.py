"""A crossed design whose sides are orthogonal, from signed sums over the sectors of its grid.

A fold-over side's rows are even halves, (first + second) / 2 of a pair, which hold the constant, and odd halves, (first −
second) / 2, which hold the slopes; a side without complements holds both in every row. The grid falls apart into sectors,
one for each part of the audio and each of the lyrics. `crossed_errors` solves any design and is the oracle of the tests.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.fit import Known, correct_errors, pick
from musiclime_torch.surrogate.halves import Part, cut_grid, list_parts, make_room, pick_kind
from musiclime_torch.surrogate.sides import Variances, combine_freedom, count_side_freedom, give_slack, split_classes
from musiclime_torch.surrogate.signed import full_precision


@dataclass(frozen=True)
class Sums:
    """A grid reduced: coefficients, and the sums of squares that errors are made of.

    Squares over audio rows are those of residuals of the lyrics' coefficients, by what the audio rows hold (the constant,
    slopes) and by lyric term; those over lyric rows the reverse. `cells` are what both sides' terms leave. `audio_left` and
    `lyrics_left` are residuals of main effects on the rows that hold slopes. `spread` is the variance over the grid.
    """

    table: Float[Tensor, "class audio lyric"]
    over_audio: Float[Tensor, "class 2 lyric"]
    over_lyrics: Float[Tensor, "class audio 2"]
    cells: Float[Tensor, "class 2 2"]
    audio_left: Float[Tensor, "class na"]
    lyrics_left: Float[Tensor, "class nt"]
    spread: Float[Tensor, " class"]


@dataclass(frozen=True)
class Raw:
    """What is read off the sectors of all classes, in the precision of the grid: means of their rows and columns, what
    rounding has left of these once they are taken out, by part; and the norms of the rows that remain, by two parts.
    """

    audio: tuple[Float[Tensor, "class a"], ...]
    audio_left: tuple[Float[Tensor, "class a"], ...]
    lyrics: tuple[Float[Tensor, "class t"], ...]
    lyrics_left: tuple[Float[Tensor, "class t"], ...]
    norms: tuple[tuple[Float[Tensor, "class a"], ...], ...]


def is_signed(design: CrossedDesign) -> bool:
    """Whether `reduce_grid` takes this design: both sides orthogonal, each all in pairs or all alone."""
    return all(side.orthogonal and side.folded in (0, side.n_samples) for side in (design.audio, design.lyrics))


# With parts a and t of the sides, B = [1, S] the columns that a part holds (±1, so that BᵀB = m I for m rows), the formulas
# of `crossed` become Θ = κ B_aᵀ Z B_t / (m_a m_t) on a sector Z, where κ is 2 for a slope (x = s / 2) and 1 for a constant.
#     L = Z B_t / m_t, the lyrics' coefficients under each audio row, A = B_aᵀ Z / m_a the audio's under each lyric row;
#     R_audio = L − B_a B_aᵀ L / m_a,   R_lyrics = A − A B_t B_tᵀ / m_t;
#     |C|² = |Z|² − m_t |R_audio|² − m_a |R_lyrics|² − m_a m_t |Θ / κ|²   (Pythagoras: B Bᵀ / m are orthogonal projections).
# A row of `influence` is ±κ / m everywhere, so that sums of squares need no weights: each is one number for all slopes of
# the side that is summed over. Constants are taken out of Z before anything else, as main effects are most of it.
# Of main effects alone the odd halves of both sides are in no formula but that of |Z|²: their products are left out.


def reduce_grid(design: CrossedDesign, values: Float[Tensor, "class na nt"], kept: Sequence[int] | None = None) -> Sums:
    """All classes, a few at a time; None keeps all of them. Where both sides are in pairs, interactions and their squares
    are left at zero for classes that aren't `kept`.
    """
    sums, kind = _allocate(design, values), pick_kind(values)
    with full_precision(values.device):
        audio, lyrics = (list_parts(side, values, kind) for side in (design.audio, design.lyrics))
        raw, room = _prepare(values, audio, lyrics, kind), make_room(values, audio, lyrics)
        cuts = bool(room.sectors[0])
        for rows, products in split_kept(values, kept):
            some = Sums(*(field[rows] for field in vars(sums).values()))
            for i, j, sector in cut_grid(values[rows], audio, lyrics, room):
                own = sector.to(kind)
                centred = _take_means(raw, rows, (i, j), (audio[i], lyrics[j]), own, cuts or own is not sector)
                if products or audio[i].constant or lyrics[j].constant:
                    _reduce_slopes(audio[i], lyrics[j], centred, some)
        _gather(raw, audio, lyrics, sums)
    return sums


def _prepare(values: Float[Tensor, "class na nt"], audio: Sequence[Part], lyrics: Sequence[Part], kind: torch.dtype) -> Raw:
    def make(parts: Sequence[Part]) -> tuple[Tensor, ...]:
        return tuple(values.new_zeros(len(values), part.rows, dtype=kind) for part in parts)

    return Raw(make(audio), make(audio), make(lyrics), make(lyrics), tuple(make([half] * len(lyrics)) for half in audio))


def split_kept(values: Float[Tensor, "class na nt"], kept: Sequence[int] | None) -> Iterator[tuple[slice, bool]]:
    """Classes that are worked on together, and whether they are kept."""
    step = next(split_classes(values), slice(0, 1)).stop
    chosen = set(range(len(values)) if kept is None else kept)
    marks = [number in chosen for number in range(len(values))]
    start = 0
    for products, run in groupby(marks):
        end = start + len(list(run))
        for first in range(start, end, step):
            yield slice(first, min(first + step, end)), products
        start = end


def _allocate(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Sums:
    classes, da, dt = len(values), design.audio.masks.shape[1], design.lyrics.masks.shape[1]
    na, nt = (side.n_samples // (2 if side.folded else 1) for side in (design.audio, design.lyrics))
    shapes = ((1 + da, 1 + dt), (2, 1 + dt), (1 + da, 2), (2, 2), (na,), (nt,), ())
    return Sums(*(values.new_zeros((classes, *shape), dtype=torch.float64) for shape in shapes))


def _take_means(
    raw: Raw,
    rows: slice,
    numbers: tuple[int, int],
    parts: tuple[Part, Part],
    sector: Float[Tensor, "class a t"],
    owned: bool,
) -> Float[Tensor, "class a t"]:
    """The sector without its means, which are kept; in place if it is `owned`."""
    (i, j), (audio, lyrics) = numbers, parts
    if lyrics.constant:
        means = torch.mean(sector, 2, out=raw.audio[i][rows])
        sector, owned = torch.sub(sector, means[:, :, None], out=sector if owned else None), True
        torch.mean(sector, 2, out=raw.audio_left[i][rows])
    if audio.constant:
        means = torch.mean(sector, 1, out=raw.lyrics[j][rows])
        sector = torch.sub(sector, means[:, None], out=sector if owned else None)
        torch.mean(sector, 1, out=raw.lyrics_left[j][rows])
    torch.linalg.vector_norm(sector, dim=2, out=raw.norms[i][j][rows])
    return sector


def _gather(raw: Raw, audio: Sequence[Part], lyrics: Sequence[Part], sums: Sums) -> None:
    """Main effects, and what is left of means and of cells, of all classes."""
    for half, first, left in zip(audio, raw.audio, raw.audio_left, strict=True):
        _reduce_audio(half, (first.double() + left) * (half.shrink * lyrics[0].shrink), sums)
    for other, first, left in zip(lyrics, raw.lyrics, raw.lyrics_left, strict=True):
        _reduce_lyrics(other, (first.double() + left) * (other.shrink * audio[0].shrink), sums)
    for i, half in enumerate(audio):
        for j, other in enumerate(lyrics):
            squares = raw.norms[i][j].double().square().sum(1)
            if other.constant:
                squares -= raw.audio_left[i].double().square().sum(1) * other.rows
            if half.constant:
                squares -= raw.lyrics_left[j].double().square().sum(1) * half.rows
            squares = squares.clamp_min(0) * (half.shrink * other.shrink) ** 2
            sums.spread.add_(squares, alpha=1 / (half.rows * other.rows))
            cells = (squares - _explain(half, other, sums)).clamp_min(0)
            sums.cells[:, half.kinds, other.kinds] = cells[:, None, None]


def _explain(audio: Part, lyrics: Part, sums: Sums) -> Float[Tensor, " class"]:
    """Squares of a sector's cells that slopes explain: their residuals' and, at right angles, interactions'."""
    explained = torch.zeros_like(sums.spread)
    if lyrics.signs is not None:
        explained += sums.over_audio[:, audio.kinds.start, 1:].sum(1) * (lyrics.rows / 4)
    if audio.signs is not None:
        explained += sums.over_lyrics[:, 1:, lyrics.kinds.start].sum(1) * (audio.rows / 4)
    if lyrics.signs is not None and audio.signs is not None:
        explained += sums.table[:, 1:, 1:].square().sum((1, 2)) * (audio.rows * lyrics.rows / 16)
    return explained


def _reduce_audio(audio: Part, means: Float[Tensor, "class a"], sums: Sums) -> None:
    """Means by audio row: the mean of all, and the audio's main effects."""
    if audio.constant:
        centre = means.mean(1, keepdim=True)
        sums.table[:, 0, 0], means = centre[:, 0], means - centre
    sums.spread.add_(means.square().mean(1))
    if audio.wide is not None:
        sums.table[:, 1:, 0], means = _fit(audio.wide, means)
        sums.audio_left[:] = means
    sums.over_audio[:, audio.kinds, 0] = means.square().sum(1, keepdim=True)


def _reduce_lyrics(lyrics: Part, means: Float[Tensor, "class t"], sums: Sums) -> None:
    """Means by lyric row, from which means by audio row have been taken: the lyrics' main effects."""
    sums.spread.add_(means.square().mean(1))
    if lyrics.wide is not None:
        sums.table[:, 0, 1:], means = _fit(lyrics.wide, means)
        sums.lyrics_left[:] = means
    sums.over_lyrics[:, 0, lyrics.kinds] = means.square().sum(1, keepdim=True)


def _fit(
    signs: Float[Tensor, "row d"], means: Float[Tensor, "class row"]
) -> tuple[Float[Tensor, "class d"], Float[Tensor, "class row"]]:
    """Main effects, and what they leave of the means."""
    slopes = (means.to(signs.dtype) @ signs) * (2 / len(signs))
    return slopes, means - (slopes @ signs.T) / 2


def _reduce_slopes(audio: Part, lyrics: Part, sector: Float[Tensor, "class a t"], sums: Sums) -> None:
    """Slopes by row and interactions of a few classes, and squares of what these leave of the slopes."""
    shrink = audio.shrink * lyrics.shrink
    by_audio = by_lyrics = None
    if lyrics.signs is not None:
        by_audio = _centre((sector @ lyrics.signs).mul_(2 * shrink / lyrics.rows), 1, audio)
    if audio.signs is not None:
        by_lyrics = _centre((audio.signs.T @ sector).mul_(2 * shrink / audio.rows), 2, lyrics)
    if by_audio is not None and by_lyrics is not None:
        assert audio.signs is not None
        assert audio.wide is not None
        assert lyrics.signs is not None
        table = audio.wide.T @ by_audio.to(audio.wide.dtype) * (2 / audio.rows)
        sums.table[:, 1:, 1:] = table
        interactions = table.to(by_audio.dtype) / 2
        by_audio -= audio.signs @ interactions
        by_lyrics -= interactions @ lyrics.signs.T
    if by_audio is not None:
        sums.over_audio[:, audio.kinds, 1:] = by_audio.square_().sum(1)[:, None]
    if by_lyrics is not None:
        sums.over_lyrics[:, 1:, lyrics.kinds] = by_lyrics.square_().sum(2)[:, :, None]


def _centre(slopes: Float[Tensor, "class a t"], dim: int, part: Part) -> Float[Tensor, "class a t"]:
    """Slopes by row, without what rounding has left of the means that were taken out."""
    return slopes.sub_(slopes.mean(dim, keepdim=True)) if part.constant else slopes


def judge(design: CrossedDesign, sums: Sums, kept: Sequence[int] | None = None) -> tuple[Known, Known]:
    """Main effects of all classes, the audio's first, and tables of the classes that are `kept`, None for all; with their
    errors and degrees of freedom, as `crossed_errors.estimate_errors` gives them.
    """
    audio, lyrics = (
        _correct(side, _scale(side, left), left)
        for side, left in ((design.audio, sums.audio_left), (design.lyrics, sums.lyrics_left))
    )
    # The terms of one side with the other's constant.
    column = replace(sums, table=sums.table[:, :, :1], over_audio=sums.over_audio[:, :, :1])
    row = replace(sums, table=sums.table[:, :1], over_lyrics=sums.over_lyrics[:, :1])
    alone = [
        _judge(column, audio, (lyrics[0][:, :1], lyrics[1][:1])),
        _judge(row, (audio[0][:, :1], audio[1][:1]), lyrics),
    ]
    names = ("values", "errors", "freedom")
    main = (torch.cat([getattr(alone[0], name)[:, 1:, 0], getattr(alone[1], name)[:, 0, 1:]], 1) for name in names)
    some = Sums(*(pick(field, kept) for field in vars(sums).values()))
    return Known(*main), _judge(some, (pick(audio[0], kept), audio[1]), (pick(lyrics[0], kept), lyrics[1]))


def _judge(
    sums: Sums,
    audio: tuple[Float[Tensor, "class term"], Float[Tensor, " term"]],
    lyrics: tuple[Float[Tensor, "class other"], Float[Tensor, " other"]],
) -> Known:
    """A table with its errors and degrees of freedom, from factors on sums of squares and freedom of either side."""
    known = Known(sums.table, torch.empty_like(sums.table), torch.empty_like(sums.table))
    for rows in split_classes(sums.table):
        variances = _spread_out(sums, audio[0], lyrics[0], rows)
        total = variances.total
        known.errors[rows] = total.sqrt()
        known.freedom[rows] = combine_freedom(variances, total, audio[1], lyrics[1])
    return known


def split_squares(design: CrossedDesign, sums: Sums, count: int) -> Float[Tensor, "2"]:
    """What `crossed_errors.split_errors` gives of a grid of so many cells: interactions aren't needed for it."""
    variances = _spread_out(
        sums, _scale(design.audio, sums.audio_left), _scale(design.lyrics, sums.lyrics_left), slice(None)
    )
    scale = (sums.spread * (count / max(count - 1, 1))).clamp_min(torch.finfo(torch.float32).tiny)
    sides = (variances.audio, variances.lyrics)
    return torch.stack([((side[:, 1:, 0].sum(1) + side[:, 0, 1:].sum(1)) / scale).sum() for side in sides])


def _spread_out(
    sums: Sums, audio: Float[Tensor, "class audio"], lyrics: Float[Tensor, "class lyric"], rows: slice
) -> Variances:
    """Sums of squares, which all slopes of a side have in common, as variances of every term of a few classes."""
    d, e = audio.shape[1] - 1, lyrics.shape[1] - 1
    by_audio, by_lyrics = audio[rows, :, None], lyrics[rows, None, :]
    twice = _repeat(_repeat(sums.cells[rows], 1, d), 2, e)
    return Variances(
        audio=_repeat(sums.over_audio[rows], 1, d) * by_audio,
        lyrics=_repeat(sums.over_lyrics[rows], 2, e) * by_lyrics,
        twice=twice * by_audio * by_lyrics,
    )


def _repeat(values: Float[Tensor, "class a t"], dim: int, slopes: int) -> Float[Tensor, "class _a _t"]:
    """Kinds along a dimension as terms: the constant once, then the slopes."""
    sizes = [-1, -1, -1]
    sizes[dim] = slopes
    return torch.cat([values.narrow(dim, 0, 1), values.narrow(dim, 1, 1).expand(sizes)], dim)


def _scale(side: Design, left: Float[Tensor, "class row"]) -> Float[Tensor, "class term"]:
    """What takes sums of squares over a side's rows to variances of its terms: influence², which is κ² / m², and slack."""
    # Where rows are of two kinds, each kind's slack is in the sums already (see `mixed`).
    slack = give_slack(side, left)
    factors = (slack[:, 0] if slack.shape[1] == 1 else torch.ones_like(slack[:, 0])) / left.shape[1] ** 2
    return torch.cat([factors[:1], 4 * factors[1:]]).repeat(len(left), 1)


def _correct(
    side: Design, factors: Float[Tensor, "class term"], left: Float[Tensor, "class row"]
) -> tuple[Float[Tensor, "class term"], Float[Tensor, " term"]]:
    """The factors with what a side's structure says of its slopes, and degrees of freedom."""
    freedom = count_side_freedom(side, factors)
    if not side.cycle and not len(side.local):
        return factors, freedom
    signs = (2 * side.masks[0::2].contiguous().view(torch.int8) - 1).float()
    correction = correct_errors(side, signs, left.T)
    freedom = torch.cat([freedom[:1], freedom[1:] - correction.spent])
    return torch.cat([factors[:, :1], factors[:, 1:] * correction.factor[:, None]], 1), freedom
