"""Whole numbers, whoever made them: numpy's become Python's own, the only ones that files and generators take."""

import operator
from typing import Any

from musiclime_torch.basics.errors import InputError


def read_integer(value: Any, name: str) -> int:
    """The value as an `int`; InputError for what is no whole number, with the argument's `name`.

    >>> import numpy as np
    >>> read_integer(np.int64(3), "seed")
    3
    """
    try:
        return int(operator.index(value))
    except TypeError:
        raise InputError(f"{name} {value!r} is not a whole number: give one, such as 3.") from None
