"""What two components do together beyond what each does alone, and how much of a decision depends on either modality and
on both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.arguments import find_class
from musiclime_torch.basics.errors import InputError
from musiclime_torch.surrogate.intervals import discover, quantile
from musiclime_torch.variants.scale import Scale

_TENSORS = ("columns", "values", "standard_errors", "degrees_of_freedom", "explained", "parts", "part_errors")

#: Classes whose interactions are solved unless more are asked for: no view shows more at a time.
FEW = 10

#: What `parts` holds, in order.
PARTS = ("sound alone", "words alone", "both together")


@dataclass(frozen=True, eq=False)
class Interactions:
    """Pairs of components, on every scale the outputs offer; coefficients are Banzhaf interaction indices.

    `columns` are the pairs' two columns. `explained` is the share of the outputs' variance that all pairs together account
    for, freed of the noise in their squares. `parts` are the shares of the audio alone, the words alone and both together,
    of any order; no rows where the masks were not crossed, because only crossed masks separate them. `risk` is the
    explanation's. Tensors have a row for each of the `classes`, by number, whose interactions were solved.
    """

    spaces: tuple[str, ...]
    classes: tuple[int, ...]
    risk: float
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
        """Probabilities where there are any: in logits the two sides of many models hardly interact."""
        return "probability" if "probability" in self.spaces else self.spaces[0]

    @cached_property
    def half_width(self) -> Float[Tensor, "space class pair"]:
        """Half the width of each single interval."""
        return self.standard_errors * quantile(self.degrees_of_freedom, 1 - self.risk).to(self.standard_errors)

    @cached_property
    def significant(self) -> Bool[Tensor, "space class pair"]:
        """Pairs that are significant; on average at most a share `risk` of a class's are false (Benjamini-Hochberg)."""
        discovered = discover(self.values, self.standard_errors, self.degrees_of_freedom, self.risk)
        # Anything below a millionth of the largest pair is rounding, whatever its standard error.
        smallest, largest = self.values.aminmax(dim=-1, keepdim=True)
        floor = 1e-6 * torch.maximum(-smallest, largest).clamp_min(1e-12)
        return discovered & ((self.values > floor) | (self.values < -floor))

    def find_space(self, space: str | None) -> int:
        """Index of a scale by name, the default one for None; InputError lists what there is."""
        name = space or self.default_space
        if name == "log-odds" and "log-odds" not in self.spaces and "logit" in self.spaces:
            name = "logit"  # equal for independent sigmoids
        if name not in self.spaces:
            raise InputError(f"interactions were not solved as {name}: choose {' or '.join(self.spaces)}.")
        return self.spaces.index(name)

    def covers(self, row: int) -> bool:
        """Whether a class's interactions were solved."""
        return row in self.classes

    def find_row(self, row: int) -> int:
        """The row of a class; InputError where its interactions were left out."""
        if not self.covers(row):
            raise InputError(f"{say_left_out(row)}.", argument="interactions")
        return self.classes.index(row)

    def rank(self, row: int, space: str | None = None) -> list[int]:
        """Numbers of a class's significant pairs, largest first; InputError where they were left out."""
        scale, place = self.find_space(space), self.find_row(row)
        order = self.values[scale, place].abs().argsort(descending=True, stable=True)
        return [int(pair) for pair in order[self.significant[scale, place][order]]]

    def shares(self, row: int, space: str | None = None) -> list[tuple[str, float, float]]:
        """(part, share of the variance, half width of its interval) of `PARTS`; empty where masks were not crossed.

        InputError where the class's interactions were left out.
        """
        scale, place = self.find_space(space), self.find_row(row)
        if not len(self.parts):
            return []
        # Shares come from mean squares over the pairs of masks of each side, so their errors have few degrees of freedom:
        # one less than the pairs of the smaller side. Student's quantile allows for that.
        half = self.part_errors[scale, place] * quantile(torch.tensor(self.part_freedom), 1 - self.risk)
        return list(zip(PARTS, self.parts[scale, place].tolist(), half.tolist(), strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """What is saved as tensors, by name."""
        return {f"interactions.{name}": getattr(self, name).contiguous() for name in _TENSORS}

    def fields(self) -> dict[str, Any]:
        """What else is saved, as JSON takes it."""
        return {
            "spaces": list(self.spaces),
            "classes": list(self.classes),
            "risk": self.risk,
            "part_freedom": self.part_freedom,
        }


def say_left_out(name: int | str) -> str:
    """That a class's interactions weren't solved, and how to get them.

    >>> say_left_out("sad")
    "interactions of 'sad' were left out: explain with interactions='all', or with interactions=['sad']"
    """
    what = repr(name) if isinstance(name, str) else f"class {name}"
    return f"interactions of {what} were left out: explain with interactions='all', or with interactions=[{name!r}]"


def choose_classes(asked: str | Sequence[int | str], scale: Scale, song: Float[Tensor, " class"]) -> tuple[int, ...]:
    """Numbers of the classes whose interactions are solved: all, or the target, the foil and their contrast, those that are
    asked for by name, and the largest of the `song`'s values, until they are `FEW`.
    """
    if asked == "all":
        return tuple(range(len(scale.classes)))
    chosen = {scale.column % len(scale.classes), scale.target, scale.target if scale.foil is None else scale.foil}
    if not isinstance(asked, str):
        chosen |= {find_class(name, scale.classes) for name in asked}
    for row in song.argsort(descending=True, stable=True).tolist():
        if len(chosen) >= FEW:
            break
        chosen.add(row)
    return tuple(sorted(chosen))


def read_interactions(fields: dict[str, Any], tensors: dict[str, Tensor]) -> Interactions:
    """Interactions from what `tensors` and `fields` gave to a file."""
    saved = {name: tensors[f"interactions.{name}"] for name in _TENSORS}
    # Files of format 3 have all classes.
    classes = tuple(fields.get("classes", range(saved["values"].shape[1])))
    return Interactions(tuple(fields["spaces"]), classes, fields["risk"], fields["part_freedom"], **saved)
