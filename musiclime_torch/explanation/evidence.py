"""The evidence for a decision: components that alone keep it, and components whose removal flips it.

Both are verified by running the model on them; `evidence_search` finds them.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """Columns of the two sets, None where none was found, with the explained value that the model then gives.

    `decision` describes what is kept or flipped; `variants` is how many were run to find both.
    """

    decision: str
    keeping: tuple[int, ...] | None
    flipping: tuple[int, ...] | None
    output_keeping: float | None
    output_flipping: float | None
    variants: int


def read_evidence(fields: dict[str, Any]) -> Evidence:
    """Evidence from what was saved as JSON."""
    # An empty set is evidence; None means that none was found.
    sets = {name: None if fields[name] is None else tuple(fields[name]) for name in ("keeping", "flipping")}
    return Evidence(**fields | sets)
