"""A crossed design whose sides are orthogonal, from signed sums over the sectors of its grid.

A fold-over side's rows are even halves, (first + second) / 2 of a pair, which hold the constant, and odd halves, (first −
second) / 2, which hold the slopes; a side without complements holds both in every row. The grid falls apart into sectors,
one for each part of the audio and each of the lyrics. `crossed_errors` solves any design and is the oracle of the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.fit import Known, correct_errors
from musiclime_torch.surrogate.sides import Variances, combine_freedom, count_side_freedom, give_slack, split_classes
from musiclime_torch.surrogate.signed import full_precision, pick_precision


@dataclass(frozen=True)
class Part:
    """Rows of a side that hold the same terms: the constant, slopes, or both.

    `signs` are ±1, in the precision of the grid and, as `wide`, in that of what is left of it; None without slopes. `pairs`
    says that rows are halves of pairs.
    """

    rows: int
    constant: bool
    signs: Float[Tensor, "row d"] | None
    wide: Float[Tensor, "row d"] | None
    pairs: bool

    @property
    def kinds(self) -> slice:
        """Places in `Sums`: the constant is kind 0, slopes are kind 1."""
        return slice(0 if self.constant else 1, 1 if self.signs is None else 2)

    @property
    def shrink(self) -> float:
        """What turns a sum over a pair into a half."""
        return 0.5 if self.pairs else 1.0


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
class Room:
    """Memory for a few classes that is used again and again: what is fresh costs more to touch than to work on."""

    halved: Float[Tensor, "most a nt"]
    cut: Float[Tensor, "most a t"]
    sector: Float[Tensor, "most a t"]


def is_signed(design: CrossedDesign) -> bool:
    """Whether `reduce_grid` takes this design: both sides orthogonal, each all in pairs or all alone."""
    return all(side.orthogonal and side.folded in (0, side.n_samples) for side in (design.audio, design.lyrics))


# With parts a and t of the sides, B = [1, S] the columns that a part holds (±1, so that BᵀB = m I for m rows), the formulas
# of `crossed` become Θ = κ B_aᵀ Z B_t / (m_a m_t) on a sector Z, where κ is 2 for a slope (x = s / 2) and 1 for a constant.
#     L = Z B_t / m_t, the lyrics' coefficients under each audio row, A = B_aᵀ Z / m_a the audio's under each lyric row;
#     R_audio = L − B_a B_aᵀ L / m_a,   R_lyrics = A − A B_t B_tᵀ / m_t;
#     |C|² = |Z|² − m_t |L|² − m_a |A|² + m_a m_t |Θ / κ|²   (Pythagoras: B Bᵀ / m are orthogonal projections).
# A row of `influence` is ±κ / m everywhere, so that sums of squares need no weights: each is one number for all slopes of
# the side that is summed over. Constants are taken out of Z before anything else, as main effects are most of it.


def reduce_grid(design: CrossedDesign, values: Float[Tensor, "class na nt"], products: bool = True) -> Sums:
    """All classes, a few at a time. Without `products` interactions and their squares are left at zero where both sides
    are in pairs.
    """
    sums = _allocate(design, values)
    kind = pick_kind(values)
    with full_precision(values.device):
        audio, lyrics = (list_parts(side, values, kind) for side in (design.audio, design.lyrics))
        room = make_room(values, audio, lyrics, kind)
        for rows in split_classes(values):
            some = Sums(*(field[rows] for field in vars(sums).values()))
            for half in audio:
                halved = cut(values[rows], half, 1, room.halved)
                for other in lyrics:
                    sector = cut(halved, other, 2, room.cut).to(kind)
                    _reduce_sector(half, other, sector, room.sector, products, some)
    return sums


def _allocate(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Sums:
    classes, da, dt = len(values), design.audio.masks.shape[1], design.lyrics.masks.shape[1]
    na, nt = (side.n_samples // (2 if side.folded else 1) for side in (design.audio, design.lyrics))
    shapes = ((1 + da, 1 + dt), (2, 1 + dt), (1 + da, 2), (2, 2), (na,), (nt,), ())
    return Sums(*(values.new_zeros((classes, *shape), dtype=torch.float64) for shape in shapes))


def pick_kind(values: Tensor) -> torch.dtype:
    """The precision of a grid's products: its own on a CPU, float32 elsewhere."""
    return torch.promote_types(values.dtype, torch.float32) if values.device.type == "cpu" else torch.float32


def list_parts(side: Design, values: Tensor, kind: torch.dtype) -> tuple[Part, ...]:
    """Even and odd halves of pairs, or all rows."""
    masks = (side.masks[0::2] if side.folded else side.masks).contiguous()
    signs = 2 * masks.view(torch.int8) - 1
    both = (signs.to(kind), signs.to(pick_precision(values)))
    if not side.folded:
        return (Part(len(masks), True, *both, pairs=False),)
    return Part(len(masks), True, None, None, pairs=True), Part(len(masks), False, *both, pairs=True)


def make_room(
    values: Float[Tensor, "class na nt"], audio: Sequence[Part], lyrics: Sequence[Part], kind: torch.dtype
) -> Room:
    """Room for as many classes as are worked on together."""
    step = min(next(split_classes(values), slice(0, 0)).stop, len(values))
    rows, columns = audio[0].rows, lyrics[0].rows
    return Room(
        halved=values.new_empty(step, rows, values.shape[2]),
        cut=values.new_empty(step, rows, columns),
        sector=values.new_empty(step, rows, columns, dtype=kind),
    )


