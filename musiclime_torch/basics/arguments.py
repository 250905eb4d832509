"""Arguments checked and brought into one form: names, classes, numbers, counts, seeds and segments.

Names are checked against the `Literal` that lists them. Numbers become Python's own, as files and generators take them.
What can't be read raises an InputError that quotes the value.
"""

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn, SupportsFloat, SupportsIndex, TypeVar, cast, get_args

from musiclime_torch.basics.choices import NEURAL, Timeline
from musiclime_torch.basics.errors import InputError

#: Music that segments are made of, alone or as UNIT:FILE with names from a file of labels.
_UNITS = re.compile(r"(beats|(?:[1-9]\d?)?bars|sections|lyrics)(?::(.+))?", re.DOTALL)

#: Files of labels, by their endings.
LABEL_FILES = (".txt", ".tsv", ".lab", ".csv", ".jams", ".json")


#: A number of equal segments, "3s" for a length, cut points in seconds, as numbers or as text; "bars", "4bars", "beats",
#: "sections", "lyrics", a file of labels, or a `Timeline`.
Segments = SupportsIndex | str | Path | Sequence[float] | Timeline

T = TypeVar("T")

#: Seeds are below it: torch's generators take as many, with one more for the lyrics.
SEED_END = 2**63

#: More masks than this are a slip of the keyboard: at a millisecond a variant they would take a quarter of an hour to days.
MOST_MASKS = 1_000_000


def check_name(name: object, known: Any, what: str) -> None:
    """InputError for a name that the `Literal` doesn't list.

    >>> from typing import Literal
    >>> check_name("tea", Literal["coffee", "milk"], "drink")
    Traceback (most recent call last):
    musiclime_torch.basics.errors.InputError: drink 'tea' is not known: use coffee or milk.
    """
    names = get_args(known)
    if not isinstance(name, str) or name not in names:
        raise InputError(f"{what} {name!r} is not known: use {', '.join(names[:-1])} or {names[-1]}{suggest(name, names)}.")


def suggest(name: object, names: Sequence[str]) -> str:
    """Part of a sentence that offers the name that was probably meant, or nothing.

    >>> suggest("rokc", ("rock", "pop")), suggest("jazz", ("rock", "pop"))
    (" (did you mean 'rock'?)", '')
    """
    folded = {known.casefold(): known for known in names}
    close = get_close_matches(name.strip().casefold(), folded, 1, 0.7) if isinstance(name, str) else []
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def find_class(target: SupportsIndex | str, classes: tuple[str, ...]) -> int:
    """Column of a class by name (ignoring case) or number; InputError lists the classes."""
    if isinstance(target, str):
        names = [name.casefold() for name in classes]
        if target.casefold() in names:
            return names.index(target.casefold())
        if not target.isdecimal():
            raise InputError(
                f"the model has no class {target!r}{suggest(target, classes)}: choose one of {', '.join(classes)}."
            )
        target = int(target)
    column = read_integer(target, "class")
    if not 0 <= column < len(classes):
        raise InputError(f"the model has no class {column}: choose one of {', '.join(classes)}, or 0 to {len(classes) - 1}.")
    return column


def read_integer(value: Any, name: str) -> int:
    """The value as a Python `int`, the only kind that files and generators take; InputError for anything but an integer.

    >>> import numpy as np
    >>> read_integer(np.int64(3), "seed")
    3
    """
    try:
        return int(operator.index(value))
    except TypeError:
        raise InputError(f"{name} {value!r} is not a whole number: give one, such as 3.", argument=name) from None


def read_segments(segments: Any) -> int | str | list[float] | Timeline:
    """Segments as files take them: numbers are Python's own, text is left as it is; InputError for anything else.

    >>> import numpy as np
    >>> read_segments(np.int64(3)), read_segments(np.array([4, 5.5])), read_segments("3s")
    (3, [4.0, 5.5], '3s')
    """
    if isinstance(segments, Timeline):
        return segments
    if isinstance(segments, str | Path):
        text = str(segments)
        units, file = ("", text) if isinstance(segments, Path) else split_units(text)
        if file:
            _check_labels(file)
        elif not units:
            read_segments_text(text)
        return text
    try:
        count = int(operator.index(segments))
    except TypeError:
        pass  # then it may be cut points
    else:
        return _check_count(count)
    try:
        return [float(point) for point in segments]
    except (TypeError, ValueError):
        refuse_segments(segments)


