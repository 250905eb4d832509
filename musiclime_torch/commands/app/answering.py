"""A question from the browser answered step by step, without a browser, so that it can be tested without one.

Only the models on the `Shelf` can be chosen; each is loaded when it is first asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_model
from musiclime_torch.explanation.evidence import DECIDING
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.streaming import explain_in_steps
from musiclime_torch.song.lyrics.lrc import looks_like_lrc, parse_lrc
from musiclime_torch.song.lyrics.lyrics import Lyrics, parse_lyrics
from musiclime_torch.song.track import Track, load_track

#: The least and the most masks that can be chosen.
FEWEST_MASKS, MOST_MASKS = 256, 16_384

#: The most megabytes of lyrics: as much as a book.
MOST_LYRICS = 1.0


@dataclass(frozen=True)
class Shelf:
    """Names as `--model` takes them. Only these are loaded, because a name may import code."""

    names: tuple[str, ...]
    device: str
    _loaded: dict[str, Callable[..., Any]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, name: str) -> Callable[..., Any]:
        """The model; InputError for a name that isn't on the shelf, or that can't be loaded."""
        if name not in self.names:
            raise InputError(f"model {name!r} is not offered here: choose one of {', '.join(self.names)}.")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_model(name, self.device)
            return self._loaded[name]

    def list_classes(self, name: str) -> tuple[str, ...]:
        """The model's classes; empty where it doesn't declare them."""
        return tuple(map(str, getattr(self.take(name), "classes", None) or ()))


@dataclass(frozen=True)
class Limits:
    """The largest upload."""

    megabytes: float
    seconds: float


@dataclass(frozen=True)
class Question:
    """What was filled in. `target` is a class's number, None for the predicted one; a lyrics file overrides the text."""

    song: str | None
    lyrics: str
    lyrics_file: str | None
    model: str
    target: int | None
    n_samples: int


def read_song(question: Question, limits: Limits, separator: str | None, device: str) -> Track:
    """The song and its lyrics, .lrc times too where the text has them; InputError where a limit is passed."""
    if not question.song:
        raise InputError("there is no song yet: drop an audio file first.")
    _check_size(question.song, "song", limits.megabytes)
    if question.lyrics_file:
        _check_size(question.lyrics_file, "lyrics file", MOST_LYRICS)
    elif len(question.lyrics.encode()) > MOST_LYRICS * 1e6:
        raise InputError(f"the lyrics have {len(question.lyrics):,} characters: give the words of one song.")
    return load_track(
        question.song, lyrics=_pick_lyrics(question), separator=separator, max_seconds=limits.seconds, device=device
    )


def _pick_lyrics(question: Question) -> str | Lyrics | None:
    """The file where there is one, else what was typed in; None leaves the song's tags."""
    if question.lyrics_file or not question.lyrics.strip():
        return question.lyrics_file
    parse = parse_lrc if looks_like_lrc(question.lyrics) else parse_lyrics
    return parse(question.lyrics)


def answer(question: Question, track: Track, shelf: Shelf) -> Iterator[Explanation]:
    """Explanations, each sharper than the one before; the last with its evidence, where the model makes a decision."""
    if not FEWEST_MASKS <= question.n_samples <= MOST_MASKS:
        raise InputError(f"{question.n_samples} masks can't be chosen here: give {FEWEST_MASKS} to {MOST_MASKS:,}.")
    model = shelf.take(question.model)
    yield from explain_in_steps(
        model,
        track,
        n_samples=question.n_samples,
        target=question.target,
        evidence=getattr(model, "output_kind", "logits") in DECIDING,
        device=shelf.device,
    )


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


def _check_size(path: str, what: str, limit: float) -> None:
    size = Path(path).stat().st_size / 1e6
    if size > limit:
        raise InputError(
            f"the {what} has {size:.1f} MB, more than the {limit:g} that are allowed here: give a smaller file."
        )