def cut(
    values: Float[Tensor, "class a t"], part: Part, dim: int, room: Float[Tensor, "most _a _t"]
) -> Float[Tensor, "class _a _t"]:
    """The rows of a part along a dimension, as sums where they are halves of pairs."""
    if not part.pairs:
        return values
    first, second = (values[:, start::2] if dim == 1 else values[:, :, start::2] for start in (0, 1))
    return torch.add(first, second, alpha=1 if part.constant else -1, out=room[: len(values)])


def _reduce_sector(
    audio: Part,
    lyrics: Part,
    sector: Float[Tensor, "class a t"],
    room: Float[Tensor, "most a t"],
    products: bool,
    sums: Sums,
) -> None:
    """Put what a sector holds in its places of the sums."""
    shrink = audio.shrink * lyrics.shrink
    if lyrics.constant:
        sector, means = _take_means(sector, 2, room)
        _reduce_audio(audio, means * shrink, sums)
    if audio.constant:
        sector, means = _take_means(sector, 1, room)
        _reduce_lyrics(lyrics, means * shrink, sums)
    squares = _square(sector).sum(1) * shrink**2
    sums.spread.add_(squares, alpha=1 / (audio.rows * lyrics.rows))
    if products or audio.constant or lyrics.constant:
        cells = squares - _reduce_slopes(audio, lyrics, sector, shrink, sums)
        sums.cells[:, audio.kinds, lyrics.kinds] = cells.clamp_min(0)[:, None, None]


def _take_means(
    sector: Float[Tensor, "class a t"], dim: int, room: Float[Tensor, "most a t"]
) -> tuple[Float[Tensor, "class a t"], Float[Tensor, "class row"]]:
    """The sector without its means over a dimension, and these; what rounding has left of them is taken out again."""
    means = sector.mean(dim, keepdim=True)
    sector = torch.sub(sector, means, out=room[: len(sector)])
    left = sector.mean(dim, keepdim=True)
    return sector.sub_(left), (means.double() + left.double()).squeeze(dim)


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


def _reduce_slopes(
    audio: Part, lyrics: Part, sector: Float[Tensor, "class a t"], shrink: float, sums: Sums
) -> Float[Tensor, " class"]:
    """Slopes by row, their residuals and interactions; gives the squares of cells that all these explain."""
    explained = sums.spread.new_zeros(len(sector))
    by_audio = by_lyrics = None
    if lyrics.signs is not None:
        by_audio = sector @ lyrics.signs * (2 * shrink / lyrics.rows)
        explained += _square(by_audio).sum(1) * (lyrics.rows / 4)
    if audio.signs is not None:
        by_lyrics = audio.signs.T @ sector * (2 * shrink / audio.rows)
        explained += _square(by_lyrics).sum(1) * (audio.rows / 4)
    if by_audio is not None and by_lyrics is not None:
        assert audio.signs is not None
        assert audio.wide is not None
        assert lyrics.signs is not None
        table = audio.wide.T @ by_audio.to(audio.wide.dtype) * (2 / audio.rows)
        sums.table[:, 1:, 1:] = table
        explained -= table.double().square().sum((1, 2)) * (audio.rows * lyrics.rows / 16)
        interactions = table.to(by_audio.dtype) / 2
        by_audio = by_audio - audio.signs @ interactions
        by_lyrics = by_lyrics - interactions @ lyrics.signs.T
    if by_audio is not None:
        sums.over_audio[:, audio.kinds, 1:] = _square(by_audio.mT)[:, None]
    if by_lyrics is not None:
        sums.over_lyrics[:, 1:, lyrics.kinds] = _square(by_lyrics)[:, :, None]
    return explained


def _square(values: Float[Tensor, "class row column"]) -> Float[Tensor, "class row"]:
    """Σ of squares of each row, in the precision of the values, as float64."""
    return torch.linalg.vector_norm(values, dim=2).double().square()


def judge(design: CrossedDesign, sums: Sums) -> Known:
    """The table with its errors and degrees of freedom, as `crossed_errors.estimate_errors` gives them."""
    known = Known(sums.table, torch.empty_like(sums.table), torch.empty_like(sums.table))
    (audio, audio_freedom), (lyrics, lyrics_freedom) = (
        _correct(side, _scale(side, left), left)
        for side, left in ((design.audio, sums.audio_left), (design.lyrics, sums.lyrics_left))
    )
    for rows in split_classes(sums.table):
        variances = _spread_out(sums, audio, lyrics, rows)
        total = variances.total
        known.errors[rows] = total.sqrt()
        known.freedom[rows] = combine_freedom(variances, total, audio_freedom, lyrics_freedom)
    return known


def split_squares(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Float[Tensor, "2"]:
    """What `crossed_errors.split_errors` gives: interactions aren't needed for it."""
    sums = reduce_grid(design, values, products=False)
    variances = _spread_out(
        sums, _scale(design.audio, sums.audio_left), _scale(design.lyrics, sums.lyrics_left), slice(None)
    )
    count = values.shape[1] * values.shape[2]
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
    factors = give_slack(side, left)[:, 0] / left.shape[1] ** 2
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
