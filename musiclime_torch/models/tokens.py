"""Lyrics cut into a model's tokens, each with the characters of the original text that it stands for.

Lyrics are prepared as the model was trained on them, and every character keeps its origin. A Hugging Face tokenizer's
offsets are taken back through that to the original text; models with a vocabulary of words get one token a word.
"""

import re
import string
from dataclasses import dataclass
from typing import Any

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import Tokens

_PUNCTUATION = frozenset(string.punctuation + "‘’“”…–—")

#: Special tokens of our own vocabularies.
PAD, MASK, UNKNOWN = "<pad>", "<mask>", "<unk>"

SPECIALS = (PAD, MASK, UNKNOWN)

#: Letters and digits of any script, with apostrophes inside: "don't" is one word.
WORD = re.compile(r"\w+(?:['’]\w+)*")


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


def cut_tokens(tokenizer: Any, text: str, preparation: Preparation) -> Tokens:
    """Tokens with the characters of `text` they stand for; those past the limit are left out, and where they start is kept.

    InputError for a tokenizer without offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"the tokenizer {type(tokenizer).__name__} doesn't tell which characters a token stands for: use its fast "
            f"version (tokenizer.json) where there is one, or a callable of your own that takes strings."
        )
    shown, places = prepare(text, preparation)
    encoding = tokenizer(shown, return_offsets_mapping=True, verbose=False)
    # Cut off by the tokenizer itself: it knows which special tokens belong at the end.
    cut = tokenizer(shown, return_offsets_mapping=True, verbose=False, truncation=True, max_length=preparation.limit)
    read = [_go_back(offset, places) for offset in cut["offset_mapping"]]
    there = [start for start, end in (_go_back(offset, places) for offset in encoding["offset_mapping"]) if start < end]
    kept = sum(start < end for start, end in read)
    return Tokens(
        ids=torch.tensor(cut["input_ids"], dtype=torch.long),
        spans=tuple(read),
        mask_id=tokenizer.mask_token_id,
        pad_id=tokenizer.pad_token_id,
        unread_from=there[kept] if len(there) > kept else None,
    )


def _go_back(offset: tuple[int, int], places: list[int]) -> tuple[int, int]:
    start, end = offset
    if start >= end:
        return (0, 0)
    return (places[start], places[end - 1] + 1)


def cut_words(text: str, vocabulary: dict[str, int], limit: int) -> Tokens:
    """One token a word, lower-cased; at most ``limit`` of them.

    >>> tokens = cut_words("Don’t go", {PAD: 0, MASK: 1, UNKNOWN: 2, "don't": 3}, limit=256)
    >>> tokens.ids.tolist(), tokens.spans
    ([3, 2], ((0, 5), (6, 8)))
    """
    words = list(WORD.finditer(text))
    read = words[:limit]
    ids = [vocabulary.get(match[0].lower().replace("’", "'"), vocabulary[UNKNOWN]) for match in read]
    return Tokens(
        ids=torch.tensor(ids, dtype=torch.long),
        spans=tuple(match.span() for match in read),
        mask_id=vocabulary[MASK],
        pad_id=vocabulary[PAD],
        unread_from=words[limit].start() if len(words) > limit else None,
    )