def read_segments_text(text: str) -> int | float | list[float]:
    """A number of segments as `int`, their length in seconds as `float`, or cut points; InputError for other text.

    >>> read_segments_text("10"), read_segments_text("3s"), read_segments_text("12,30.5")
    (10, 3.0, [12.0, 30.5])
    """
    try:
        if not text.endswith("s"):
            return [float(point) for point in text.split(",")] if "," in text else _check_count(int(text))
        length = float(text[:-1])
        if not 0 < length < float("inf"):
            raise ValueError
    except InputError:
        raise
    except ValueError:
        refuse_segments(text)
    return length


def split_units(text: str) -> tuple[str, str]:
    """Musical units and the file of labels in a text, "" for either that isn't there.

    >>> split_units("4bars"), split_units("bars:song.txt"), split_units("song.txt"), split_units("3s")
    (('4bars', ''), ('bars', 'song.txt'), ('', 'song.txt'), ('', ''))
    """
    match = _UNITS.fullmatch(text)
    if match is None:
        return "", text if _is_file(text) else ""
    return match[1], match[2] or ""


def _is_file(text: str | Path) -> bool:
    """Whether segments look like a path: they have a folder or an ending with a letter."""
    return isinstance(text, Path) or "/" in text or "\\" in text or re.search(r"\.[^\W\d]\w*$", text) is not None


def _check_labels(path: str) -> None:
    if path != NEURAL and not path.lower().endswith(LABEL_FILES):
        raise InputError(
            f"segments {path!r} have an ending that isn't known: give labels of Audacity (.txt), layers of Sonic Visualiser "
            "(.csv) or JAMS (.jams).",
            argument="segments",
        )


def _check_count(segments: int) -> int:
    if segments < 1:
        raise InputError(f"{segments} segments can't cover a song: give 1 or more.")
    return segments


def refuse_segments(segments: object) -> NoReturn:
    """InputError with the forms that are understood."""
    raise InputError(
        f"segments {segments!r} are not understood: give a number of equal segments (10), a length (3s) or "
        f"cut points in seconds (12,30.5,61); beats, bars, 4bars, sections or lyrics; or a file of labels.",
        argument="segments",
    ) from None


@dataclass(frozen=True)
class Until:
    """What sampling waits for: the order of the `count` largest components, or half widths of at most `width`, of the
    largest component where that is a `share`.
    """

    kind: Literal["top", "width", "share"]
    count: int = 0
    width: float = 0.0


def read_until(text: str) -> Until:
    """What to wait for, from text; InputError for any other text.

    >>> read_until("top 5"), read_until("width 0.1"), read_until("width 10%")
    (Until(kind='top', count=5, width=0.0), Until(kind='width', count=0, width=0.1), Until(kind='share', count=0, width=0.1))
    """
    try:
        match = re.fullmatch(r"\s*(top|width)[\s:]*([0-9.eE+-]+)\s*(%?)\s*", text)
        if match is None:
            raise ValueError
        kind, number, share = match.groups()
        if kind == "top":
            until = Until("top", count=int(number + share))
        else:
            until = Until("share", width=float(number) / 100) if share else Until("width", width=float(number))
        if not (until.count >= 1 or 0 < until.width < float("inf")):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(
            f"until {text!r} is not understood: give 'top 5', 'width 0.1' or 'width 10%'.", argument="until"
        ) from None
    return until


#: What takes a song apart, but for bands.
SEPARATORS = ("demucs", "hpss", "midside", "none")


def read_separator(text: str) -> tuple[str, tuple[float, ...]]:
    """The separator's name, "" where none is given, and the edges of frequency bands in Hz, if bands are asked for.

    >>> read_separator("demucs"), read_separator("bands:0,200,2000"), read_separator("hpss+bands:150")
    (('demucs', ()), ('', (200.0, 2000.0)), ('hpss', (150.0,)))
    """
    base, asked, edges = text.rpartition("bands:")
    if not asked or not (base == "" or base.endswith("+")):
        _check_separator(text, text)
        return text, ()
    base = base.removesuffix("+")
    if base:
        _check_separator(base, text)
    try:
        found = tuple(float(edge) for edge in edges.split(","))
    except ValueError:
        found = ()
    # The lowest band begins at 0 Hz whether that is said or not.
    found = found[1:] if found[:1] == (0.0,) else found
    if not found or not all(low < high for low, high in zip((0.0, *found), (*found, math.inf), strict=True)):
        raise InputError(
            f"separator {text!r} names no bands: give rising frequencies in Hz between them, such as bands:0,200,2000,8000.",
            argument="separator",
        )
    return base, found


