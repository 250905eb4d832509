"""Progress bars: tqdm's, without its monitoring thread.

tqdm starts it for bars that aren't shown too, leaves it behind in the caller's process, and since its version 4.68.1 lets
the interpreter end without waiting for it. A caller inside of a training loop should find nothing left running. A bar that
is shown has a thread of its own, which draws it every second, however long a batch takes, and ends with it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread, current_thread
from time import monotonic
from types import TracebackType
from typing import Any
from weakref import ref

from tqdm import tqdm

#: Seconds after which a bar is drawn again where nothing happened.
TICK = 1.0

#: The bar of a stage without a unit, and its line where it has no total either.
UNCOUNTED, ENDLESS = "{l_bar}{bar}| [{elapsed}<{remaining}]", "{desc} [{elapsed}]"


class Bar(tqdm):
    """A bar that is drawn every second, and at once when it is full."""

    #: tqdm's own way to do without its thread.
    monitor_interval = 0

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._ended = Event()
        self._ticker = Thread(target=_tick, args=(ref(self), self._ended), daemon=True)
        if not self.disable:
            self._ticker.start()

    def update(self, n: float | None = 1) -> bool | None:
        """Whether it was drawn: after a tenth of a second, and at the end, since no other update may follow for a while."""
        drawn: bool | None = super().update(n)
        return drawn or (self.n == self.total and self.refresh())

    def close(self) -> None:
        """Draw it a last time, and end its thread."""
        # tqdm closes a bar again when it is deleted, and one that isn't shown before it is complete.
        if hasattr(self, "_ended") and not self._ended.is_set():
            self._ended.set()
            if self._ticker.is_alive() and self._ticker is not current_thread():
                self._ticker.join()
        super().close()


def _tick(find: "ref[Bar]", ended: Event) -> None:
    """Draw a bar every second until it has ended, or nobody holds it any more."""
    while not ended.wait(TICK):
        bar = find()
        if bar is None:
            return
        bar.refresh()
        del bar


def open_bar(
    total: float | None = None,
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
    """What a stage takes: its forward passes, or what else it counts, and seconds for those that are left, as fast as the
    first ones were. `at_most` is whether it may end earlier.
    """

    passes: int
    seconds: float
    at_most: bool = False


@dataclass(frozen=True)
class State:
    """Where a stage is: what it is called, what is done of its total, None where that isn't known, and its unit."""

    name: str
    done: float = 0
    total: float | None = None
    unit: str = "pass"


