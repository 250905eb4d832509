"""A crossed design of orthogonal sides of which one or both are half folded: pairs, and rows that stand alone after them.

As in `sectors` the grid is cut by what rows hold: even halves of pairs the constant, odd halves the slopes, rows alone both.
But constant and slopes are now fitted to rows of two kinds together, so that what they leave in the cells of a sector has no
shorter form than the cells themselves. `crossed_errors` solves any design and is the oracle of the tests.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.halves import Part, list_parts, pick_kind
from musiclime_torch.surrogate.sectors import Sums, split_kept
from musiclime_torch.surrogate.sides import give_slack
from musiclime_torch.surrogate.signed import full_precision


@dataclass(frozen=True)
class Layer:
    """A part of a side. `weight` is how many rows of the side one of its rows stands for, as a share of all of them.

    `squares` are what squared residuals of the constant and of slopes count for.
    """

    part: Part
    weight: float
    squares: tuple[float, float]


def is_mixed(design: CrossedDesign) -> bool:
    """Whether `reduce_mixed` takes this design: both sides orthogonal, a half-folded one without cycles and local terms."""
    sides = (design.audio, design.lyrics)
    plain = all(side.folded in (0, side.n_samples) or not (side.cycle or len(side.local)) for side in sides)
    return plain and all(side.orthogonal for side in sides)


# From the formulas of `crossed` to the code below. A pair's rows y and y′ are halves e = (y + y′) / 2 and o = (y − y′) / 2,
# which count twice: with weights v = 2 for halves and v = 1 for rows alone, and with κ = 1 for the constant and 2 for
# slopes, the coefficients of a side of n rows are
#     κ / n Σ_p v_p B_pᵀ Z_p,
# where B_p holds those of 1 and s = ±1 that are not zero on part p: 1 on even halves, s on odd ones, both on rows alone.
# What is left on a part is R_p = Z_p − B_p θ / κ. A unit's share of a coefficient is κ v_p / n · R_p; its square is enlarged
# by the slack of its kind. `squares` are slack · v²; of a side with rows of one kind they are 1, as `sectors` has it.


def reduce_mixed(design: CrossedDesign, values: Float[Tensor, "class na nt"], kept: Sequence[int] | None = None) -> Sums:
    """All classes, a few at a time, as `sectors.reduce_grid` does for sides of one kind of rows.

    For classes that aren't `kept`, squares that only errors of interactions are made of are left out.
    """
    sums, kind = _allocate(design, values), pick_kind(values)
    with full_precision(values.device):
        audio, lyrics = (list(_lay(side, values, kind)) for side in (design.audio, design.lyrics))
        for rows, products in split_kept(values, kept):
            some = Sums(*(field[rows] for field in vars(sums).values()))
            grid, by_audio, by_lyrics = _take_means(values[rows].to(kind))
            some.table[:, 0, 0] = by_audio.mean(1)
            some.table[:, 1:, 0], some.over_audio[:, :, 0] = _fit(by_audio, design.audio, audio, some, some.audio_left)
            some.table[:, 0, 1:], some.over_lyrics[:, 0] = _fit(by_lyrics, design.lyrics, lyrics, some, some.lyrics_left)
            halved = _cut(grid, 1, design.audio)
            del grid
            _reduce(audio, lyrics, [_cut(half, 2, design.lyrics) for half in halved], some, products)
    return sums


def _allocate(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Sums:
    da, dt = design.audio.masks.shape[1], design.lyrics.masks.shape[1]
    lengths = (side.n_samples // (2 if side.folded == side.n_samples else 1) for side in (design.audio, design.lyrics))
    shapes = ((1 + da, 1 + dt), (2, 1 + dt), (1 + da, 2), (2, 2), *((length,) for length in lengths), ())
    return Sums(*(values.new_zeros((len(values), *shape), dtype=torch.float64) for shape in shapes))


def _lay(side: Design, values: Tensor, kind: torch.dtype) -> Iterator[Layer]:
    # Numbers of the host: a layer's aren't read from the device.
    slack = give_slack(side, torch.empty((), dtype=torch.float64))
    for part in list_parts(side, values, kind):
        rows = 2 if part.pairs else 1
        of_one_kind = slack.shape[1] == 1
        factors = slack[:2, 0 if part.pairs else -1] * rows**2
        squares = (1.0, 1.0) if of_one_kind else (float(factors[0]), float(factors[1]))
        held = range(*part.kinds.indices(2))
        yield Layer(part, rows / side.n_samples, (squares[0] * (0 in held), squares[1] * (1 in held)))


def _take_means(
    grid: Float[Tensor, "class na nt"],
) -> tuple[Float[Tensor, "class na nt"], Float[Tensor, "class na"], Float[Tensor, "class nt"]]:
    """The grid without its means by row and by column, and these in float64. Twice: the second time takes what rounding of
    the first has left.
    """
    first = grid.mean(2)
    grid = grid - first[:, :, None]
    second = grid.mean(2)
    grid -= second[:, :, None]
    by_audio = first.double() + second
    first = grid.mean(1)
    grid -= first[:, None]
    second = grid.mean(1)
    grid -= second[:, None]
    return grid, by_audio, first.double() + second


def _cut(values: Tensor, dim: int, side: Design) -> list[Tensor]:
    """Even and odd halves of pairs along a dimension, and rows that stand alone, in the order of `list_parts`."""
    pairs = values.narrow(dim, 0, side.folded).unflatten(dim, (-1, 2))
    first, second = pairs.unbind(dim + 1)
    alone = values.narrow(dim, side.folded, side.n_samples - side.folded)
    halves = [(first + second).div_(2), (first - second).div_(2)] if side.folded else []
    return [*halves, alone] if side.folded < side.n_samples else halves


def _fit(
    means: Float[Tensor, "class n"],
    side: Design,
    layers: Sequence[Layer],
    sums: Sums,
    rest: Float[Tensor, "class row"],
) -> tuple[Float[Tensor, "class d"], Float[Tensor, "class 2"]]:
    """Main effects of a side from means by its rows, and squares of what is left of these; `rest` is what is left of the
    only rows that hold slopes, if there is but one kind.
    """
    means = means - means.mean(1, keepdim=True)
    sums.spread.add_(means.square().mean(1))
    pieces = list(zip(_cut(means, 1, side), layers, strict=True))
    slopes = _sum(
        [
            (piece.to(layer.part.wide.dtype) @ layer.part.wide).double() * (2 * layer.weight)
            for piece, layer in pieces
            if layer.part.wide is not None
        ]
    )
    squares = means.new_zeros(len(means), 2)
    for piece, layer in pieces:
        wide = layer.part.wide
        left = piece if wide is None else piece - (slopes.to(wide.dtype) @ wide.T).double() / 2
        squares += _spread(left.square().sum(1), layer, 1)
        if wide is not None and left.shape == rest.shape:
            rest[:] = left
    return slopes, squares


def _reduce(
    audio: Sequence[Layer], lyrics: Sequence[Layer], sectors: list[list[Tensor]], sums: Sums, products: bool
) -> None:
    """Interactions of a few classes, and squares of what is left of slopes by row and of cells."""
    for half, row in zip(audio, sectors, strict=True):
        for other, sector in zip(lyrics, row, strict=True):
            sums.spread.add_(_square(sector), alpha=half.weight * other.weight)
    by_audio = [_sum([row[j] @ signs * (2 * weight) for j, signs, weight in _list_signs(lyrics)]) for row in sectors]
    columns = list(zip(*sectors, strict=True))
    by_lyrics = [_sum([signs.T @ column[i] * (2 * weight) for i, signs, weight in _list_signs(audio)]) for column in columns]
    table = _sum([_turn(audio[i].part.wide, by_audio[i]) * (2 * weight) for i, _, weight in _list_signs(audio)])
    sums.table[:, 1:, 1:] = table
    interactions = table.to(by_audio[0].dtype) / 2
    for half, slopes, row in zip(audio, by_audio, sectors, strict=True):
        signs = half.part.signs
        left = slopes if signs is None else slopes - signs @ interactions
        sums.over_audio[:, :, 1:] += _spread(left.double().square().sum(1), half, 1)
        for other, under, sector in zip(lyrics, by_lyrics, row, strict=True):
            # Where neither part holds the constant, cells are in the errors of interactions alone.
            if products or half.part.constant or other.part.constant:
                squares = _square(_subtract(sector, (half, under), (other, left)))
                sums.cells.add_(_spread(_spread(squares, half, 1), other, 2))
    for other, slopes in zip(lyrics, by_lyrics, strict=True):
        left = slopes if other.part.signs is None else slopes - interactions @ other.part.signs.T
        sums.over_lyrics[:, 1:] += _spread(left.double().square().sum(2), other, 2)


def _subtract(
    sector: Float[Tensor, "class a t"],
    audio: tuple[Layer, Float[Tensor, "class d t"]],
    lyrics: tuple[Layer, Float[Tensor, "class a e"]],
) -> Float[Tensor, "class a t"]:
    """Cells without the audio's slopes by lyric row, and without what of the lyrics' by audio row is left."""
    (half, under), (other, left) = audio, lyrics
    if half.part.signs is not None:
        sector = torch.sub(sector, half.part.signs @ under, alpha=0.5)
    if other.part.signs is not None:
        sector = torch.sub(sector, left @ other.part.signs.T, alpha=0.5)
    return sector


def _square(cells: Float[Tensor, "class a t"]) -> Float[Tensor, " class"]:
    return torch.linalg.vector_norm(cells, dim=2).double().square().sum(1)


def _list_signs(layers: Sequence[Layer]) -> Iterator[tuple[int, Float[Tensor, "row d"], float]]:
    """Number, signs and weight of the parts that hold slopes."""
    return ((i, one.part.signs, one.weight) for i, one in enumerate(layers) if one.part.signs is not None)


def _turn(wide: Float[Tensor, "row d"] | None, slopes: Float[Tensor, "class row e"]) -> Float[Tensor, "class d e"]:
    assert wide is not None
    return (wide.T @ slopes.to(wide.dtype)).double()


def _sum(terms: list[Tensor]) -> Tensor:
    """Of one term or more: every side has odd halves or rows that stand alone."""
    return torch.stack(terms).sum(0) if len(terms) > 1 else terms[0]


def _spread(squares: Tensor, layer: Layer, dim: int) -> Tensor:
    """Squares by what they count for, the constant and slopes, along a new dimension."""
    return torch.stack([squares * factor for factor in layer.squares], dim)
