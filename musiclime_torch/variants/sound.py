"""Variants from masks: stems are gated and summed, tokens are swapped for a baseline. Nothing is stored per component.

Audio masks are (variant, stem, segment); where a gate opens or closes, it cross-fades. The all-ones mask renders the
song itself. Everything but `StringGates` stays on the device of its tensors and never asks the host.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.models.contract import TokenBatch, Tokens

#: Seconds a gate takes to open or close: long enough to hide the click, short against any segment.
CROSS_FADE = 0.005


@dataclass(frozen=True)
class Zone:
    """A stretch of a window in which the gates hold still (`ramp` None) or go from `segment` over to the next one."""

    start: int
    end: int
    segment: int
    ramp: Float[Tensor, " frame"] | None
    stems: Float[Tensor, "stem channel_frame"]


@dataclass(frozen=True)
class Window:
    """What a model hears in one call: its zones, and the baseline under it (None where that is silence)."""

    zones: tuple[Zone, ...]
    channels: int
    frames: int
    floor: Float[Tensor, "channel frame"] | None


@dataclass(frozen=True)
class StemGates:
    """A track ready to be mixed: all windows, on one device."""

    windows: tuple[Window, ...]


@dataclass(frozen=True)
class TokenGates:
    """Lyrics ready to be masked at their embeddings; `owner` is each token's lyric column, the last one = always on.

    With `gone` the removed tokens are not attended to at all.
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
    spans: tuple[tuple[tuple[int, int], ...], ...]
    stand_in: str


LyricGates = TokenGates | IdGates | StringGates
Text = TokenBatch | Int[Tensor, "batch token"] | list[str]


def gate_stems(
    stems: Float[Tensor, "stem channel frame"],
    baseline: Float[Tensor, "stem channel frame"] | None,
    edges: Sequence[float],
    sample_rate: int,
    max_seconds: float | None,
) -> StemGates:
    """Prepare a track for mixing; `edges` in seconds, `baseline` None for silence.

    A track longer than `max_seconds` gets ceil(length / max_seconds) windows of that length, spread evenly from its first
    frame to its last, so that all of it is heard.
    """
    frames = stems.shape[-1]
    borders = [round(edge * sample_rate) for edge in edges[:-1]] + [frames]
    fade = max(round(CROSS_FADE * sample_rate), 1)
    difference = stems if baseline is None else stems - baseline
    floor = None if baseline is None else baseline.sum(0)
    return StemGates(
        tuple(
            Window(
                _lay_zones(difference, borders, fade, start, end),
                stems.shape[1],
                end - start,
                None if floor is None else floor[:, start:end],
            )
            for start, end in spread_windows(frames, None if max_seconds is None else round(max_seconds * sample_rate))
        )
    )


def spread_windows(frames: int, longest: int | None) -> list[tuple[int, int]]:
    """Windows of `longest` frames from the first frame to the last, evenly spread; the whole where it fits.

    >>> spread_windows(25, 10)
    [(0, 10), (8, 18), (15, 25)]
    """
    if longest is None or frames <= longest:
        return [(0, frames)]
    count = math.ceil(frames / longest)
    starts = [round(index * (frames - longest) / (count - 1)) for index in range(count)]
    return [(start, start + longest) for start in starts]


def _lay_zones(
    stems: Float[Tensor, "stem channel frame"], borders: list[int], fade: int, start: int, end: int
) -> tuple[Zone, ...]:
    """Flat zones and the fades between them, clipped to a window; a fade lies half before its border, half after."""
    zones = []
    before, after = fade // 2, fade - fade // 2
    ramp = (torch.arange(fade, device=stems.device, dtype=stems.dtype) + 0.5) / fade
    last = len(borders) - 2
    for segment, (left, right) in enumerate(pairwise(borders)):
        flat = (left + (after if segment else 0), right - (before if segment < last else 0))
        stretches = [(*flat, None)] + ([(right - before, right + after, ramp)] if segment < last else [])
        for first, final, curve in stretches:
            a, b = max(first, start), min(final, end)
            if a < b:
                piece = stems[:, :, a:b].flatten(1).contiguous()
                zones.append(
                    Zone(a - start, b - start, segment, None if curve is None else curve[a - first : b - first], piece)
                )
    return tuple(zones)


def mix(window: Window, masks: Bool[Tensor, "variant stem segment"]) -> Float[Tensor, "variant channel frame"]:
    """Render what the model hears of each variant: one matrix product per zone, memory for the batch only."""
    stems = window.zones[0].stems
    gates = masks.to(stems.dtype)
    mixed = stems.new_empty(masks.shape[0], window.channels, window.frames)
    for zone in window.zones:
        piece = (gates[:, :, zone.segment] @ zone.stems).unflatten(1, (window.channels, -1))
        if zone.ramp is not None:
            following = (gates[:, :, zone.segment + 1] @ zone.stems).unflatten(1, (window.channels, -1))
            piece = torch.lerp(piece, following, zone.ramp)
        mixed[:, :, zone.start : zone.end] = piece
    return mixed if window.floor is None else mixed + window.floor


def own_tokens(tokens: Tokens, spans: Sequence[Sequence[tuple[int, int]]]) -> list[int]:
    """The lyric column each token belongs to, the number of columns for tokens that no column claims.

    A token that reaches into two words belongs to the first.
    """
    starts = sorted((start, end, column) for column, parts in enumerate(spans) for start, end in parts)
    owners, here, behind = [], 0, 0
    for first, final in tokens.spans:
        if first < behind:
            here = 0  # a tokenizer that doesn't go from left to right
        behind = max(first, 0)
        while here < len(starts) and starts[here][1] <= first < final:
            here += 1
        claimed = first < final and here < len(starts) and starts[here][0] < final
        owners.append(starts[here][2] if claimed else len(spans))
    return owners


def mask_lyrics(gates: LyricGates, masks: Bool[Tensor, "variant column"]) -> Text:
    """Render what the model reads of each variant; strings are made on the host, tokens stay on the device."""
    if isinstance(gates, StringGates):
        return [_cut_out(gates, row) for row in masks.tolist()]
    always = torch.ones_like(masks[:, :1]) if masks.shape[1] else masks.new_ones(masks.shape[0], 1)
    kept = torch.cat([masks, always], 1).index_select(1, gates.owner)
    if isinstance(gates, IdGates):
        return torch.where(kept, gates.ids, gates.baseline)
    attended = kept if gates.gone else torch.ones_like(kept)
    return TokenBatch(torch.where(kept[:, :, None], gates.embeddings, gates.baseline), attended)


def _cut_out(gates: StringGates, kept: list[bool]) -> str:
    removed = sorted(span for spans, keep in zip(gates.spans, kept, strict=True) if not keep for span in spans)
    parts, here = [], 0
    for start, end in removed:
        parts += [gates.text[here:start], gates.stand_in]
        # A word cut out takes the space after it along, or its neighbours would drift apart.
        here = end + (not gates.stand_in and gates.text[end : end + 1] == " ")
    return "".join([*parts, gates.text[here:]])
