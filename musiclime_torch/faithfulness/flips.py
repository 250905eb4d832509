"""Whether the decision flips without its top components, one, three and five of them."""

from dataclasses import dataclass

import torch

from musiclime_torch.explanation.evidence_search import measure_margin
from musiclime_torch.faithfulness.chance import Deal, Figure, beside_chance
from musiclime_torch.faithfulness.ladder import climb
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale

#: Components removed.
COUNTS = (1, 3, 5)


@dataclass(frozen=True)
class Flips:
    """By number of components removed: 1 where the decision flips and 0 where not, beside the share of random removals that
    flip it.
    """

    counts: tuple[int, ...]
    figures: tuple[Figure, ...]


def measure_flips(probe: Probe, scale: Scale, dealt: Deal) -> Flips:
    """Remove what speaks most for the decision, and see whether it is still made.

    The decision is that of `evidence`: the target first among the classes, above its foil, or on (where labels don't
    exclude each other). Where the target isn't decided for, what speaks against it goes.
    """
    counts = tuple(count for count in COUNTS if count <= dealt.orders.shape[1])
    decided = measure_margin(scale.song[None], scale) > 0
    orders = dealt.orders if bool(decided) else dealt.orders.flip(1)
    margins = measure_margin(climb(probe, scale, orders, counts).removed.flatten(0, 1), scale)
    flipped = ((margins > 0) != decided).to(torch.float64).unflatten(0, (len(orders), len(counts)))
    return Flips(counts, tuple(beside_chance(column) for column in flipped.T))
