"""Lyrics cut into the words that a model knows."""

import re

import torch

from musiclime_torch.models.contract import Tokens

PAD, MASK, UNKNOWN = "<pad>", "<mask>", "<unk>"
SPECIALS = (PAD, MASK, UNKNOWN)

#: Letters and digits of any script, with apostrophes inside: "don't" is one word.
WORD = re.compile(r"\w+(?:['’]\w+)*")


def cut_words(text: str, vocabulary: dict[str, int], limit: int) -> Tokens:
    """One token a word, lower-cased; at most ``limit`` of them.

    >>> tokens = cut_words("Don’t go", {PAD: 0, MASK: 1, UNKNOWN: 2, "don't": 3}, limit=256)
    >>> tokens.ids.tolist(), tokens.spans
    ([3, 2], ((0, 5), (6, 8)))
    """
    found = list(WORD.finditer(text))
    read = found[:limit]
    ids = [vocabulary.get(match[0].lower().replace("’", "'"), vocabulary[UNKNOWN]) for match in read]
    return Tokens(
        ids=torch.tensor(ids, dtype=torch.long),
        spans=tuple(match.span() for match in read),
        mask_id=vocabulary[MASK],
        pad_id=vocabulary[PAD],
        unread_from=found[limit].start() if len(found) > limit else None,
    )
