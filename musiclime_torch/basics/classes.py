"""Classes of a model by name or number."""

from typing import SupportsIndex

from musiclime_torch.basics.arguments import read_integer
from musiclime_torch.basics.errors import InputError


def find_class(target: SupportsIndex | str, classes: tuple[str, ...]) -> int:
    """Column of a class by name (case aside) or number; InputError lists the classes."""
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
