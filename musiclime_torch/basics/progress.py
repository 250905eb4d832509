"""Progress bars: tqdm's, without its monitoring thread.

tqdm starts it for bars that aren't shown too, leaves it behind in the caller's process, and since its version 4.68.1 lets
the interpreter end without waiting for it. A caller inside of a training loop should find nothing left running.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from types import TracebackType

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


@dataclass(frozen=True)
class Forecast:
    """What a stage takes: its forward passes, and seconds for those that are left, as fast as the first ones were."""

    passes: int
    seconds: float


class Stages:
    """Bars one after the other, one for each stage of the work, in forward passes of the model.

    `say` makes a sentence of the first stage's forecast, or "" of a short wait. It is asked once, after the second batch:
    the first may compile, allocate or load something. `clock` gives seconds.
    """

    def __init__(
        self,
        shown: bool = False,
        piped: bool = False,
        say: Callable[[Forecast], str] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._shown, self._piped, self._bar = shown, piped, open_bar(shown=False)
        self._say, self._clock = say, clock
        #: Passes done, and those of the stage in all. A bar that isn't shown counts nothing.
        self._done = 0
        self._total: int | None = None
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(failed=error is not None)

    def begin(self, name: str, passes: int | None = None) -> None:
        """The next stage, and how many passes it will take, if that is known."""
        self._end()
        self._done, self._total, self._first = 0, passes, None
        self._bar = open_bar(passes, unit="pass", name=name, shown=self._shown, piped=self._piped)

    def expect(self, passes: int) -> None:
        """Now it is known: so many more passes."""
        self._bar.total = self._bar.n + passes
        self._total = self._done + passes
        self._bar.refresh()

    def update(self, passes: int) -> None:
        """So many passes were done. A bar never passes its end: what was expected grows with what is done."""
        if self._bar.total is not None:
            self._bar.total = max(self._bar.total, self._bar.n + passes)
        self._bar.update(passes)
        self._done += passes
        self._foretell()

    def _foretell(self) -> None:
        if self._say is None or self._total is None:
            return
        now = self._clock()
        if self._first is None:
            self._first = now, self._done
            return
        began, done = self._first
        if self._done == done:
            return
        seconds = (now - began) / (self._done - done) * max(self._total - self._done, 0)
        sentence = self._say(Forecast(max(self._total, self._done), seconds))
        self._say = None
        if sentence:
            Bar.write(sentence, file=sys.stderr)

    def _end(self, failed: bool = False) -> None:
        # A stage that ends early, for a rendering that was expected had an answer already, ends at all of its passes.
        if self._bar.total and not failed:
            self._bar.total = self._bar.n
            self._bar.refresh()
        self._bar.close()
