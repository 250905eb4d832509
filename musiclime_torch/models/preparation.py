"""Lyrics prepared as a model was trained on them, with the origin of every character."""

import string
from dataclasses import dataclass

_PUNCTUATION = frozenset(string.punctuation + "‘’“”…–—")


@dataclass(frozen=True)
class Preparation:
    """What is done to lyrics before they are cut into tokens, at most `limit` of them, special ones included."""

    lower_case: bool
    strip_punctuation: bool
    limit: int


def prepare(text: str, preparation: Preparation) -> tuple[str, list[int]]:
    """The text as the model reads it, and for each of its characters the place in the original.

    >>> prepare("Don't GO", Preparation(lower_case=True, strip_punctuation=True, limit=256))
    ('dont go', [0, 1, 2, 4, 5, 6, 7])
    """
    kept, places = [], []
    for place, character in enumerate(text):
        if preparation.strip_punctuation and character in _PUNCTUATION:
            continue
        # One capital may become two letters (İ): both come from the same place.
        shown = character.lower() if preparation.lower_case else character
        kept.append(shown)
        places.extend([place] * len(shown))
    return "".join(kept), places