class Stages:
    """Bars one after the other, one for each stage of the work, in forward passes of the model or another unit.

    `say` makes a sentence of a stage's forecast, or "" of a short wait. It is asked once, after the second batch of the
    first stage that is foretold: the first batch may compile, allocate or load something. `listen` is told of every step,
    and `about` comes before the stages' names, such as a song's. `clock` gives seconds.
    """

    def __init__(
        self,
        shown: bool = False,
        piped: bool = False,
        say: Callable[[Forecast], str] | None = None,
        clock: Callable[[], float] = monotonic,
        listen: Callable[[State], object] | None = None,
        about: str = "",
    ) -> None:
        self._shown, self._piped, self._bar = shown, piped, open_bar(shown=False)
        self._say, self._clock, self._listen, self.about = say, clock, listen, about
        #: Of the stage. A bar that isn't shown counts nothing.
        self._state, self._at_most, self._foretold = State(""), False, True
        self._first: tuple[float, float] | None = None

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(failed=error is not None)

    def begin(
        self, name: str, total: float | None = None, *, unit: str = "pass", at_most: bool = False, foretold: bool = True
    ) -> None:
        """The next stage, and how many passes, or of another unit, it will take, if that is known.

        Without a unit only its share and its time are shown. It may end earlier with `at_most`. One that isn't `foretold` is
        no reason for a sentence.
        """
        self._end()
        name = f"{self.about}: {name}" if self.about else name
        self._state, self._at_most, self._foretold, self._first = State(name, 0, total, unit), at_most, foretold, None
        layout = None if unit else ENDLESS if total is None else UNCOUNTED
        self._bar = open_bar(total, unit=unit, name=name, layout=layout, shown=self._shown, piped=self._piped)
        self._tell()

    def expect(self, passes: int) -> None:
        """Now it is known: so many more passes."""
        self._bar.total = self._bar.n + passes
        self._set(self._state.done, self._state.done + passes)
        self._bar.refresh()

    def spare(self, passes: int) -> None:
        """So many of the passes that were expected aren't needed."""
        done, total = self._state.done, self._state.total
        if total is None:
            return
        if self._bar.total is not None:
            self._bar.total = max(self._bar.total - passes, self._bar.n)
        self._set(done, max(total - passes, done))

    def update(self, passes: float) -> None:
        """So many passes were done. A bar never passes its end: what was expected grows with what is done."""
        if self._bar.total is not None:
            self._bar.total = max(self._bar.total, self._bar.n + passes)
        self._bar.update(passes)
        done, total = self._state.done + passes, self._state.total
        self._set(done, None if total is None else max(total, done))
        self._foretell()

    def _set(self, done: float, total: float | None) -> None:
        self._state = State(self._state.name, done, total, self._state.unit)
        self._tell()

    def _tell(self) -> None:
        if self._listen is not None and self._state.name:
            self._listen(self._state)

    def _foretell(self) -> None:
        done, total = self._state.done, self._state.total
        if self._say is None or total is None or not self._foretold:
            return
        now = self._clock()
        if self._first is None:
            self._first = now, done
            return
        began, before = self._first
        if before == done:
            return
        seconds = (now - began) / (done - before) * (total - done)
        sentence = self._say(Forecast(round(total), seconds, self._at_most))
        self._say = None
        if sentence:
            Bar.write(sentence, file=sys.stderr)

    def _end(self, failed: bool = False) -> None:
        # A stage that ends early, for a rendering that was expected had an answer already, ends at all of its passes.
        if self._bar.total and not failed:
            self._bar.total = self._bar.n
            self._bar.refresh()
        self._bar.close()


def open_stages(progress: bool | Stages) -> Stages:
    """Stages that are shown or not, or those that a caller has begun already."""
    return progress if isinstance(progress, Stages) else Stages(progress)


#: Songs and parts of them, songs a second also where one takes longer (tqdm then turns to seconds a song), and the one that
#: is explained.
_SONGS = "{l_bar}{bar}| {n:.1f}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]{postfix}"


class SongBar:
    """A bar for songs, with the name of the one that is explained; it moves with that song's passes.

    `say` makes a sentence of how long all songs will take, as long as the first.
    """

    def __init__(
        self, songs: int, shown: bool, say: Callable[[Forecast], str] | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._bar = open_bar(songs, unit=" songs", layout=_SONGS, shown=shown)
        self._say, self._clock, self._songs, self._finished, self._reached = say, clock, songs, 0, 0.0
        self._began = clock()

    def __enter__(self) -> "SongBar":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def follow(self, song: str) -> Stages:
        """The stages of a song that is explained now."""
        self._began = self._clock()

        def listen(state: State) -> None:
            share = min(state.done / state.total, 1.0) if state.total else 0.0
            passes = "" if state.total is None else f", {state.done:,.0f} of {state.total:,.0f} passes"
            self._bar.set_postfix_str(f"{song}{passes}", refresh=False)
            self._move(self._finished + share)

        return Stages(say=self._foretell, listen=listen)

    def finish(self, songs: int) -> None:
        """So many songs are done."""
        self._finished += songs
        self._bar.set_postfix_str("reading the next" if self._finished < self._songs else "", refresh=False)
        self._move(self._finished)

    def _move(self, place: float) -> None:
        # A song ends before its last pass where sampling was settled earlier; the bar never goes back.
        if place > self._reached:
            self._bar.update(place - self._reached)
            self._reached = place

    def _foretell(self, forecast: Forecast) -> str:
        if self._say is None:
            return ""
        say, self._say, left = self._say, None, self._songs - self._finished
        # What of the first song is done took its time too.
        seconds = (self._clock() - self._began + forecast.seconds) * left
        return say(Forecast(left, seconds, forecast.at_most))
