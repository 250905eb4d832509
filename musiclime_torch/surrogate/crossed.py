"""The surrogate of a crossed design: main effects of both sides and all their interactions, in closed form.

Values are a grid, one for every pair of an audio mask and a lyric mask. With weights that are one vector a side the least
squares of an intercept, the main effects and all audio × lyrics products fall apart into four blocks, solved by one small
matrix a side, in float64; orthogonal sides need none (`sectors`). Grids are worked on a few classes at a time, on their own
device; nothing waits for the host.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.surrogate.crossed_errors import estimate_errors, project
from musiclime_torch.surrogate.design import CrossedDesign
from musiclime_torch.surrogate.fit import DEPENDENT, Known, pick
from musiclime_torch.surrogate.mixed import is_mixed, reduce_mixed
from musiclime_torch.surrogate.pairs import PairFit
from musiclime_torch.surrogate.sectors import is_signed, judge, reduce_grid
from musiclime_torch.surrogate.sides import Side, lay_side, split_classes, turn


@dataclass(frozen=True)
class CrossedFit:
    """`main` are the main effects of all classes (class, d), the audio's first. `coefficients` are a table for each class
    that was `kept`, (kept, 1 + audio columns, 1 + lyric columns): row 0 holds the lyrics' main effects, column 0 the
    audio's, [0, 0] the mean, and the rest the interactions.

    `total` is the outputs' variance over the grid. `pivots` are those of the audio's columns, then the lyrics'.
    """

    main: Known
    coefficients: Known
    kept: tuple[int, ...]
    intercept: Float[Tensor, " class"]
    fidelity: Float[Tensor, " class"]
    total: Float[Tensor, " class"]
    pivots: Float[Tensor, " d"]

    @property
    def dependent(self) -> Bool[Tensor, " d"]:
        """Columns that are combinations of earlier ones: their coefficients mean nothing."""
        return ~(self.pivots > DEPENDENT)


# From the formulas to the code below. With masks a of the audio and t of the lyrics, bases B = [1, x − x̄] on either side
# and weights w_a w_t, the model is Y = B_a Θ B_tᵀ + E, and least squares asks for
#     (B_aᵀ W_a B_a) Θ (B_tᵀ W_t B_t) = B_aᵀ W_a Y W_t B_t.
# Weights sum to one and masks are centred by them, so that Bᵀ W B = diag(1, G) on each side. The equations fall apart:
#     Θ = P_a Y P_tᵀ,    P = diag(1, G⁻¹) Bᵀ W,
# with the mean, the two rows of main effects and the interactions as four blocks that don't depend on each other. P is
# `Side.influence`, B is `Side.basis`. No matrix of na × nt rows is ever formed: Y P_tᵀ has the lyrics' coefficients under
# each audio mask, P_a Y the audio's under each lyric mask (`project`), and their products with the other P are Θ.
#
# The additive surrogate explains β_aᵀ G_a β_a + β_tᵀ G_t β_t of the variance, as the two sides are independent on a grid.
# The errors are derived in `crossed_errors`.


def solve_crossed(
    design: CrossedDesign, values: Float[Tensor, "class na nt"], kept: Sequence[int] | None = None
) -> CrossedFit:
    """Fit every class; interactions of the classes that are `kept` alone, by number, None for all.

    Errors are clustered two ways (Cameron, Gelbach & Miller 2011): by the audio's sampling units, by the lyrics', less what
    single cells put into both.
    """
    return _solve_signed(design, values, kept) if is_mixed(design) else _solve_any(design, values, kept)


def _solve_signed(design: CrossedDesign, values: Float[Tensor, "class na nt"], kept: Sequence[int] | None) -> CrossedFit:
    """Both sides orthogonal: their masks have mean zero, and βᵀ G β is a quarter of the squares of the slopes."""
    sums = (reduce_grid if is_signed(design) else reduce_mixed)(design, values, kept)
    pivots = sums.table.new_ones(sum(sums.table.shape[1:]) - 2)
    main, tables = judge(design, sums, kept)
    missed = sums.spread - main.values.square().sum(1) / 4
    return _gather((main, tables), kept, sums.table[:, 0, 0] - main.values.sum(1) / 2, sums.spread, missed, pivots)


def _solve_any(design: CrossedDesign, values: Float[Tensor, "class na nt"], kept: Sequence[int] | None) -> CrossedFit:
    audio, lyrics = lay_side(design.audio), lay_side(design.lyrics)
    numbers = list(range(len(values)) if kept is None else kept)
    # Allocate the results first: allocated between the temporaries of every few classes they fragment the heap
    # (benchmarks/overhead/head.py: a peak of 11 GiB instead of 3).
    d = len(audio.influence) + len(lyrics.influence) - 2
    shape = (len(numbers), len(audio.influence), len(lyrics.influence))
    main, tables = (
        Known(*(values.new_empty(*sizes, dtype=torch.float64) for _ in range(3))) for sizes in ((len(values), d), shape)
    )
    centre, total, missed = (values.new_empty(len(values), dtype=torch.float64) for _ in range(3))
    for rows in split_classes(values):
        part, total[rows], missed[rows] = _solve_classes(design, audio, lyrics, values[rows])
        centre[rows] = part.values[:, 0, 0]
        places = [(place, number - rows.start) for place, number in enumerate(numbers) if number in range(len(values))[rows]]
        for name, table in vars(part).items():
            getattr(main, name)[rows] = _join_main(table)
            for place, number in places:
                getattr(tables, name)[place] = table[number]
    off = main.values @ (torch.cat([audio.mask_mean, lyrics.mask_mean]) + 0.5)
    return _gather((main, tables), kept, centre - off, total, missed, torch.cat([audio.pivots, lyrics.pivots]))


def _gather(
    known: tuple[Known, Known],
    kept: Sequence[int] | None,
    intercept: Float[Tensor, " class"],
    total: Float[Tensor, " class"],
    missed: Float[Tensor, " class"],
    pivots: Float[Tensor, " d"],
) -> CrossedFit:
    fidelity = torch.where(total > 0, 1 - missed / total, torch.ones_like(total))
    return CrossedFit(*known, tuple(range(len(total)) if kept is None else kept), intercept, fidelity, total, pivots)


def list_interactions(fit: CrossedFit) -> PairFit:
    """The audio × lyrics interactions of the classes that were kept, as pairs of columns; what they explain is freed of the
    noise in their squares.
    """
    known, total = fit.coefficients, pick(fit.total, fit.kept)
    values, errors, freedom = (table[:, 1:, 1:].flatten(1) for table in (known.values, known.errors, known.freedom))
    da, dt = known.values.shape[1] - 1, known.values.shape[2] - 1
    device = values.device
    columns = torch.cartesian_prod(torch.arange(da, device=device), da + torch.arange(dt, device=device))
    # A product of two columns ±½ is ±¼: its variance is 1/16.
    explained = (values.square() - errors.square()).sum(1) / 16
    share = torch.where(total > 0, explained / total, torch.zeros_like(explained))
    return PairFit(columns, Known(values, errors, freedom), share)


def _solve_classes(
    design: CrossedDesign, audio: Side, lyrics: Side, values: Float[Tensor, "class na nt"]
) -> tuple[Known, Float[Tensor, " class"], Float[Tensor, " class"]]:
    """A few classes: their tables, the variance over the grid, and what of it the main effects leave unexplained."""
    wide = values.double()
    total = _measure_spread(design, wide)
    turned = turn(turn(wide, design.audio, 1), design.lyrics, 2)
    projected = project(audio, lyrics, turned)
    table = projected.table
    known = estimate_errors(design, audio, lyrics, turned, projected)
    return known, total, total - _explain(audio, table[:, 1:, 0]) - _explain(lyrics, table[:, 0, 1:])


def _measure_spread(design: CrossedDesign, values: Float[Tensor, "class na nt"]) -> Float[Tensor, " class"]:
    """The weighted variance of each class over the grid."""
    audio, lyrics = (side.weights.double() / side.weights.double().sum() for side in (design.audio, design.lyrics))
    mean = ((values @ lyrics) @ audio)[:, None, None]
    return ((values - mean).square() @ lyrics) @ audio


def _explain(side: Side, slopes: Float[Tensor, "class d"]) -> Float[Tensor, " class"]:
    """βᵀ G β: the variance that one side's main effects account for."""
    return (slopes @ side.gram * slopes).sum(1)


def _join_main(table: Float[Tensor, "class audio lyric"]) -> Float[Tensor, "class d"]:
    return torch.cat([table[:, 1:, 0], table[:, 0, 1:]], 1)
