"""Edits of a stem, as they are written and as they are said: a gain, a filter, a shift of pitch, medians, another word.

They are read loosely and written in one form: "-12dB" and "−12 dB" are ``-12 dB``, "lowpass 1 kHz" is ``low-pass 1000 Hz``,
"2 st" is ``+2 semitones``. What each does to the sound is `musiclime_torch.variants.edits`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from musiclime_torch.basics.arguments import suggest
from musiclime_torch.basics.choices import LyricsBaseline
from musiclime_torch.basics.errors import InputError

#: What an edit does. The amount is in dB, Hz, semitones or seconds; silence and noise have none.
EditKind = Literal["silence", "noise", "median", "gain", "low-pass", "high-pass", "pitch"]

#: Seconds over which medians are taken, where nothing else is said.
MEDIAN = 0.3

#: What an edit may be, for errors.
KNOWN = (
    "silence, noise, median, a gain (-12 dB), a filter (low-pass 1000 Hz, high-pass 200 Hz) or a shift of pitch "
    "(+3 semitones)"
)

#: Least and greatest amounts, and the unit as people say it.
_LIMITS: dict[str, tuple[float, float, str, str]] = {
    "gain": (-120.0, 40.0, "gain", "dB"),
    "low-pass": (1.0, 1e6, "cutoff", "Hz"),
    "high-pass": (1.0, 1e6, "cutoff", "Hz"),
    "pitch": (-24.0, 24.0, "shift", "semitones"),
    "median": (0.02, 60.0, "length", "s"),
}

_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+|nan|inf))"
_FORMS: tuple[tuple[EditKind, str], ...] = (
    ("gain", rf"{_NUMBER}\s*db"),
    ("low-pass", rf"(?:low[\s-]?pass|lp)\s*{_NUMBER}\s*(k?)(?:hz)?"),
    ("high-pass", rf"(?:high[\s-]?pass|hp)\s*{_NUMBER}\s*(k?)(?:hz)?"),
    ("pitch", rf"{_NUMBER}\s*(?:semitones?|st)"),
    ("median", rf"medians?\s*{_NUMBER}\s*(m?)s"),
)
_FACTORS = {"k": 1000.0, "m": 0.001}


@dataclass(frozen=True)
class Edit:
    """What becomes of a stem. `str` is its canonical form, which `read_edit` reads back."""

    kind: EditKind
    amount: float = 0.0

    def __str__(self) -> str:
        number = f"{self.amount:g}" if abs(self.amount) < 1e5 else f"{self.amount:.0f}"
        if self.kind == "gain":
            return f"{self.amount:+g} dB"
        if self.kind == "pitch":
            return f"{self.amount:+g} semitone{'s' * (abs(self.amount) != 1)}"
        if self.kind == "median":
            return f"median {number} s"
        return f"{self.kind} {number} Hz" if self.kind.endswith("-pass") else self.kind

    @property
    def done(self) -> str:
        """What follows the name of the edited stem in a sentence.

        >>> [f"vocals {read_edit(text).done}" for text in ("-12 dB", "low-pass 1 kHz", "+1 st", "median")][:3]
        ['vocals 12 dB lower', 'vocals low-passed at 1000 Hz', 'vocals 1 semitone higher']
        """
        size = str(self).lstrip("+-")
        if self.kind == "gain":
            return f"{size} {'lower' if self.amount < 0 else 'louder'}"
        if self.kind == "pitch":
            return f"{size} {'lower' if self.amount < 0 else 'higher'}"
        if self.kind == "median":
            return f"smoothed by medians over {size.removeprefix('median ')}"
        if self.kind.endswith("-pass"):
            return f"{self.kind}ed at {size.removeprefix(self.kind).strip()}"
        return "removed" if self.kind == "silence" else "replaced by noise"


def read_edit(text: str) -> Edit:
    """An edit from text; InputError with one sentence for anything else.

    >>> str(read_edit("lowpass 1.5k")), str(read_edit("−2 ST")), str(read_edit("median"))
    ('low-pass 1500 Hz', '-2 semitones', 'median 0.3 s')
    """
    edit = find_edit(text)
    if edit is None:
        hint = suggest(text, ("silence", "noise", "median"))
        raise InputError(f"baseline {text!r} is not known{hint}: use {KNOWN}, or another song.", argument="baseline")
    if edit.kind in ("silence", "noise"):
        return edit
    low, high, what, unit = _LIMITS[edit.kind]
    if edit.amount == 0 and edit.kind in ("gain", "pitch"):
        raise InputError(
            f"baseline {text!r} changes nothing: give another {what}, such as "
            f"{'-12 dB' if edit.kind == 'gain' else '+3 semitones'}.",
            argument="baseline",
        )
    if not low <= edit.amount <= high:
        limits = f"between {low:g} and {high:g} {unit}" if high < 1e6 else f"positive, in {unit}"
        raise InputError(f"baseline {text!r}: the {what} must be {limits}, got {edit.amount:g}.", argument="baseline")
    return edit


def find_edit(text: str) -> Edit | None:
    """The edit that a text names, whatever its amount; None where it names none."""
    # People type minus signs as their keyboard has them, and units with a space or without.
    plain = " ".join(text.casefold().replace("−", "-").split())
    if plain in ("silence", "noise"):
        return Edit("silence" if plain == "silence" else "noise")
    if plain in ("median", "medians"):
        return Edit("median", MEDIAN)
    for kind, form in _FORMS:
        match = re.fullmatch(form, plain)
        if match:
            return Edit(kind, float(match[1]) * _FACTORS.get(match[2] if match.re.groups > 1 else "", 1.0))
    return None


def split_stems(text: str) -> dict[str, str]:
    """The edit of each stem; InputError for a part without a stem or an edit, and for a stem named twice.

    >>> split_stems("vocals=-12 dB, drums=low-pass 800 Hz")
    {'vocals': '-12 dB', 'drums': 'low-pass 800 Hz'}
    """
    # Neither names of edits nor stems have commas or equals signs, so that both can separate.
    stems: dict[str, str] = {}
    for part in text.split(","):
        name, equals, edit = (piece.strip() for piece in part.partition("="))
        if not (name and equals and edit) or name in stems:
            why = f"names {name!r} twice" if name in stems else f"has a part {part.strip()!r} that isn't STEM=EDIT"
            raise InputError(f"baseline {text!r} {why}: write vocals=-12 dB,drums=noise.", argument="baseline")
        stems[name] = edit
    return stems


def refuse_deaf_edit(edit: Edit, sample_rate: float) -> None:
    """InputError for a filter at or beyond the highest frequency that a sample rate holds."""
    if edit.kind.endswith("-pass") and edit.amount >= sample_rate / 2:
        does = "changes nothing" if edit.kind == "low-pass" else "leaves nothing"
        raise InputError(
            f"baseline '{edit}' {does}: the model takes sound up to {sample_rate / 2:g} Hz (its sample rate is "
            f"{sample_rate:g} Hz): give a lower cutoff.",
            argument="baseline",
        )


#: Before the name of a masked language model, whose best other word replaces each word.
GUESS = "guess:"


def read_lyrics_baseline(asked: Any) -> str:
    """What removed words become, in one form: a name, "sad=happy, night=day" (also from a mapping), or "guess:MODEL".

    >>> read_lyrics_baseline({"sad": "happy"}), read_lyrics_baseline("sad = happy,night=day")
    ('sad=happy', 'sad=happy, night=day')
    """
    names = get_args(LyricsBaseline)
    if isinstance(asked, str) and (asked in names or (asked.startswith(GUESS) and asked.removeprefix(GUESS).strip())):
        return asked
    if isinstance(asked, Mapping) or (isinstance(asked, str) and "=" in asked):
        return ", ".join(f"{word}={other}" for word, other in read_words(asked).items())
    if asked == GUESS:
        raise InputError(
            "lyrics_baseline 'guess:' names no model: give one, such as guess:roberta-base.", argument="lyrics_baseline"
        )
    raise InputError(
        f"lyrics baseline {asked!r} is not known{suggest(asked, names)}: use {', '.join(names)}, other words (sad=happy) or "
        "guess:MODEL.",
        argument="lyrics_baseline",
    )


def read_words(asked: str | Mapping[str, str]) -> dict[str, str]:
    """Other words by word; InputError for an empty one, for a word in its own place, and for one named twice.

    >>> read_words("sad=happy, Night=day")
    {'sad': 'happy', 'Night': 'day'}
    """
    pairs = [part.partition("=")[::2] for part in asked.split(",")] if isinstance(asked, str) else list(asked.items())
    words: dict[str, str] = {}
    for word, other in pairs:
        if not isinstance(word, str) or not isinstance(other, str) or "," in word + other or "=" in word + other:
            raise InputError(
                f"lyrics_baseline can't replace {word!r} by {other!r}: give words without commas and equals signs.",
                argument="lyrics_baseline",
            )
        word, other = word.strip(), other.strip()
        if not word or not other:
            why = f"replaces {word!r} by nothing" if word else f"puts {other!r} in the place of no word"
            raise InputError(
                f"lyrics_baseline {why}: give both (sad=happy), or gone to take words away.", argument="lyrics_baseline"
            )
        if fold(word) == fold(other) or fold(word) in map(fold, words):
            why = "by itself" if fold(word) == fold(other) else "twice"
            raise InputError(f"lyrics_baseline replaces {word!r} {why}: give one other word.", argument="lyrics_baseline")
        words[word] = other
    return words


def fold(word: str) -> str:
    """A word as it is compared: without case, with a plain apostrophe."""
    return word.casefold().replace("’", "'")
