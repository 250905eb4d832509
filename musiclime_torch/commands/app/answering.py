"""A question from the browser answered step by step, without a browser, so that it can be tested without one.

Only the models on the `Shelf` can be chosen; each is loaded when it is first asked for. A `Memory` keeps one song and what
the models answered about it, so that another question about it costs no pass.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from musiclime_torch.basics.arguments import find_class, read_segments, read_separator
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages, State
from musiclime_torch.commands.models import load_model
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.streaming import explain_in_steps
from musiclime_torch.song.lyrics.lrc import looks_like_lrc, parse_lrc
from musiclime_torch.song.lyrics.lyrics import Lyrics, parse_lyrics
from musiclime_torch.song.track import Track, fold_quiet, load_track

#: The most masks that can be chosen.
MOST_MASKS = 16_384

#: The most megabytes of lyrics: as much as a book.
MOST_LYRICS = 1.0

#: Seconds after which the page is told again where the work is.
TOLD_EVERY = 0.5

#: Segments that may be asked for: as in `explain`, without files, which would be those of the machine that serves.
_SEGMENTS = re.compile(r"\d+|[\d.]+s|[\d.]+(\s*,\s*[\d.]+)+|beats?|\d*bars|sections|lyrics")

#: What takes a song apart, without folders of the machine that serves.
_SEPARATORS = re.compile(r"(demucs|hpss|midside|none)?(\+?bands:[\d.,\s]+)?")


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
    """The largest upload, and the separator that whoever serves has picked, which may be a folder's."""

    megabytes: float
    seconds: float
    separator: str | None = None


@dataclass(frozen=True)
class Question:
    """What was filled in. `target` and `foil` are numbers of classes, None for the predicted one and for no contrast.

    A lyrics file overrides the text. `stems` are files of the song's own stems; without, `separator` takes the song apart,
    "" by the default. `start` and `end` are seconds, `segments` "" for the default; `n_samples` is None for as many masks
    as it takes.
    """

    song: str | None
    lyrics: str = ""
    lyrics_file: str | None = None
    model: str = "demo"
    target: int | None = None
    foil: int | None = None
    n_samples: int | None = None
    start: float | None = None
    end: float | None = None
    separator: str = ""
    segments: str = ""
    stems: tuple[str, ...] = ()

    @property
    def about(self) -> tuple[Any, ...]:
        """What the song's sound and lyrics depend on."""
        return (self.song, self.lyrics, self.lyrics_file, self.start, self.end, self.separator, self.stems)


@dataclass(eq=False)
class Memory:
    """The song that a session asked about last, and what each model answered about it, by model and segments."""

    about: tuple[Any, ...] = ()
    track: Track | None = None
    answers: dict[tuple[str, str], Answers] = field(default_factory=dict)

    def take_answers(self, question: Question) -> Answers:
        """Those to this model and these segments: empty at first, and filled by what is asked."""
        return self.answers.setdefault((question.model, question.segments), Answers())

    def read(self, question: Question, limits: Limits, device: str, folder: Path, stages: Stages) -> Track:
        """The song, read and taken apart where it isn't the one of before."""
        if self.track is None or self.about != question.about:
            track = read_song(question, limits, device, folder, stages)
            self.about, self.track, self.answers = question.about, track, {}
        assert self.track is not None, "it has just been read"
        return self.track


def read_song(question: Question, limits: Limits, device: str, folder: Path, progress: bool | Stages = False) -> Track:
    """The song and its lyrics, .lrc times too where the text has them; InputError where a limit is passed.

    Stems are gathered in `folder`, under the names they were given.
    """
    if not question.song:
        raise InputError("there is no song yet: drop an audio file first.")
    for path in (question.song, *question.stems):
        _check_size(path, "song" if path == question.song else "stem", limits.megabytes)
    if question.lyrics_file:
        _check_size(question.lyrics_file, "lyrics file", MOST_LYRICS)
    elif len(question.lyrics.encode()) > MOST_LYRICS * 1e6:
        raise InputError(f"the lyrics have {len(question.lyrics):,} characters: give the words of one song.")
    track = load_track(
        question.song,
        lyrics=_pick_lyrics(question),
        stems=_gather_stems(question.stems, folder) if question.stems else None,
        separator=None if question.stems else question.separator or None,
        start=question.start,
        end=question.end,
        max_seconds=limits.seconds,
        device=device,
        progress=progress,
    )
    return fold_quiet(track)


