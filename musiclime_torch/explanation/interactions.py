"""What two components do together beyond what each does alone, and how much of a decision hangs on both modalities."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.arguments import find_class
from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.intervals import discover, quantile
from musiclime_torch.variants.components import Component, Components

_TENSORS = ("columns", "values", "standard_errors", "degrees_of_freedom", "explained", "parts", "part_errors")

#: What `parts` holds, in order.
PARTS = ("sound alone", "words alone", "both together")


@dataclass(frozen=True, eq=False)
class Interactions:
    """Pairs of components, on every scale the outputs offer; coefficients are Banzhaf interaction indices.

    `columns` are the pairs' two columns. `explained` is the share of the outputs' variance that all pairs together account
    for, freed of the noise in their squares. `parts` are the shares of the sound alone, the words alone and both together,
    of any order; no rows where the masks were not crossed, for they can't be told apart then. `rate` is the share of
    false finds that `top` allows.
    """

    components: Components
    classes: tuple[str, ...]
    target: int
    spaces: tuple[str, ...]
    rate: float
    part_freedom: float
    columns: Int[Tensor, "pair 2"]
    values: Float[Tensor, "space class pair"]
    standard_errors: Float[Tensor, "space class pair"]
    degrees_of_freedom: Float[Tensor, "space class pair"]
    explained: Float[Tensor, "space class"]
    parts: Float[Tensor, "part_space class 3"]
    part_errors: Float[Tensor, "part_space class 3"]

    @property
    def default_space(self) -> str:
        """Probabilities where there are any: in logits the two sides of many models hardly meet."""
        return "probability" if "probability" in self.spaces else self.spaces[0]

    @cached_property
    def half_width(self) -> Float[Tensor, "space class pair"]:
        """Half the interval of each pair for itself."""
        return self.standard_errors * quantile(self.degrees_of_freedom, 1 - self.rate).to(self.standard_errors)

    @cached_property
    def significant(self) -> Bool[Tensor, "space class pair"]:
        """Pairs that are significant, with at most `rate` false ones among those of a class (Benjamini-Hochberg)."""
        found = discover(self.values, self.standard_errors, self.degrees_of_freedom, self.rate)
        # A thousandth of a millionth of the spread of all pairs is rounding, whatever its standard error.
        floor = 1e-6 * self.values.abs().amax(-1, keepdim=True).clamp_min(1e-12)
        return found & (self.values.abs() > floor)

    def find_space(self, space: str | None) -> int:
        """Index of a scale by name, the default one for None; InputError lists what there is."""
        name = space or self.default_space
        if name == "log-odds" and "log-odds" not in self.spaces and "logit" in self.spaces:
            name = "logit"  # of independent sigmoids, where they are the same
        if name not in self.spaces:
            raise InputError(f"interactions were not solved as {name}: choose {' or '.join(self.spaces)}.")
        return self.spaces.index(name)

    def top(
        self, k: int, target: int | str | None = None, space: str | None = None
    ) -> list[tuple[Component, Component, float, float]]:
        """The k largest pairs that are significant: (component, component, interaction, half width)."""
        scale, row = self.find_space(space), self.target if target is None else find_class(target, self.classes)
        order = self.values[scale, row].abs().argsort(descending=True, stable=True)
        shown = order[self.significant[scale, row][order]][:k].tolist()
        items = self.components.items
        return [
            (
                items[int(self.columns[pair, 0])],
                items[int(self.columns[pair, 1])],
                float(self.values[scale, row, pair]),
                float(self.half_width[scale, row, pair]),
            )
            for pair in shown
        ]

    def part(self, target: int | str | None = None, space: str | None = None) -> list[tuple[str, float, float]]:
        """(part, share of the variance, half width of its interval) of `PARTS`; empty where masks were not crossed."""
        scale, row = self.find_space(space), self.target if target is None else find_class(target, self.classes)
        if not len(self.parts):
            return []
        half = self.part_errors[scale, row] * quantile(torch.tensor(self.part_freedom), 1 - self.rate)
        return list(zip(PARTS, self.parts[scale, row].tolist(), half.tolist(), strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """What is saved as tensors, by name."""
        return {f"interactions.{name}": getattr(self, name).contiguous() for name in _TENSORS}

    def fields(self) -> dict[str, Any]:
        """What else is saved, as JSON takes it; the rest is the explanation's."""
        return {"spaces": list(self.spaces), "rate": self.rate, "part_freedom": self.part_freedom}


def read_interactions(
    fields: dict[str, Any], tensors: dict[str, Tensor], components: Components, classes: tuple[str, ...], target: int
) -> Interactions:
    """Interactions from what `tensors` and `fields` gave to a file."""
    own = {name: tensors[f"interactions.{name}"] for name in _TENSORS}
    spaces = tuple(fields["spaces"])
    return Interactions(components, classes, target, spaces, fields["rate"], fields["part_freedom"], **own)
