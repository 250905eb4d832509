"""Lyrics from masks: the text in the form a model reads, and what stands in for a removed word.

A model reads token embeddings, token ids or strings, and lyrics are brought into that form once (`gate_lyrics`). A variant
then swaps tokens for the baseline's on their device, or cuts characters out on the host (`mask_lyrics`). Lyric masks are
(variant, column), and the all-ones mask renders the lyrics as they are.

Another word in the place of one (`gate_swaps`) swaps tokens where both have as many. Where they don't, a model that takes
embeddings reads the text of each variant again, and one that takes ids alone can't be asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.choices import LyricsBaseline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.student_parts import Words
from musiclime_torch.models.subject import Subject

#: The characters of each lyric column.
Spans = tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True)
class TokenGates:
    """Lyrics ready to be masked at their embeddings; `owner` is each token's lyric column, the last one = always on.

    With `gone` removed tokens are not attended to at all. The baseline is one for all tokens, or each token's own. `sizes`
    are the tokens of every column, and last those that are always on; with them removed tokens are left out.
    """

    embeddings: Float[Tensor, "token dim"]
    baseline: Float[Tensor, "*token dim"]
    owner: Int[Tensor, " token"]
    gone: bool
    sizes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class IdGates:
    """Lyrics ready to be masked at their token ids, for models that take no embeddings."""

    ids: Int[Tensor, " token"]
    baseline: Int[Tensor, "*token"]
    owner: Int[Tensor, " token"]


@dataclass(frozen=True)
class StringGates:
    """Lyrics for models that read strings: each column's characters are cut out, or replaced by `stand_in`.

    `words` are stand-ins of their own, one a span. A `reader` tokenizes and embeds every variant on its `device`.
    """

    text: str
    spans: Spans
    stand_in: str
    words: tuple[tuple[str, ...], ...] | None = None
    reader: Any = None
    device: torch.device | None = None


LyricGates = TokenGates | IdGates | StringGates

#: A word that takes the place of others: their first character, the one after their last, and itself.
Swap = tuple[int, int, str]

#: What a model is given to read, one row a variant.
Text = TokenBatch | Int[Tensor, "batch token"] | list[str]


def gate_lyrics(
    subject: Subject,
    text: str,
    spans: Sequence[Sequence[tuple[int, int]]],
    asked: LyricsBaseline | None,
    device: torch.device,
) -> tuple[LyricGates, LyricsBaseline]:
    """Lyrics in the form the model reads, each token or character owned by its column; and the baseline picked."""
    columns = tuple(tuple(parts) for parts in spans)
    if subject.text_form == "strings":
        picked = pick_lyrics_baseline(asked, None, takes_embeddings=False)
        return gate_strings(text, columns, picked), picked
    tokens = tokenize(subject, text)
    picked = pick_lyrics_baseline(asked, tokens, subject.text_form == "embeddings")
    if subject.text_form == "ids":
        return gate_ids(tokens, columns, picked, device), picked
    return gate_embeddings(subject, tokens, columns, picked, device), picked


def tokenize(subject: Subject, text: str) -> Tokens:
    """The model's own tokens; InputError where it fails, or returns something else."""
    try:
        tokens = subject.model.tokenize(text)  # text_form says that it has it
    except Exception as error:  # the model is somebody else's code and may raise anything
        raise InputError(f"the model {subject.name} can't tokenize the lyrics: {type(error).__name__}: {error}") from error
    if not isinstance(tokens, Tokens):
        raise InputError(
            f"{subject.name}.tokenize returned a {type(tokens).__name__}: it must return models.contract.Tokens."
        )
    return tokens


def gate_swaps(subject: Subject, text: str, swaps: Sequence[Sequence[Swap]], device: torch.device) -> LyricGates:
    """Lyrics whose words become others, column by column; a column without a swap stays as it is.

    InputError for a model that takes token ids alone, where another word has another number of tokens.
    """
    spans = tuple(tuple((start, end) for start, end, _ in parts) for parts in swaps)
    words = tuple(tuple(word for *_, word in parts) for parts in swaps)
    plain = StringGates(text, spans, "", words)
    if subject.text_form == "strings":
        return plain
    other, moved = _swap_all(text, swaps)
    here, there = tokenize(subject, text), tokenize(subject, other)
    owners, others = own_tokens(here, spans), own_tokens(there, moved)
    free = len(spans)
    if owners == others and all(a == b for a, b, owner in zip(here.ids, there.ids, owners, strict=True) if owner == free):
        owner, ids, swapped = torch.tensor(owners, dtype=torch.long).to(device), here.ids.to(device), there.ids.to(device)
        if subject.text_form == "ids":
            return IdGates(ids, swapped, owner)
        return TokenGates(subject.model.embed_text(ids), subject.model.embed_text(swapped), owner, gone=False)
    if subject.text_form == "ids":
        odd = next((column for column in range(free) if owners.count(column) != others.count(column)), 0)
        start, end, word = (*swaps[odd], (0, 0, ""))[0]
        raise InputError(
            f"lyrics_baseline puts {word!r} in the place of {text[start:end]!r}, which has another number of tokens for "
            f"{subject.name}, and that takes token ids alone: give a word of as many tokens.",
            argument="lyrics_baseline",
        )
    # What owns no token either way lies past the token limit.
    read = [column in owners or column in others for column in range(free)]
    spans = tuple(parts if there else () for parts, there in zip(spans, read, strict=True))
    words = tuple(parts if there else () for parts, there in zip(words, read, strict=True))
    return StringGates(text, spans, "", words, subject.model, device)


