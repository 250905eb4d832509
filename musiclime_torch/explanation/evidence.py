"""The evidence for a decision: components that alone keep it, and components whose removal flips it, both run and seen.

Candidates are taken in the order of their attributions, or one by one as they do most where no number of the first will do,
and thinned out until none can be spared (local minima: no single component may be left out, though quite other sets may be
smaller). Every step is one batched pass.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """Columns of the two sets, None where none was found, with the explained value that the model then gives.

    `decision` says in words what is kept or flipped; `variants` is how many were looked at to find both.
    """

    decision: str
    keeping: tuple[int, ...] | None
    flipping: tuple[int, ...] | None
    output_keeping: float | None
    output_flipping: float | None
    variants: int


def read_evidence(fields: dict[str, Any]) -> Evidence:
    """Evidence from what was saved as JSON."""
    # An empty set is evidence, None is that there is none.
    sets = {name: None if fields[name] is None else tuple(fields[name]) for name in ("keeping", "flipping")}
    return Evidence(**fields | sets)
