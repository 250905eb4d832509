"""What the app says while it works: where it is, how long that takes, and why."""

from dataclasses import dataclass
from typing import Any

from musiclime_torch.basics.progress import State
from musiclime_torch.commands.output import say_duration
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track


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
    return f"{name}: {counted}{'' if left is None else f', about {say_duration(left)} left'}."


def describe_step(explanation: Explanation, number: int, last: bool) -> str:
    """The state of the explanation in one sentence."""
    row = explanation.target
    seen = list(explanation.components.seen(explanation.unseen))
    half = float(explanation.half_width[row, seen].mean()) if seen else 0.0
    significant = int(explanation.significant[row].sum())
    return (
        f"Step {number}{', the last' if last else ''}: {explanation.n_variants:,} variants run; {significant} of "
        f"{len(explanation.components)} components are significant, each known to ±{half:.2g} on average"
        f"{'.' if last else '. Running more …'}"
    )


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
        "**Faster:** a part of the song (from, to); fewer stems (harmonic and percussive, or the song as one); fewer, longer "
        "segments; fewer masks."
    )
    said.append(
        "**Free:** another class, or a contrast, for the same song and segments: the model's answers are kept until you "
        "change one of these."
    )
    return "\n\n".join(said)