def _swap_all(text: str, swaps: Sequence[Sequence[Swap]]) -> tuple[str, Spans]:
    """The text with every other word in its place, and where these lie in it, column by column."""
    parts = sorted((start, end, word, column) for column, some in enumerate(swaps) for start, end, word in some)
    pieces, here, moved = [], 0, 0
    places: list[list[tuple[int, int]]] = [[] for _ in swaps]
    for start, end, word, column in parts:
        pieces += [text[here:start], word]
        places[column].append((start + moved, start + moved + len(word)))
        moved += len(word) - (end - start)
        here = end
    return "".join([*pieces, text[here:]]), tuple(map(tuple, places))


def pick_lyrics_baseline(asked: LyricsBaseline | None, tokens: Tokens | None, takes_embeddings: bool) -> LyricsBaseline:
    """The one asked for; otherwise the mask token if there is one, or else what the model's form of text allows."""
    if asked is not None:
        return asked
    if tokens is None:
        return "gone"
    if tokens.mask_id is not None:
        return "mask"
    return "zero" if takes_embeddings else "pad"


def gate_embeddings(
    subject: Subject, tokens: Tokens, spans: Spans, baseline: LyricsBaseline, device: torch.device
) -> TokenGates:
    """Look the song's token embeddings up once, and the baseline's."""
    # Looked up once per song: every variant is a choice between two rows per token, made on the device.
    ids, owners = tokens.ids.to(device), own_tokens(tokens, spans)
    embeddings = subject.model.embed_text(ids)
    if baseline in ("zero", "gone"):
        # A sum over the first row only gives shape, dtype and device, for lyrics without a token, too.
        stand_in = torch.zeros_like(embeddings[:1].sum(0))
    else:
        stand_in = subject.model.embed_text(_baseline_id(tokens, baseline).to(device).reshape(1))[0]
    gone = baseline == "gone"
    sizes = tuple(map(owners.count, range(len(spans) + 1))) if gone and subject.takes_positions else None
    return TokenGates(embeddings, stand_in, torch.tensor(owners, dtype=torch.long).to(device), gone, sizes)


def gate_ids(tokens: Tokens, spans: Spans, baseline: LyricsBaseline, device: torch.device) -> IdGates:
    """Token ids for models that take no embeddings: only another token can stand in."""
    # An id is all that such a model takes, and neither zero nor "not attended to" is one.
    if baseline not in ("mask", "pad"):
        raise InputError(
            f"lyrics baseline {baseline!r} needs token embeddings, which this model doesn't take: use mask or pad.",
            argument="lyrics_baseline",
        )
    owner = torch.tensor(own_tokens(tokens, spans), dtype=torch.long)
    return IdGates(tokens.ids.to(device), _baseline_id(tokens, baseline).to(device), owner.to(device))


def gate_strings(text: str, spans: Spans, baseline: LyricsBaseline) -> StringGates:
    """Strings for models that tokenize by themselves: a removed word is gone."""
    if baseline != "gone":
        raise InputError(
            f"lyrics baseline {baseline!r} needs tokens, but this model reads strings: use gone.", argument="lyrics_baseline"
        )
    return StringGates(text, spans, stand_in="")


def own_tokens(tokens: Tokens, spans: Sequence[Sequence[tuple[int, int]]]) -> list[int]:
    """The lyric column that each token belongs to, or the number of columns for a token that no column claims.

    A token that reaches into two words belongs to the first.
    """
    # Both lists are sorted by their starts in nearly all cases, so one pass merges them. `here` is the first stretch that
    # doesn't end before the token: it claims the token if it also begins before the token's end.
    starts = sorted((start, end, column) for column, parts in enumerate(spans) for start, end in parts)
    owners, here, behind = [], 0, 0
    for first, final in tokens.spans:
        if first < behind:
            here = 0  # a tokenizer that doesn't go from left to right: search from the beginning
        behind = max(first, 0)
        while here < len(starts) and starts[here][1] <= first < final:
            here += 1
        # Special tokens have empty spans, and nothing owns them.
        claimed = first < final and here < len(starts) and starts[here][0] < final
        owners.append(starts[here][2] if claimed else len(spans))
    return owners


