"""What the model loses when top components are removed, or keeps when they are left alone, against random orders.

Comprehensiveness and sufficiency (DeYoung et al. 2020, ERASER) remove or keep a share of the components. Deletion and
insertion (Petsiuk et al. 2018, RISE) remove them, or put them in, one by one, largest first. Flips ask whether the
decision changes without the top one, three or five.

Fidelity is the R² of the attributions' sums on masks that they weren't fitted to; infidelity (Yeh et al. 2019, eq. 1) the
squared difference between their sums and the drops that removals make, averaged.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.explanation.evidence import measure_margin
from musiclime_torch.faithfulness.stability import Deal, Figure, Ladder, beside_chance, climb
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, to_values


def measure_fidelity(
    attributions: Float[Tensor, "*rows d"],
    masks: Bool[Tensor, "n d"],
    weights: Float[Tensor, " n"],
    values: Float[Tensor, " n"],
) -> Float[Tensor, "*rows"]:
    """R²: 1 − variance of (value − attributions kept) / variance of the value, both under the row weights.

    A constant is free, for attributions don't include one. 1 where they explain everything, also where the value doesn't
    vary at all; below 0 where a constant alone would explain more.

    >>> kept = torch.tensor([[True, True], [True, False], [False, True], [False, False]])
    >>> float(measure_fidelity(torch.tensor([1.0, 2.0]), kept, torch.ones(4), torch.tensor([8.0, 6.0, 7.0, 5.0])))
    1.0
    """
    # The sum over kept components is the surrogate without its intercept. Variances ignore the mean, so the best constant is
    # taken out without solving for it.
    values = values.double()
    left = values - attributions.to(values) @ masks.to(values).T
    missed, spread = _vary(left, weights), _vary(values, weights)
    # A value that is NaN somewhere has the spread NaN, which isn't 0: its fidelity stays NaN and can't pass for 1.
    return torch.where(spread == 0, 1.0, 1 - missed / torch.where(spread == 0, 1.0, spread))


def _vary(values: Float[Tensor, "*rows n"], weights: Float[Tensor, " n"]) -> Float[Tensor, "*rows"]:
    share = weights.to(values) / weights.to(values).sum()
    return (share * (values - (share * values).sum(-1, keepdim=True)).square()).sum(-1)


def measure_infidelity(
    attributions: Float[Tensor, "*rows d"],
    masks: Bool[Tensor, "n d"],
    drops: Float[Tensor, " n"],
    *,
    normalize: bool = False,
) -> Float[Tensor, "*rows"]:
    """Mean over variants of (attributions removed − drop)², as Captum's `infidelity` with 1 − mask as the perturbation.

    Args:
        attributions: one row or several.
        masks: of the variants, True = kept.
        drops: the value on the song less the value on each variant.
        normalize: first scale the attributions by the factor that fits best, as Captum does.

    >>> kept = torch.tensor([[True, False], [False, False]])
    >>> float(measure_infidelity(torch.tensor([1.0, 2.0]), kept, torch.tensor([2.0, 4.0])))
    0.5
    """
    # Eq. 1: E[(Iᵀ φ − (f(x) − f(x − I)))²] with the perturbation I = 1 − mask: Iᵀ φ sums the attributions of what was
    # removed.
    promised = attributions.double() @ (~masks).double().T
    drops = drops.to(promised)
    if normalize:
        # The least-squares factor of the drops on the promised ones: <p, drop> / <p, p>.
        square = promised.square().sum(-1, keepdim=True)
        factor = (promised * drops).sum(-1, keepdim=True) / square.clamp_min(torch.finfo(torch.float64).tiny)
        promised = promised * factor
    return (promised - drops).square().mean(-1)


#: Shares of the components, those of ERASER.
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)

#: Numbers of components removed.
COUNTS = (1, 3, 5)


@dataclass(frozen=True)
class Erasure:
    """What the value loses, by number of components, the attributions' own order in the first row; figures are means over
    the numbers.

    `comprehensiveness` is what is lost without the top components: high where they matter. `sufficiency` is what is missing
    with them alone: low where they are enough.
    """

    counts: tuple[int, ...]
    without: Float[Tensor, "order count"]
    alone: Float[Tensor, "order count"]
    comprehensiveness: Figure
    sufficiency: Figure


def count_top(d: int) -> tuple[int, ...]:
    """How many components the shares are of d, one at least.

    >>> count_top(140), count_top(70)
    ((2, 7, 14, 28, 70), (1, 4, 7, 14, 35))
    """
    # In floating point a tenth of 70 is slightly more than 7, which must not be rounded up to 8.
    return tuple(math.ceil(round(share * d, 6)) for share in SHARES)


def measure_erasure(ladder: Ladder, scale: Scale) -> Erasure:
    """Comprehensiveness and sufficiency, from a ladder with the counts of `count_top`."""
    counts = count_top(ladder.counts[-1])
    places = [ladder.counts.index(count) for count in counts]
    # Comprehensiveness is f(song) − f(song without the top), sufficiency f(song) − f(top alone): eqs. 1 and 2 of ERASER,
    # with the mean over shares as their AOPC.
    song = to_values(scale, scale.song[None])[0, scale.column]
    without, alone = (
        (song - to_values(scale, outputs[:, places])[..., scale.column]).cpu() for outputs in (ladder.removed, ladder.kept)
    )
    return Erasure(counts, without, alone, beside_chance(without.mean(1)), beside_chance(alone.mean(1)))


@dataclass(frozen=True)
class Curves:
    """Values over the share of components removed, or inserted: in the attributions' order first, then in random ones.

    The areas are means of the curves: low for deletion and high for insertion where the first components matter most.
    """

    shares: Float[Tensor, " point"]
    deletion: Float[Tensor, "order point"]
    insertion: Float[Tensor, "order point"]
    deletion_area: Figure
    insertion_area: Figure


def measure_curves(ladder: Ladder, scale: Scale) -> Curves:
    """Curves and areas of a ladder that goes from nothing to everything, on a scale."""
    shares = torch.tensor(ladder.counts, dtype=torch.float64) / ladder.counts[-1]
    deletion, insertion = (to_values(scale, outputs)[..., scale.column].cpu() for outputs in (ladder.removed, ladder.kept))
    areas = [beside_chance(measure_area(shares, values)) for values in (deletion, insertion)]
    return Curves(shares, deletion, insertion, *areas)


def measure_area(shares: Float[Tensor, " point"], values: Float[Tensor, "*rows point"]) -> Float[Tensor, "*rows"]:
    """The area under curves that are linear between points.

    >>> float(measure_area(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.0, 0.0, 0.0])))
    0.25
    """
    return torch.trapezoid(values, shares.to(values))


@dataclass(frozen=True)
class Flips:
    """By number of components removed: 1 where the decision flips and 0 where not, with the share of random removals that
    flip it.
    """

    counts: tuple[int, ...]
    figures: tuple[Figure, ...]


def measure_flips(probe: Probe, scale: Scale, dealt: Deal) -> Flips:
    """Remove what contributes most to the decision, and see whether it is still made.

    The decision is that of `evidence`: the target first among the classes, above its foil, or on (where labels don't
    exclude each other). Where the decision is against the target, what contributes against it is removed.
    """
    counts = tuple(count for count in COUNTS if count <= dealt.orders.shape[1])
    # Removing what contributes against the target couldn't flip a decision against it; so for such a decision the order is
    # turned round.
    decided = measure_margin(scale.song[None], scale) > 0
    orders = dealt.orders if bool(decided) else dealt.orders.flip(1)
    margins = measure_margin(climb(probe, scale, orders, counts).removed.flatten(0, 1), scale)
    flipped = ((margins > 0) != decided).to(torch.float64).unflatten(0, (len(orders), len(counts)))
    return Flips(counts, tuple(beside_chance(column) for column in flipped.T))
