"""How a run uses the machine: batches that fit into memory, results gathered in place, operations counted.

A batch that runs out of memory is run again in halves, and later ones are made no larger. Rows of a batch are
independent of each other, so splitting a batch changes its results by rounding only. Floating-point operations are
counted per thread; work that one thread does for another is credited to it.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from musiclime_torch.basics.arguments import T

#: What torch says when it raises a plain RuntimeError: its CPU allocator, and libraries that allocate for themselves.
_SAID = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


@dataclass(eq=False)
class Room:
    """What a run has found out about memory: the most rows that fit, by what is run; empty while everything has fitted."""

    sizes: dict[str, int] = field(default_factory=dict)

    def describe(self) -> tuple[str, ...]:
        """One sentence for the explanation's warnings, or none."""
        if not self.sizes:
            return ()
        sizes = ", ".join(f"{size} for {part}" for part, size in sorted(self.sizes.items()))
        return (f"memory ran out and batches were halved ({sizes}): a smaller batch_size saves the failed attempts.",)


def in_batches(room: Room, part: str, count: int, most: int, run: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
    """Results of `run` on successive rows, at most so many at a time; halved, once and for all, when memory runs out.

    If memory runs out on a single row, the error is raised as it was.

    >>> def run(rows):
    ...     if rows.stop - rows.start > 3:
    ...         raise MemoryError
    ...     return rows.start
    >>> room = Room()
    >>> [start for _, start in in_batches(room, "variants", 8, 8, run)], room.sizes
    ([0, 2, 4, 6], {'variants': 2})
    """
    # Halving and not searching: in a whole run at most log2(batch) attempts of a part fail, for `room` keeps the size found.
    start = 0
    while start < count:
        rows = slice(start, min(start + room.sizes.get(part, most), count))
        try:
            result = run(rows)
        # All errors, for a lack of memory has no class of its own: torch has one, Python another, some backends say it in a
        # RuntimeError's words, and a model may wrap any of them. Anything else is raised again as it was.
        except Exception as error:
            if not ran_out(error) or rows.stop - rows.start == 1:
                raise
        else:
            yield rows, result
            start = rows.stop
            continue
        # Outside of the handler: the error's frames hold on to what was too large.
        room.sizes[part] = (rows.stop - rows.start) // 2
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def fill(batches: Iterable[tuple[slice, Tensor]], count: int) -> Tensor:
    """All rows of the batches in one tensor of `count` rows, each batch at its place.

    >>> fill([(slice(0, 2), torch.tensor([1, 2])), (slice(2, 3), torch.tensor([3]))], 3)
    tensor([1, 2, 3])
    """
    return fill_each(((rows, (batch,)) for rows, batch in batches), count)[0]


def fill_each(batches: Iterable[tuple[slice, tuple[Tensor, ...]]], count: int) -> tuple[Tensor, ...]:
    """As `fill`, for batches of several tensors with the same rows."""
    filled: tuple[Tensor, ...] = ()
    for rows, batch in batches:
        # Allocated at the first batch, which alone knows the shape. Batches kept to the end and concatenated would lie
        # between the passing tensors of the batches after them, and the heap could not close up.
        filled = filled or tuple(part.new_empty(count, *part.shape[1:]) for part in batch)
        for result, part in zip(filled, batch, strict=True):
            result[rows] = part
    assert filled, "there is always a batch"
    return filled


def ran_out(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is a lack of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID):
        return True
    return error.__cause__ is not None and ran_out(error.__cause__)


class _Credit(threading.local):
    """Operations run for this thread in another one, or in this one for another."""

    flops = 0.0


_credit = _Credit()


def count_flops(call: Callable[[], T]) -> tuple[T, float]:
    """The result of a call and its floating-point operations (matrix products and convolutions), at least one."""
    before, _credit.flops = _credit.flops, 0.0
    try:
        with FlopCounterMode(display=False) as counter:
            result = call()
        return result, max(counter.get_total_flops() + _credit.flops, 1.0)
    finally:
        _credit.flops = before


def credit_flops(flops: float) -> None:
    """Add operations that this thread's counter doesn't see, or take off those it sees and that aren't its own."""
    _credit.flops += flops