def list_unread(gates: LyricGates, columns: int) -> list[int]:
    """Lyric columns that own no token: past the model's limit, or dropped by its tokenizer. Reads the device."""
    if isinstance(gates, StringGates):
        return [column for column in range(columns) if not gates.spans[column]] if gates.words is not None else []
    owned = set(gates.owner.tolist())
    return [column for column in range(columns) if column not in owned]


def list_words(gates: LyricGates | None) -> Words | None:
    """What a student reads, on the CPU in float32; None for lyrics that aren't embedded."""
    if not isinstance(gates, TokenGates):
        return None
    sung = gates.embeddings.float().cpu()
    return Words(sung, gates.baseline.float().cpu().expand_as(sung), gates.owner.cpu())


#: Numbers of tokens that are left in a batch are rounded up to a multiple of this: fewer different shapes, and rows that
#: start where a GPU likes to read.
ROUNDED = 8


def count_tokens(gates: LyricGates | None, masks: Bool[Tensor, "n column"]) -> Int[Tensor, " n"] | None:
    """Tokens that each mask keeps, from masks on the CPU; None for lyrics whose removed tokens aren't left out."""
    if not isinstance(gates, TokenGates) or gates.sizes is None:
        return None
    *sizes, always = gates.sizes
    return masks.long() @ torch.tensor(sizes, dtype=torch.long) + always


def mask_lyrics(
    gates: LyricGates, masks: Bool[Tensor, "variant column"], lengths: Int[Tensor, " variant"] | None = None
) -> Text:
    """Render what the model reads of each variant; strings are made on the host, tokens stay on the device.

    With `lengths`, from `count_tokens`, removed tokens are left out: the longest variant says how many the batch has.
    """
    if isinstance(gates, StringGates):
        texts = [_cut_out(gates, row) for row in masks.tolist()]
        return texts if gates.reader is None else _embed_texts(gates, texts)
    # One more column, always on, for the tokens that no column owns: each token then looks its own column up.
    always = torch.ones_like(masks[:, :1]) if masks.shape[1] else masks.new_ones(masks.shape[0], 1)
    there = torch.cat([masks, always], 1).index_select(1, gates.owner)
    if isinstance(gates, IdGates):
        return torch.where(there, gates.ids, gates.baseline)
    if lengths is not None:
        return _leave_out(gates, there, int(lengths.max()))
    attended = there if gates.gone else torch.ones_like(there)
    return TokenBatch(torch.where(there[:, :, None], gates.embeddings, gates.baseline), attended)


def _leave_out(gates: TokenGates, there: Bool[Tensor, "variant token"], most: int) -> TokenBatch:
    """The tokens that are there, in their order and with their places; of shorter variants some of the others after them,
    which aren't attended to.
    """
    most = min(-(-max(most, 1) // ROUNDED) * ROUNDED, there.shape[1])
    order = (~there).byte().argsort(dim=1, stable=True)[:, :most]
    return TokenBatch(gates.embeddings[order], there.gather(1, order), order)


def _cut_out(gates: StringGates, kept: list[bool]) -> str:
    # By position, whatever column they belong to: a word type has spans all over the song.
    own = gates.words or tuple((gates.stand_in,) * len(spans) for spans in gates.spans)
    removed = sorted(
        (*span, word)
        for spans, words, keep in zip(gates.spans, own, kept, strict=True)
        if not keep
        for span, word in zip(spans, words, strict=True)
    )
    parts, here = [], 0
    for start, end, word in removed:
        parts += [gates.text[here:start], word]
        # A word cut out takes the space after it along, or its neighbours would stand two spaces apart.
        here = end + (not word and gates.text[end : end + 1] == " ")
    return "".join([*parts, gates.text[here:]])


def _embed_texts(gates: StringGates, texts: list[str]) -> TokenBatch:
    """Texts as the model's tokens; shorter ones end in padding that isn't attended to."""
    tokens = [gates.reader.tokenize(text) for text in texts]
    pad = tokens[0].pad_id if tokens[0].pad_id is not None else int(tokens[0].ids[0])
    longest = max(len(each.ids) for each in tokens)
    ids = torch.full((len(tokens), longest), pad)
    for row, each in zip(ids, tokens, strict=True):
        row[: len(each.ids)] = each.ids
    lengths = torch.tensor([len(each.ids) for each in tokens])
    attended = torch.arange(longest)[None] < lengths[:, None]
    return TokenBatch(gates.reader.embed_text(ids.to(gates.device)), attended.to(gates.device))


def _baseline_id(tokens: Tokens, baseline: LyricsBaseline) -> Int[Tensor, ""]:
    number = tokens.mask_id if baseline == "mask" else tokens.pad_id
    if number is None:
        raise InputError(
            f"the model's tokenizer has no {baseline} token: use another lyrics baseline, such as zero or gone.",
            argument="lyrics_baseline",
        )
    return torch.tensor(number)
