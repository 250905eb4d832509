"""A Hugging Face tokenizer's cut of the lyrics, its offsets taken back to the original text."""

from typing import Any

import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import Tokens
from musiclime_torch.models.preparation import Preparation, prepare


def cut_tokens(tokenizer: Any, text: str, preparation: Preparation) -> Tokens:
    """Tokens with the characters of `text` they stand for; those past the limit are left out, and where they start is kept.

    InputError for a tokenizer without offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"the tokenizer {type(tokenizer).__name__} doesn't tell which characters a token stands for: use its fast "
            f"version (tokenizer.json)."
        )
    shown, places = prepare(text, preparation)
    whole = tokenizer(shown, return_offsets_mapping=True, verbose=False)
    # Cut off by the tokenizer itself: it knows which special tokens belong at the end.
    cut = tokenizer(shown, return_offsets_mapping=True, verbose=False, truncation=True, max_length=preparation.limit)
    read = [_go_back(offset, places) for offset in cut["offset_mapping"]]
    there = [start for start, end in (_go_back(offset, places) for offset in whole["offset_mapping"]) if start < end]
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
