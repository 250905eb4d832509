"""What stands in for a removed component: for stems silence, noise or another song's stems; for words a token or none."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.contract import EmbedsText, Tokens
from musiclime_torch.song.track import Track
from musiclime_torch.variants.sound import IdGates, LyricGates, StringGates, TokenGates, own_tokens

StandIn = Literal["silence", "noise"]
AudioBaseline = StandIn | Track
LyricsBaseline = Literal["mask", "zero", "pad", "gone"]


def make_noise(stems: Float[Tensor, "stem channel frame"], seed: int) -> Float[Tensor, "stem channel frame"]:
    """White noise as loud (RMS) as each stem, drawn on the CPU from the seed."""
    generator = torch.Generator().manual_seed(seed)
    level = stems.square().mean((1, 2), keepdim=True).sqrt()
    return torch.randn(stems.shape, generator=generator) * level


def borrow_stems(
    other: Float[Tensor, "other channel other_frame"], names: tuple[str, ...], own_names: tuple[str, ...], frames: int
) -> Float[Tensor, "stem channel frame"]:
    """Another song's stems by name, repeated or cut to length; a stem it lacks is replaced by silence."""
    repeated = other.repeat(1, 1, -(-frames // other.shape[-1]))[:, :, :frames]
    silence = torch.zeros_like(repeated[0])
    return torch.stack([repeated[names.index(name)] if name in names else silence for name in own_names])


def gate_embeddings(
    model: EmbedsText,
    tokens: Tokens,
    spans: tuple[tuple[tuple[int, int], ...], ...],
    baseline: LyricsBaseline,
    device: torch.device,
) -> TokenGates:
    """Look the song's token embeddings up once, and the baseline's."""
    ids = tokens.ids.to(device)
    embeddings = model.embed_text(ids)
    if baseline in ("zero", "gone"):
        stand_in = torch.zeros_like(embeddings[:1].sum(0))
    else:
        stand_in = model.embed_text(_baseline_id(tokens, baseline).to(device).reshape(1))[0]
    return TokenGates(
        embeddings, stand_in, torch.tensor(own_tokens(tokens, spans), dtype=torch.long).to(device), baseline == "gone"
    )


def gate_ids(
    tokens: Tokens, spans: tuple[tuple[tuple[int, int], ...], ...], baseline: LyricsBaseline, device: torch.device
) -> IdGates:
    """Token ids for models that take no embeddings: only another token can stand in."""
    if baseline not in ("mask", "pad"):
        raise InputError(
            f"lyrics baseline {baseline!r} needs token embeddings, which this model doesn't take: use mask or pad."
        )
    owner = torch.tensor(own_tokens(tokens, spans), dtype=torch.long)
    return IdGates(tokens.ids.to(device), _baseline_id(tokens, baseline).to(device), owner.to(device))


def gate_strings(text: str, spans: tuple[tuple[tuple[int, int], ...], ...], baseline: LyricsBaseline) -> StringGates:
    """Strings for models that tokenize by themselves: a removed word is gone."""
    if baseline != "gone":
        raise InputError(f"lyrics baseline {baseline!r} needs tokens, but this model reads strings: use gone.")
    return StringGates(text, spans, stand_in="")


def pick_lyrics_baseline(asked: LyricsBaseline | None, tokens: Tokens | None, takes_embeddings: bool) -> LyricsBaseline:
    """The asked one; else the mask token where there is one, else what the model's form of text allows."""
    if asked is not None:
        return asked
    if tokens is None:
        return "gone"
    if tokens.mask_id is not None:
        return "mask"
    return "zero" if takes_embeddings else "pad"


def unread_columns(gates: LyricGates, columns: int) -> list[int]:
    """Lyric columns that own no token: past the model's limit, or nothing its tokenizer keeps. Reads the device."""
    owned = set() if isinstance(gates, StringGates) else set(gates.owner.tolist())
    return [] if isinstance(gates, StringGates) else [column for column in range(columns) if column not in owned]


def _baseline_id(tokens: Tokens, baseline: LyricsBaseline) -> Int[Tensor, ""]:
    number = tokens.mask_id if baseline == "mask" else tokens.pad_id
    if number is None:
        raise InputError(
            f"the model's tokenizer has no {baseline} token: use another lyrics baseline, such as zero or gone."
        )
    return torch.tensor(number)
