"""Single values of a `Settings`, read and checked. Numbers become Python's own, as files and generators take them."""

from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsIndex, cast

from musiclime_torch.basics.arguments import read_integer
from musiclime_torch.basics.errors import InputError

#: Seeds are below it: torch's generators take as many, with one more for the lyrics.
SEED_END = 2**63

#: More masks than this are a slip of the keyboard: at a millisecond a variant they would take a quarter of an hour to days.
MOST_MASKS = 1_000_000


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
