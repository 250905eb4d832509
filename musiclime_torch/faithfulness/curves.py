"""Deletion and insertion (Petsiuk et al. 2018): the value while components are removed, or put in, largest first."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.faithfulness.chance import Figure, beside_chance
from musiclime_torch.faithfulness.ladder import Ladder
from musiclime_torch.variants.scale import Scale, to_values


@dataclass(frozen=True)
class Curves:
    """Values over the share of components removed, or put in: in the attributions' order first, then in random ones.

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
    """The area under curves, straight between points.

    >>> float(measure_area(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.0, 0.0, 0.0])))
    0.25
    """
    return torch.trapezoid(values, shares.to(values))