def keep_bands(separator: str | None) -> str | None:
    """What of a separator applies to stems that are there: they aren't separated again, but cut into its bands.

    >>> keep_bands("hpss"), keep_bands("hpss+bands:0,200"), keep_bands("bands:200")
    (None, 'bands:200', 'bands:200')
    """
    edges = () if separator is None else read_separator(separator)[1]
    return f"bands:{','.join(f'{edge:g}' for edge in edges)}" if edges else None


def _check_separator(base: str, text: str) -> None:
    if base not in SEPARATORS and not base.startswith("demucs:"):
        raise InputError(
            f"separator {text!r} is unknown{suggest(base, SEPARATORS)}: use demucs, demucs:FOLDER, hpss, midside, none, or "
            "bands:0,200,2000.",
            argument="separator",
        )


def read_kernel_width(kernel_width: object) -> float:
    """Above 0."""
    width = read_number(kernel_width, "kernel_width")
    if not width > 0:
        raise InputError(
            f"kernel_width must be above 0, got {width:g}: LIME's own are 0.25 (images) and 25 (text).",
            argument="kernel_width",
        )
    return width


def read_number(value: object, name: str) -> float:
    """The value as a `float`; InputError for what is none, text too, with the argument's `name`.

    >>> import numpy as np
    >>> read_number(np.float32(0.5), "ridge")
    0.5
    """
    try:
        if isinstance(value, SupportsFloat | SupportsIndex):
            return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass  # arrays have __float__ whatever their shape; torch raises the last
    raise InputError(f"{name} must be a number such as 0.5, got {value!r}.", argument=name)


def read_counts(n_samples: Any) -> int | tuple[int, int]:
    """One number of masks, or one for the sound and one for the lyrics."""
    if isinstance(n_samples, Sequence) and not isinstance(n_samples, str):
        counts = tuple(read_integer(count, "n_samples") for count in n_samples)
        if len(counts) not in (1, 2):
            raise InputError(
                f"n_samples must be one number or two (audio, lyrics), got {n_samples!r}.", argument="n_samples"
            )
    else:
        counts = (read_integer(n_samples, "n_samples"),)
    for count in counts:
        if not 1 <= count <= MOST_MASKS:
            raise InputError(f"n_samples must be between 1 and {MOST_MASKS}, got {count}.", argument="n_samples")
    return counts[0] if len(counts) == 1 else cast(tuple[int, int], counts)


def read_batch_size(batch_size: Any) -> int:
    """One or more."""
    size = read_integer(batch_size, "batch_size")
    if size < 1:
        raise InputError(f"batch_size must be at least 1, got {size}.", argument="batch_size")
    return size


def read_channels(channels: Any) -> int:
    """1 for mono, 2 for stereo."""
    count = read_integer(channels, "channels")
    if count not in (1, 2):
        raise InputError(f"channels must be 1 or 2, got {count}.", argument="channels")
    return count


def read_seed(seed: Any) -> int:
    """What torch's generators take."""
    number = read_integer(seed, "seed")
    if not 0 <= number < SEED_END:
        raise InputError(f"seed must be between 0 and 2**63 - 1, got {number}.", argument="seed")
    return number


def read_confidence(confidence: object) -> float:
    """Above 0 and below 1."""
    level = read_number(confidence, "confidence")
    if not 0 < level < 1:
        # Percent are the slip that can be told.
        meant = f"give {level / 100:g}" if 50 <= level < 100 else "give one such as 0.95"
        raise InputError(f"confidence must be between 0 and 1, got {level:g}: {meant}.", argument="confidence")
    return level


def read_ridge(ridge: object) -> float:
    """From 0 up."""
    penalty = read_number(ridge, "ridge")
    if not 0 <= penalty < float("inf"):
        raise InputError(f"ridge must be zero or positive, got {penalty:g}.", argument="ridge")
    return penalty
