"""What the app says while it works: where it is, how long that takes, and why; and times as people write them."""

import re
from dataclasses import dataclass
from typing import Any

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import State
from musiclime_torch.commands.output import LONG, SHORT, say_duration
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.sentences import to_sentences
from musiclime_torch.song.track import Track

#: Places that are spoken of at most.
ORDERED = 5


@dataclass(frozen=True)
class Clock:
    """When a stage was first heard of, and how much of it was done then; `name` is the stage's."""

    name: str = ""
    began: float = 0.0
    done: float = 0.0


def time_stage(clock: Clock, state: State, now: float) -> tuple[Clock, float | None]:
    """The stage's clock, and seconds that are left of it, None where nothing is known yet.

    >>> clock, left = time_stage(Clock(), State("asking", 0, 100), 5.0)
    >>> time_stage(clock, State("asking", 25, 100), 10.0)[1]
    15.0
    """
    if clock.name != state.name:
        return Clock(state.name, now, state.done), None
    done = state.done - clock.done
    if state.total is None or done <= 0:
        return clock, None
    return clock, (now - clock.began) / done * (state.total - state.done)


def describe_state(state: State, left: float | None) -> str:
    """Where the work is, in one line.

    >>> describe_state(State("asking musicnn", 320, 1280), 47.0)
    'Asking musicnn: 320 of 1,280 passes, about 45 seconds left.'
    """
    name = f"{state.name[:1].upper()}{state.name[1:]}"
    if state.total is None:
        return f"{name} …"
    share = f"{state.done / max(state.total, 1e-9):.0%}"
    counted = f"{state.done:,.0f} of {state.total:,.0f} passes" if state.unit == "pass" else share
    if left is None or left < SHORT:
        return f"{name}: {counted}."
    long = " This takes long: **Why is it slow?** says what makes it shorter." if left > LONG else ""
    return f"{name}: {counted}, about {say_duration(left)} left.{long}"


def describe_step(explanation: Explanation, number: int, last: bool) -> str:
    """What the explanation says, and how sharp it is."""
    row = explanation.target
    seen = list(explanation.components.seen(explanation.unseen))
    half = float(explanation.half_width[row, seen].mean()) if seen else 0.0
    significant = int(explanation.significant[row].sum())
    largest = float(explanation.attributions[row].abs().max()) if seen else 0.0
    known = "exactly" if half <= 1e-6 * largest else f"to ±{half:.2g} on average"
    return (
        f"{' '.join(to_sentences(explanation))}\n\n"
        f"Step {number}{', the last' if last else ''}: {explanation.n_variants:,} variants run; {significant} of "
        f"{len(explanation.components)} components are significant, each known {known}; {_tell_order(explanation)}"
        f"{'.' if last else '. Running more …'}"
    )


def count_settled(explanation: Explanation) -> int:
    """How many of the largest components have their places: their intervals don't meet that of the next."""
    sizes = explanation.attributions[explanation.target].abs()
    half = explanation.half_width[explanation.target]
    order = sizes.argsort(descending=True, stable=True)
    lower, upper = (sizes - half)[order], (sizes + half)[order]
    settled = lower[:-1] > upper[1:]
    return int(settled.long().cumprod(0).sum())


def _tell_order(explanation: Explanation) -> str:
    count = min(count_settled(explanation), ORDERED)
    if not count:
        return "which is the largest is not settled yet"
    return "the largest is settled" if count == 1 else f"the order of the {count} largest is settled"


def read_time(text: str) -> float | None:
    """Seconds of a time as people write it, None for no text; InputError for anything else.

    >>> read_time("75"), read_time("1:15"), read_time("1:15.5"), read_time(" ")
    (75.0, 75.0, 75.5, None)
    """
    if not text.strip():
        return None
    match = re.fullmatch(r"\s*(?:(\d+):)?(\d+(?:\.\d+)?)\s*", text)
    if match is None:
        raise InputError(f"the time {text!r} is not understood: give seconds (75) or minutes and seconds (1:15).")
    return 60 * int(match[1] or 0) + float(match[2])


def explain_wait(track: Track, model: Any, explanation: Explanation | None, seconds: float | None) -> str:
    """Why an explanation takes as long as it does, and what makes it shorter. `seconds` is what it took."""
    longest = getattr(model, "max_seconds", None)
    stems = len(track.stem_names)
    said = [
        "The model is not asked once but many times, with parts of the song switched off to see what they did. "
        "Time goes with the number of these forward passes."
    ]
    if longest is not None and track.seconds > longest:
        windows = -(-track.seconds // longest)
        said.append(
            f"This model hears {longest:g} s at a time, so these {track.seconds:.0f} s are {windows:.0f} windows, and "
            f"{stems} stems can be on or off in each in {2**stems} ways."
        )
    if explanation is not None:
        passes = explanation.audio_passes
        took = "" if seconds is None else f" in {say_duration(max(seconds, 1))}"
        said.append(
            f"So far {passes:,} passes with sound and {explanation.lyrics_passes:,} with lyrics were made{took}."
            if explanation.lyrics_passes
            else f"So far {passes:,} passes were made{took}."
        )
    said.append(
        "**Faster:** a part of the song (from, to); fewer stems (harmonic and percussive, or the song as one); fewer and "
        "longer segments; fewer masks."
    )
    said.append(
        "**Free:** another class, or a contrast, for the same song and segments: the model's answers are kept until you "
        "change one of these."
    )
    return "\n\n".join(said)
