"""Arguments checked and brought into one form: names, classes, numbers, counts, seeds and segments.

Names are checked against the `Literal` that lists them. Numbers become Python's own, as files and generators take them.
What can't be read raises an InputError that quotes the value.
"""

import operator
from collections.abc import Sequence
from typing import Any, NoReturn, SupportsFloat, SupportsIndex, TypeVar, cast, get_args

from musiclime_torch.basics.errors import InputError

#: A number of equal segments, "3s" for a length, or cut points in seconds, as numbers or as text.
Segments = SupportsIndex | str | Sequence[float]

T = TypeVar("T")

#: Seeds are below it: torch's generators take as many, with one more for the lyrics.
SEED_END = 2**63

#: More masks than this are a slip of the keyboard: at a millisecond a variant they would take a quarter of an hour to days.
MOST_MASKS = 1_000_000


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


def read_number(value: object, name: str) -> float:
    """The value as a `float`; InputError for what is none, text too, with the argument's `name`.

    >>> import numpy as np
    >>> read_number(np.float32(0.5), "ridge")
    0.5
    """
    try:
        if isinstance(value, SupportsFloat | SupportsIndex):
            return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass  # arrays have __float__ whatever their shape; torch raises the last
    raise InputError(f"{name} must be a number such as 0.5, got {value!r}.", argument=name)


def read_counts(n_samples: Any) -> int | tuple[int, int]:
    """One number of masks, or one for the sound and one for the lyrics."""
    if isinstance(n_samples, Sequence) and not isinstance(n_samples, str):
        counts = tuple(read_integer(count, "n_samples") for count in n_samples)
        if len(counts) not in (1, 2):
            raise InputError(
                f"n_samples must be one number or two (audio, lyrics), got {n_samples!r}.", argument="n_samples"
            )
    else:
        counts = (read_integer(n_samples, "n_samples"),)
    for count in counts:
        if not 1 <= count <= MOST_MASKS:
            raise InputError(f"n_samples must be between 1 and {MOST_MASKS}, got {count}.", argument="n_samples")
    return counts[0] if len(counts) == 1 else cast(tuple[int, int], counts)


def read_batch_size(batch_size: Any) -> int:
    """One or more."""
    size = read_integer(batch_size, "batch_size")
    if size < 1:
        raise InputError(f"batch_size must be at least 1, got {size}.", argument="batch_size")
    return size


def read_seed(seed: Any) -> int:
    """What torch's generators take."""
    number = read_integer(seed, "seed")
    if not 0 <= number < SEED_END:
        raise InputError(f"seed must be between 0 and 2**63 - 1, got {number}.", argument="seed")
    return number


def read_confidence(confidence: object) -> float:
    """Above 0 and below 1."""
    level = read_number(confidence, "confidence")
    if not 0 < level < 1:
        # Percent are the slip that can be told.
        meant = f"give {level / 100:g}" if 50 <= level < 100 else "give one such as 0.95"
        raise InputError(f"confidence must be between 0 and 1, got {level:g}: {meant}.", argument="confidence")
    return level


def read_ridge(ridge: object) -> float:
    """From 0 up."""
    penalty = read_number(ridge, "ridge")
    if not 0 <= penalty < float("inf"):
        raise InputError(f"ridge must be zero or positive, got {penalty:g}.", argument="ridge")
    return penalty
