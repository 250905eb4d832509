"""Arguments checked and brought into one form: names from a `Literal`, classes by name or number, integers."""

import operator
from typing import Any, SupportsIndex, get_args

from musiclime_torch.basics.errors import InputError


def check_name(name: object, known: Any, what: str) -> None:
    """InputError for a name that the `Literal` doesn't list.

    >>> from typing import Literal
    >>> check_name("tea", Literal["coffee", "milk"], "drink")
    Traceback (most recent call last):
    musiclime_torch.basics.errors.InputError: drink 'tea' is not known: use coffee or milk.
    """
    names = get_args(known)
    if not isinstance(name, str) or name not in names:
        raise InputError(f"{what} {name!r} is not known: use {', '.join(names[:-1])} or {names[-1]}.")


def find_class(target: SupportsIndex | str, classes: tuple[str, ...]) -> int:
    """Column of a class by name (ignoring case) or number; InputError lists the classes."""
    if isinstance(target, str):
        names = [name.casefold() for name in classes]
        if target.casefold() in names:
            return names.index(target.casefold())
        if not target.isdecimal():
            raise InputError(f"the model has no class {target!r}: choose one of {', '.join(classes)}.")
        target = int(target)
    column = read_integer(target, "class")
    if not 0 <= column < len(classes):
        raise InputError(f"the model has no class {column}: choose one of {', '.join(classes)}, or 0 to {len(classes) - 1}.")
    return column


def read_integer(value: Any, name: str) -> int:
    """The value as a Python `int`, the only kind that files and generators take; InputError for anything but an integer.

    >>> import numpy as np
    >>> read_integer(np.int64(3), "seed")
    3
    """
    try:
        return int(operator.index(value))
    except TypeError:
        raise InputError(f"{name} {value!r} is not a whole number: give one, such as 3.", argument=name) from None
