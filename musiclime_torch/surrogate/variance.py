"""How much of what a model says hangs on the sound alone, on the words alone, and on both together.

Over random masks a model is mean + A(sound) + T(words) + I(sound, words), and its variance the sum of the three parts'
(two-way random effects; Searle, Casella & McCulloch 1992). Means over finitely many masks of the other side carry noise;
every sum of squares is corrected for it, so that long lyrics don't win by counting. Values are a grid of a crossed design.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.surrogate.crossed import Side, lay_side, split_classes, turn
from musiclime_torch.surrogate.design import CrossedDesign, Design


@dataclass(frozen=True)
class Shares:
    """Parts of the variance by sound, words and both, each with its standard error; they add up to one."""

    values: Float[Tensor, "class 3"]
    standard_errors: Float[Tensor, "class 3"]
    degrees_of_freedom: float


@dataclass(frozen=True)
class _Squares:
    """Mean squares of one sector of the grid: of cells, of means by audio unit, by lyric unit, and of the mean of all.

    Each comes with what every audio unit and every lyric unit adds to it (an influence function, mean zero).
    """

    cells: Tensor
    audio: Tensor
    lyrics: Tensor
    mean: Tensor

    def mix(self, weights: tuple[float, float, float, float]) -> Tensor:
        """A linear combination; the last axis holds the value, then the influences."""
        parts = (self.cells, self.audio, self.lyrics, self.mean)
        return sum((weight * part for weight, part in zip(weights, parts, strict=True)), torch.zeros_like(self.cells))


def split_variance(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Shares:
    """Shares of the variance over uniform masks; zeros where the outputs don't vary.

    Standard errors are those of the influence functions over sampling units of both sides. What a main effect or a
    product of two adds is known better than its units show (in Hadamard blocks their squares have fixed sums), so the
    fitted part is taken out of the influences first.
    """
    audio, lyrics = lay_side(design.audio), lay_side(design.lyrics)
    shares, errors = (values.new_empty(len(values), 3, dtype=torch.float64) for _ in range(2))
    for rows in split_classes(values):
        shares[rows], errors[rows] = _share(design, audio, lyrics, values[rows])
    freedom = min(_freedom(design.audio), _freedom(design.lyrics))
    return Shares(shares, errors, float(freedom))


def _freedom(design: Design) -> int:
    return max(design.units - design.masks.shape[1] - 1, 1)


def _share(
    design: CrossedDesign, audio: Side, lyrics: Side, values: Float[Tensor, "class na nt"]
) -> tuple[Float[Tensor, "class 3"], Float[Tensor, "class 3"]]:
    turned = turn(turn(values.double(), design.audio, 1), design.lyrics, 2)
    parts = _sum_sectors(design, audio, lyrics, turned)
    whole = parts.sum(0, keepdim=True)
    size = torch.where(whole[..., :1] > 0, whole[..., :1], torch.ones_like(whole[..., :1]))
    shares = parts[..., :1] / size
    influence = (parts[..., 1:] - shares * whole[..., 1:]) / size
    counts = [side.units for side in (design.audio, design.lyrics)]
    by_side = influence.split(counts, dim=2)
    left = [_freedom(side) for side in (design.audio, design.lyrics)]
    variance = sum(
        (part.square().sum(2) / (count * room) for part, count, room in zip(by_side, counts, left, strict=True)),
        torch.zeros_like(shares[..., 0]),
    )
    return shares[..., 0].T, variance.sqrt().T


def _sum_sectors(
    design: CrossedDesign, audio: Side, lyrics: Side, turned: Float[Tensor, "class na nt"]
) -> Float[Tensor, "part class entry"]:
    """Variances of A, T and I with their influences, summed over odd and even halves of both sides.

    Odd halves have mean zero by symmetry, even halves don't; without pairs there is one sector, with means on both sides.
    """
    # Only orthogonal blocks fix the sums of squares; independent rows don't.
    fitted_audio = audio.basis[:, 1:] @ (audio.influence[1:] @ turned) * (design.audio.block > 1)
    fitted_lyrics = (turned @ lyrics.influence[1:].T) @ lyrics.basis[:, 1:].T * (design.lyrics.block > 1)
    total = turned.new_zeros(3, turned.shape[0], 1 + design.audio.units + design.lyrics.units)
    paired = design.audio.folded == design.audio.n_samples and design.lyrics.folded == design.lyrics.n_samples
    if not paired:
        a, t = design.audio.n_samples, design.lyrics.n_samples
        flat = [turn(turn(grid, design.lyrics, 2), design.audio, 1) for grid in (turned, fitted_audio, fitted_lyrics)]
        parts = _even_even(_square(*flat), a, t)
        return torch.stack([_gather_units(design, part) for part in parts])
    halves = [slice(0, None, 2), slice(1, None, 2)]
    a, t = design.audio.units, design.lyrics.units
    for heard, rows in enumerate(halves):
        for read, columns in enumerate(halves):
            # A pair's two members are (even ± odd) / √2: the mean square is half that of the turned rows, a side.
            squares = _square(*(grid[:, rows, columns] * 0.5 for grid in (turned, fitted_audio, fitted_lyrics)))
            total += torch.stack(_SECTORS[heard, read](squares, a, t))
    return total


def _gather_units(design: CrossedDesign, part: Float[Tensor, "class row"]) -> Float[Tensor, "class entry"]:
    """Influences of rows summed over pairs, scaled to means over units."""
    value, rows, columns = part.split([1, design.audio.n_samples, design.lyrics.n_samples], 1)
    pieces = [value]
    for side, influence in ((design.audio, rows), (design.lyrics, columns)):
        pairs = influence[:, : side.folded].unflatten(1, (-1, 2)).sum(2)
        pieces.append(torch.cat([pairs, influence[:, side.folded :]], 1) * side.units / side.n_samples)
    return torch.cat(pieces, 1)


def _square(
    grid: Float[Tensor, "class a t"], fitted_audio: Float[Tensor, "class a t"], fitted_lyrics: Float[Tensor, "class a t"]
) -> _Squares:
    by_audio, by_lyrics = grid.mean(2), grid.mean(1)
    mean = by_audio.mean(1, keepdim=True)
    squares, known_a, known_t = grid.square(), fitted_audio.square(), fitted_lyrics.square()
    with_columns, with_rows = (grid * by_lyrics[:, None]).mean(2), (grid * by_audio[:, :, None]).mean(1)
    own_a, own_t = by_audio.square(), by_lyrics.square()
    left_a, left_t = fitted_audio.mean(2).square(), fitted_lyrics.mean(1).square()
    return _Squares(
        cells=_influence(squares.mean((1, 2)), (squares - known_a).mean(2), (squares - known_t).mean(1)),
        audio=_influence(own_a.mean(1), own_a - left_a, 2 * with_rows),
        lyrics=_influence(own_t.mean(1), 2 * with_columns, own_t - left_t),
        mean=_influence(mean[:, 0].square(), 2 * mean * by_audio, 2 * mean * by_lyrics),
    )


def _influence(
    value: Float[Tensor, " class"], by_audio: Float[Tensor, "class a"], by_lyrics: Float[Tensor, "class t"]
) -> Float[Tensor, "class entry"]:
    centred = [part - part.mean(1, keepdim=True) for part in (by_audio, by_lyrics)]
    return torch.cat([value[:, None], *centred], 1)


def _odd_odd(squares: _Squares, a: int, t: int) -> list[Tensor]:
    return [torch.zeros_like(squares.cells), torch.zeros_like(squares.cells), squares.cells]


def _odd_even(squares: _Squares, a: int, t: int) -> list[Tensor]:
    both = squares.mix((t / (t - 1), -t / (t - 1), 0, 0))
    return [squares.audio - both / t, torch.zeros_like(both), both]


def _even_odd(squares: _Squares, a: int, t: int) -> list[Tensor]:
    both = squares.mix((a / (a - 1), 0, -a / (a - 1), 0))
    return [torch.zeros_like(both), squares.lyrics - both / a, both]


def _even_even(squares: _Squares, a: int, t: int) -> list[Tensor]:
    scale = a * t / ((a - 1) * (t - 1))
    both = squares.mix((scale, -scale, -scale, scale))
    heard = squares.mix((0, a / (a - 1), 0, -a / (a - 1))) - both / t
    read = squares.mix((0, 0, t / (t - 1), -t / (t - 1))) - both / a
    return [heard, read, both]


#: By whether the sound's half and the lyrics' half of the pairs is the odd one.
_SECTORS = {(0, 0): _even_even, (0, 1): _even_odd, (1, 0): _odd_even, (1, 1): _odd_odd}
