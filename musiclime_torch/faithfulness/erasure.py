"""Comprehensiveness and sufficiency (DeYoung et al. 2020, ERASER): what is lost without the top, and with the top alone."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from musiclime_torch.faithfulness.chance import Figure, beside_chance
from musiclime_torch.faithfulness.ladder import Ladder
from musiclime_torch.variants.scale import Scale, to_values

#: Of the components, ERASER's own.
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Erasure:
    """What the value loses, by number of components: the attributions' own in the first row. Figures are means over them.

    `comprehensiveness` is what goes with the top components: high where they matter. `sufficiency` is what is missing where
    they stand alone: low where they are enough.
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
    # A tenth of 70 is 7 and a rounding more, which is no eighth component.
    return tuple(math.ceil(round(share * d, 6)) for share in SHARES)


def measure_erasure(ladder: Ladder, scale: Scale) -> Erasure:
    """Both, from a ladder that has the counts of `count_top`."""
    counts = count_top(ladder.counts[-1])
    places = [ladder.counts.index(count) for count in counts]
    song = to_values(scale, scale.song[None])[0, scale.column]
    without, alone = (
        (song - to_values(scale, outputs[:, places])[..., scale.column]).cpu() for outputs in (ladder.removed, ladder.kept)
    )
    return Erasure(counts, without, alone, beside_chance(without.mean(1)), beside_chance(alone.mean(1)))
