"""Batches that fit: one that runs out of memory is asked again in halves, and later ones are made no larger.

Rows of a batch don't know of each other, so that only rounding tells how they were split.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch

T = TypeVar("T")

#: What torch says where it raises a plain RuntimeError: its CPU allocator, and libraries that allocate for themselves.
_SAID = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


@dataclass(eq=False)
class Room:
    """What a run has found out about memory: the most rows that fit, by what is asked; nothing where all has fitted."""

    sizes: dict[str, int] = field(default_factory=dict)

    def describe(self) -> tuple[str, ...]:
        """One sentence for the explanation's warnings, or none."""
        if not self.sizes:
            return ()
        found = ", ".join(f"{size} for {part}" for part, size in sorted(self.sizes.items()))
        return (f"memory ran out and batches were halved ({found}): a smaller batch_size saves the failed attempts.",)


def in_batches(room: Room, part: str, count: int, most: int, run: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
    """Results of `run` on successive rows, at most so many at a time; halved, once and for all, where memory runs out.

    What runs out of memory on a single row raises as it did.

    >>> def run(rows):
    ...     if rows.stop - rows.start > 3:
    ...         raise MemoryError
    ...     return rows.start
    >>> room = Room()
    >>> [found for _, found in in_batches(room, "variants", 8, 8, run)], room.sizes
    ([0, 2, 4, 6], {'variants': 2})
    """
    start = 0
    while start < count:
        rows = slice(start, min(start + room.sizes.get(part, most), count))
        try:
            found = run(rows)
        # All errors, for a lack of memory has no class of its own: torch has one, Python another, some backends tell it in a
        # RuntimeError's words, and a model may wrap any of them. Whatever is no lack of memory is raised again as it was.
        except Exception as error:
            if not ran_out(error) or rows.stop - rows.start == 1:
                raise
        else:
            yield rows, found
            start = rows.stop
            continue
        # Out of the handler: the error's frames hold on to what was too large.
        room.sizes[part] = (rows.stop - rows.start) // 2
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def ran_out(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is a lack of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID):
        return True
    return error.__cause__ is not None and ran_out(error.__cause__)
