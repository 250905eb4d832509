"""All classes' numbers in compact form: each is rounded to what the page shows, as 16-bit multiples of a power of ten."""

import base64
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.sentences import find_probabilities, say_percent, to_sentences
from musiclime_torch.surrogate.intervals import quantile
from musiclime_torch.views.page.document import isolate

#: The most bytes for the numbers of all classes in a page; beyond that, classes with the smallest outputs are left out.
ROOM = 560_000
#: The most pairs shown per class.
MOST_PAIRS = 8
#: The largest 16-bit value, for half widths that are too large to be written.
UNBOUNDED = 32767


@dataclass(frozen=True)
class Packed:
    """The classes that fit into a page, and how many there are."""

    classes: list[dict[str, Any]]
    shown: int
    total: int


def pack_classes(explanation: Explanation) -> Packed:
    """The target first, then the two sides of a contrast, then the rest by the output on the song."""
    # Per component two numbers of two bytes and two bits, in base64; 1,500 bytes for the other fields of a class.
    each = math.ceil(len(explanation.components) * 4.25 * 4 / 3) + 1500
    # At least two classes, so that there is something to switch to.
    rows = order_classes(explanation)[: max(ROOM // each, 2)]
    ends = [find_probabilities(explanation, outputs) for outputs in (explanation.output_song, explanation.output_empty)]
    packed = [
        _pack_class(explanation, row) | dict(zip(("chance", "chanceEmpty"), _say(ends, row), strict=True)) for row in rows
    ]
    return Packed(packed, len(rows), len(explanation.classes))


def order_classes(explanation: Explanation) -> list[int]:
    """Rows of the classes: the target, the two sides of a contrast, then the rest by falling output."""
    target, names = explanation.target, explanation.classes
    by_output = [int(row) for row in explanation.output_song.argsort(descending=True, stable=True)]
    sides = [row for row in by_output if names[target] in (f"{names[row]} rather than {other}" for other in names)]
    sides += [row for row in by_output if names[target] in (f"{other} rather than {names[row]}" for other in names)]
    return list(dict.fromkeys([target, *sides, *by_output]))


def tell(explanation: Explanation, row: int) -> str:
    """What the explanation says of a class in words, fit to stand in a page beside names of any script."""
    names = [*explanation.classes, *(item.name for item in explanation.components.items)]
    return isolate(" ".join(to_sentences(explanation, row)), names)


def _say(ends: list[list[float] | None], row: int) -> list[str]:
    """A class's probability on the song and on the empty one as percentages; "" where it has none, as a contrast has."""
    return [say_percent(chances[row]) if chances and row < len(chances) else "" for chances in ends]


def _pack_class(explanation: Explanation, row: int) -> dict[str, Any]:
    values, halves = explanation.attributions[row], explanation.half_width[row]
    decimals = choose_decimals(values, halves)
    significant = explanation.significant[row]
    return {
        "name": explanation.classes[row],
        "sentences": tell(explanation, row),
        "song": round_to(float(explanation.output_song[row]), 5),
        "empty": round_to(float(explanation.output_empty[row]), 5),
        "remainder": round_to(float(explanation.remainder[row]), 5),
        "fidelity": round_to(float(explanation.fidelity[row]), 3),
        "error": round_to(_typical(explanation.standard_errors[row], explanation), 2),
        "decimals": decimals,
        "values": pack_steps(values, decimals),
        "halves": pack_steps(halves, decimals),
        "told": _pack_bits(significant),
        **_pack_pairs(explanation, row),
    }


def choose_decimals(values: Float[Tensor, " d"], halves: Float[Tensor, " d"]) -> int:
    """Decimals that give the largest attribution four figures; a negative number rounds to tens and more.

    >>> choose_decimals(torch.tensor([0.012345]), torch.tensor([0.001]))
    5
    """
    finite = halves[halves.isfinite()]
    largest = max(float(values.abs().max()), float(finite.max()) / 3 if len(finite) else 0.0) if len(values) else 0.0
    return 3 - math.floor(math.log10(largest)) if 0 < largest < math.inf else 3


def pack_steps(numbers: Float[Tensor, " d"], decimals: int) -> str:
    """Base64 of little-endian 16-bit integers, in steps of 10^-decimals."""
    # Four figures of the largest attribution are at most 9,999 steps; an int16 holds three times that, for wide intervals.
    steps = torch.nan_to_num(numbers.double() * 10.0**decimals, UNBOUNDED, UNBOUNDED, -UNBOUNDED)
    integers = steps.round().clamp(-UNBOUNDED, UNBOUNDED).to(torch.int16)
    return base64.b64encode(integers.numpy().astype("<i2").tobytes()).decode()


def _pack_bits(significant: Bool[Tensor, " d"]) -> str:
    import numpy as np

    return base64.b64encode(np.packbits(significant.numpy(), bitorder="little").tobytes()).decode()


def _pack_pairs(explanation: Explanation, row: int) -> dict[str, Any]:
    interactions = explanation.interactions
    # Without its pairs the page says that they were left out.
    if interactions is None or not interactions.covers(row):
        return {}
    space = interactions.default_space
    scale = interactions.find_space(space)
    place = interactions.find_row(row)
    values, significant = interactions.values[scale, place], interactions.significant[scale, place]
    told = int(significant.count_nonzero())
    # Pairs that are not significant count as 0, which no significant one is, so that the largest are significant.
    shown = (values.abs() * significant).topk(min(MOST_PAIRS, told)).indices
    # A long song has hundreds of thousands of pairs: intervals are computed for the shown ones only.
    freedom = interactions.degrees_of_freedom[scale, place, shown]
    halves = interactions.standard_errors[scale, place, shown] * quantile(freedom, 1 - interactions.risk)
    pairs = [
        [*interactions.columns[pair].tolist(), round_to(float(values[pair]), 4), round_to(half, 2)]
        for pair, half in zip(shown.tolist(), halves.tolist(), strict=True)
    ]
    parts = [[part, round(share, 3), round_to(half, 2)] for part, share, half in interactions.shares(row, space)]
    return {
        "pairs": pairs,
        "pairsTold": told,
        "explained": round(max(float(interactions.explained[scale, place]), 0.0), 4),
        "parts": parts,
    }


def _typical(errors: Float[Tensor, " d"], explanation: Explanation) -> float:
    """The median over the components that the model can notice."""
    seen = list(explanation.components.seen(explanation.unseen))
    return float(errors[seen].median()) if seen else 0.0


def round_to(number: float, figures: int) -> float | None:
    """A number rounded to significant figures; None for NaN and infinity, which JSON can't hold.

    >>> round_to(0.0123456, 3)
    0.0123
    """
    if not math.isfinite(number):
        return None
    return round(number, figures - 1 - math.floor(math.log10(abs(number)))) if number else 0.0
