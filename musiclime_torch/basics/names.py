"""Names out of a fixed list, which the `Literal` in a signature is the only place to hold."""

from typing import Any, get_args

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
