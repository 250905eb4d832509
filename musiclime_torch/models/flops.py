"""Counts of floating-point operations, of this thread and of what others ran for it."""

import threading
from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode

from musiclime_torch.basics.generic import T


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
