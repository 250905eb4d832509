"""Lyrics from masks: the text in the form a model reads, and what stands in for a removed word.

A model reads token embeddings, token ids or strings, and lyrics are brought into that form once (`gate_lyrics`). A variant
then swaps tokens for the baseline's on their device, or cuts characters out on the host (`mask_lyrics`). Lyric masks are
(variant, column), and the all-ones mask renders the lyrics as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.choices import LyricsBaseline
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import EmbedsText, TokenBatch, Tokens
from musiclime_torch.models.subject import Subject

#: The characters of each lyric column.
Spans = tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True)
class TokenGates:
    """Lyrics ready to be masked at their embeddings; `owner` is each token's lyric column, the last one = always on.

    With `gone` removed tokens are not attended to at all.
    """

    embeddings: Float[Tensor, "token dim"]
    baseline: Float[Tensor, " dim"]
    owner: Int[Tensor, " token"]
    gone: bool


@dataclass(frozen=True)
class IdGates:
    """Lyrics ready to be masked at their token ids, for models that take no embeddings."""

    ids: Int[Tensor, " token"]
    baseline: Int[Tensor, ""]
    owner: Int[Tensor, " token"]


@dataclass(frozen=True)
class StringGates:
    """Lyrics for models that read strings: each column's characters are cut out, or replaced by `stand_in`."""

    text: str
    spans: Spans
    stand_in: str


LyricGates = TokenGates | IdGates | StringGates

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
    try:
        tokens = subject.model.tokenize(text)  # text_form says that it has it
    except Exception as error:  # the model is somebody else's code and may raise anything
        raise InputError(f"the model {subject.name} can't tokenize the lyrics: {type(error).__name__}: {error}") from error
    if not isinstance(tokens, Tokens):
        raise InputError(
            f"{subject.name}.tokenize returned a {type(tokens).__name__}: it must return models.contract.Tokens."
        )
    picked = pick_lyrics_baseline(asked, tokens, subject.text_form == "embeddings")
    if subject.text_form == "ids":
        return gate_ids(tokens, columns, picked, device), picked
    return gate_embeddings(subject.model, tokens, columns, picked, device), picked


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
    model: EmbedsText, tokens: Tokens, spans: Spans, baseline: LyricsBaseline, device: torch.device
) -> TokenGates:
    """Look the song's token embeddings up once, and the baseline's."""
    # Looked up once per song: every variant is a choice between two rows per token, made on the device.
    ids = tokens.ids.to(device)
    embeddings = model.embed_text(ids)
    if baseline in ("zero", "gone"):
        # A sum over the first row only gives shape, dtype and device, for lyrics without a token, too.
        stand_in = torch.zeros_like(embeddings[:1].sum(0))
    else:
        stand_in = model.embed_text(_baseline_id(tokens, baseline).to(device).reshape(1))[0]
    return TokenGates(
        embeddings, stand_in, torch.tensor(own_tokens(tokens, spans), dtype=torch.long).to(device), baseline == "gone"
    )


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
        return []
    owned = set(gates.owner.tolist())
    return [column for column in range(columns) if column not in owned]


def mask_lyrics(gates: LyricGates, masks: Bool[Tensor, "variant column"]) -> Text:
    """Render what the model reads of each variant; strings are made on the host, tokens stay on the device."""
    if isinstance(gates, StringGates):
        return [_cut_out(gates, row) for row in masks.tolist()]
    # One more column, always on, for the tokens that no column owns: each token then looks its own column up.
    always = torch.ones_like(masks[:, :1]) if masks.shape[1] else masks.new_ones(masks.shape[0], 1)
    kept = torch.cat([masks, always], 1).index_select(1, gates.owner)
    if isinstance(gates, IdGates):
        return torch.where(kept, gates.ids, gates.baseline)
    attended = kept if gates.gone else torch.ones_like(kept)
    return TokenBatch(torch.where(kept[:, :, None], gates.embeddings, gates.baseline), attended)


def _cut_out(gates: StringGates, kept: list[bool]) -> str:
    # By position, whatever column they belong to: a word type has spans all over the song.
    removed = sorted(span for spans, keep in zip(gates.spans, kept, strict=True) if not keep for span in spans)
    parts, here = [], 0
    for start, end in removed:
        parts += [gates.text[here:start], gates.stand_in]
        # A word cut out takes the space after it along, or its neighbours would stand two spaces apart.
        here = end + (not gates.stand_in and gates.text[end : end + 1] == " ")
    return "".join([*parts, gates.text[here:]])


def _baseline_id(tokens: Tokens, baseline: LyricsBaseline) -> Int[Tensor, ""]:
    number = tokens.mask_id if baseline == "mask" else tokens.pad_id
    if number is None:
        raise InputError(
            f"the model's tokenizer has no {baseline} token: use another lyrics baseline, such as zero or gone.",
            argument="lyrics_baseline",
        )
    return torch.tensor(number)
