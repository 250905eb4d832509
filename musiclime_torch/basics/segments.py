"""How a song is cut in time, as people write it: a number of equal segments, a length, or cut points."""

import operator
from collections.abc import Sequence
from typing import Any, NoReturn, SupportsIndex

from musiclime_torch.basics.errors import InputError

#: A number of equal segments, "3s" for a length, or cut points in seconds, as numbers or as text.
Segments = SupportsIndex | str | Sequence[float]


def read_segments(segments: Any) -> int | str | list[float]:
    """Segments as files take them: numbers are Python's own, text is left as it is; InputError for anything else.

    >>> import numpy as np
    >>> read_segments(np.int64(3)), read_segments(np.array([4, 5.5])), read_segments("3s")
    (3, [4.0, 5.5], '3s')
    """
    if isinstance(segments, str):
        return segments
    try:
        return int(operator.index(segments))
    except TypeError:
        pass  # then it may be cut points
    try:
        return [float(point) for point in segments]
    except (TypeError, ValueError):
        refuse_segments(segments)


def refuse_segments(segments: object) -> NoReturn:
    """InputError with the forms that are understood."""
    raise InputError(
        f"segments {segments!r} are not understood: give a number of equal segments (10), a length (3s) or "
        f"cut points in seconds (12,30.5,61).",
        argument="segments",
    ) from None
