"""Progress bars: tqdm's, without its monitoring thread.

tqdm starts it for bars that aren't shown too, leaves it behind in the caller's process, and since its version 4.68.1 lets
the interpreter end without waiting for it. A caller inside of a training loop should find nothing left running.
"""

import sys

from tqdm import tqdm


class Bar(tqdm):
    """A bar that needs no thread to notice slow updates: every one looks at the clock, and the last is drawn at once."""

    #: tqdm's own way to do without.
    monitor_interval = 0

    def update(self, n: float | None = 1) -> bool | None:
        """Whether it was drawn: after a tenth of a second, and at the end, since no other update may follow for a while."""
        drawn: bool | None = super().update(n)
        return drawn or (self.n == self.total and self.refresh())


def open_bar(
    total: int | None = None,
    *,
    unit: str = "it",
    name: str | None = None,
    begun: int = 0,
    layout: str | None = None,
    shown: bool,
    piped: bool = False,
) -> Bar:
    """A bar on standard error where it is `shown`: if that is a terminal, or is `piped` somewhere all the same."""
    disable = (False if piped else None) if shown else True  # None leaves it to whether there is a terminal
    return Bar(
        total=total, unit=unit, desc=name, initial=begun, bar_format=layout, disable=disable, file=sys.stderr, miniters=1
    )