def check_question(question: Question, shelf: Shelf, limits: Limits) -> None:
    """InputError for what shows before a song is read: masks, segments, separator, times, classes."""
    if question.n_samples is not None and not 1 <= question.n_samples <= MOST_MASKS:
        raise InputError(f"{question.n_samples} masks can't be chosen here: give 1 to {MOST_MASKS:,}, or none.")
    if question.segments and not _SEGMENTS.fullmatch(question.segments):
        raise InputError(
            f"segments {question.segments!r} are not understood: give a number (10), a length (3s), cut points in seconds "
            "(12,30.5,61), beats, bars, 4bars, sections or lyrics."
        )
    if question.segments:
        read_segments(question.segments)
    if question.separator and question.separator != limits.separator:
        if not _SEPARATORS.fullmatch(question.separator):
            raise InputError(
                f"stems by {question.separator!r} aren't offered here: choose hpss, midside, none, demucs or bands:200,2000."
            )
        read_separator(question.separator)
    start, end = question.start or 0.0, question.end
    if start < 0 or (end is not None and end <= start):
        raise InputError(f"the part from {start:g} s to {end or 0:g} s is empty: let it end after it begins.")
    classes = shelf.list_classes(question.model)
    for number in (question.target, question.foil):
        if number is not None and classes:
            find_class(number, classes)
    if question.target is not None and question.target == question.foil:
        raise InputError(f"{classes[question.target]!r} can't be contrasted with itself: choose another class.")


def answer(
    question: Question, shelf: Shelf, limits: Limits, memory: Memory, folder: Path
) -> Iterator[State | tuple[Track, Explanation]]:
    """Where the work is, every half second, and explanations, each sharper than the one before.

    The last has its evidence, where finding it takes no longer than the sampling did. The work is done in a thread, which
    ends at its next batch when this generator is closed.
    """
    check_question(question, shelf, limits)
    stopped, news = Event(), Queue[State | tuple[Track, Explanation] | BaseException | None]()

    def listen(state: State) -> None:
        if stopped.is_set():
            raise _StoppedError
        news.put(state)

    def work() -> None:
        try:
            stages = Stages(listen=listen)
            track = memory.read(question, limits, shelf.device, folder, stages)
            for explanation in explain_in_steps(
                shelf.take(question.model),
                track,
                n_samples=question.n_samples,
                evidence_in_passing=True,
                answers=memory.take_answers(question),
                progress=stages,
                device=shelf.device,
                target=question.target,
                foil=question.foil,
                segments=question.segments or None,
            ):
                news.put((track, explanation))
            news.put(None)
        except BaseException as error:
            news.put(error)

    worker = Thread(target=work, daemon=True)
    worker.start()
    try:
        yield from _pass_on(news)
    finally:
        stopped.set()
        # Two threads must not fill the same answers.
        worker.join()


class _StoppedError(Exception):
    """Ends the work: nobody waits for it any more."""


def _pass_on(news: "Queue[Any]") -> Iterator[Any]:
    """Explanations at once, and of the states between them the latest every half second; until None comes."""
    told, latest = monotonic() - TOLD_EVERY, None
    while True:
        try:
            item = news.get(timeout=TOLD_EVERY)
        except Empty:
            item = latest or State("")
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        latest = item if isinstance(item, State) else None
        if latest is None or monotonic() - told >= TOLD_EVERY:
            told = monotonic()
            yield item


def _pick_lyrics(question: Question) -> str | Lyrics | None:
    """The file where there is one, else what was typed in; None leaves the song's tags."""
    if question.lyrics_file or not question.lyrics.strip():
        return question.lyrics_file
    parse = parse_lrc if looks_like_lrc(question.lyrics) else parse_lyrics
    return parse(question.lyrics)


def _gather_stems(files: tuple[str, ...], folder: Path) -> Path:
    """A folder with copies of the uploaded stems, which lie in a folder each."""
    home = folder / "stems"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, home / Path(file).name)
    return home


def _check_size(path: str, what: str, limit: float) -> None:
    size = Path(path).stat().st_size / 1e6
    if size > limit:
        raise InputError(
            f"the {what} has {size:.1f} MB, more than the {limit:g} that are allowed here: give a smaller file."
        )
