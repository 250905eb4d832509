"""Other words for the words of the lyrics: by hand, or the next best of a masked language model.

A masked language model (Devlin et al. 2019, "BERT") sees a word's neighbours and not the word itself; what it holds most
likely there, the word aside, takes its place.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import suggest
from musiclime_torch.basics.edits import GUESS, fold, read_words
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.checkpoints import load_part, load_weights
from musiclime_torch.song.lyrics.lyrics import Lyrics, Word
from musiclime_torch.variants.words import Spans, Swap

#: Characters on either side of a word that the language model reads; a song's lines, and little of its length.
AROUND = 300

#: Words asked about at a time, and answers that are looked at for each.
ROWS, ANSWERS = 16, 200

#: Beginnings of tokens that begin a word, in byte-level and SentencePiece vocabularies.
_OPENING = ("Ġ", "▁")

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def swap_words(
    lyrics: Lyrics | None, spans: Spans, asked: str, device: torch.device, tell: Callable[[int], None] = lambda _: None
) -> tuple[tuple[Swap, ...], ...]:
    """The other words in each lyric column; a column without one is empty.

    `asked` is "sad=happy, night=day" or "guess:MODEL"; `tell` is called with how many words were guessed just now.
    InputError for a word that isn't in the lyrics.
    """
    words = () if lyrics is None else lyrics.words
    if asked.startswith(GUESS):
        others = guess_words(lyrics, asked.removeprefix(GUESS).strip(), device, tell)
    else:
        others = find_words(words, read_words(asked))
    swaps = [(word.start, word.end, other) for word, other in zip(words, others, strict=True) if other is not None]
    return tuple(
        tuple(swap for swap in swaps if any(start <= swap[0] and swap[1] <= end for start, end in parts)) for parts in spans
    )


def refuse_missing_words(lyrics: Lyrics | None, asked: str) -> None:
    """InputError for a word that isn't in the lyrics."""
    if not asked.startswith(GUESS):
        find_words(() if lyrics is None else lyrics.words, read_words(asked))


def find_words(words: Sequence[Word], asked: Mapping[str, str]) -> list[str | None]:
    """Each word's other one, in its own case, None for words that have none; InputError for one that isn't there."""
    there = {fold(word.text) for word in words}
    missing = next((word for word in asked if fold(word) not in there), None)
    if missing is not None:
        where = (
            f"isn't in the lyrics{suggest(missing, sorted(there))}" if words else "can't be replaced: there are no lyrics"
        )
        raise InputError(f"lyrics_baseline: the word {missing!r} {where}.", argument="lyrics_baseline")
    folded = {fold(word): other for word, other in asked.items()}
    return [_match_case(word.text, folded[fold(word.text)]) if fold(word.text) in folded else None for word in words]


def guess_words(
    lyrics: Lyrics | None, name: str, device: torch.device, tell: Callable[[int], None] = lambda _: None
) -> list[str | None]:
    """What a masked language model, by folder or hub id, holds most likely in place of each word, the word aside."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    if lyrics is None:
        return []
    tokenizer = load_part(AutoTokenizer, name)
    if tokenizer.mask_token is None:
        raise InputError(
            f"lyrics_baseline: the tokenizer of {name!r} has no mask token: give a masked language model, such as "
            "roberta-base.",
            argument="lyrics_baseline",
        )
    model = load_weights(AutoModelForMaskedLM, name).to(device).eval()
    begins = _list_beginnings(tokenizer)
    others: list[str | None] = []
    for first in range(0, len(lyrics.words), ROWS):
        some = lyrics.words[first : first + ROWS]
        scores = _score(model, tokenizer, [_hide(lyrics.text, word, tokenizer.mask_token) for word in some], device)
        others += [_pick(word.text, row, begins) for word, row in zip(some, scores, strict=True)]
        tell(len(some))
    return others


def _hide(text: str, word: Word, mask: str) -> str:
    """The word's surroundings with the mask token in its place."""
    # A song is longer than such a model reads, and a word is guessed from what is near.
    before, after = text[max(word.start - AROUND, 0) : word.start], text[word.end : word.end + AROUND]
    return f"{before}{mask}{after}"


@torch.no_grad()
def _score(model: Any, tokenizer: Any, texts: list[str], device: torch.device) -> Float[Tensor, "text token"]:
    """The model's scores of all tokens at each text's mask; those of a text whose mask was cut off are minus infinity."""
    limit = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512) - 2)
    given = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=limit).to(device)
    logits = model(**given).logits.float()
    rows = []
    for ids, scores in zip(given["input_ids"], logits, strict=True):
        places = (ids == tokenizer.mask_token_id).nonzero().flatten()
        rows.append(scores[places[0]] if len(places) else torch.full_like(scores[0], -torch.inf))
    return torch.stack(rows).cpu()


def _list_beginnings(tokenizer: Any) -> dict[int, str]:
    """Tokens that are whole words or begin one, with the word."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    marked = any(token and token.startswith(_OPENING) for token in tokens)
    # Tokenizers mark either what begins a word or what goes on with one: a token is read in its own tokenizer's way.
    special = set(tokenizer.all_special_ids)
    words = {}
    for number, token in enumerate(tokens):
        if token is None or number in special or (marked and not token.startswith(_OPENING)):
            continue
        word = tokenizer.decode([number]).strip()
        if _WORD.fullmatch(word):
            words[number] = word
    return words


def _pick(word: str, scores: Float[Tensor, " token"], begins: dict[int, str]) -> str | None:
    """The likeliest other word; None where there is none among the first answers."""
    # The word itself, pieces of words and marks are passed over; what comes first after them is as likely as it gets.
    values, tokens = scores.topk(min(ANSWERS, len(scores)))
    for value, token in zip(values.tolist(), tokens.tolist(), strict=True):
        if value > -torch.inf and token in begins and fold(begins[token]) != fold(word):
            return _match_case(word, begins[token])
    return None


def _match_case(word: str, other: str) -> str:
    """The other word with a capital where the word has one.

    >>> _match_case("Sad", "happy"), _match_case("SAD", "happy"), _match_case("I", "you")
    ('Happy', 'HAPPY', 'You')
    """
    if len(word) > 1 and word.isupper():
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other
