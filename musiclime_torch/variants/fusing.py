"""The head of a late-fusion model on every pair of encodings, windows averaged."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import T
from musiclime_torch.variants.forward import run_batches, run_head, run_pair_head
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.renderings import Encoded

#: Pairs of encodings that are fused at a time: their joined features take a hundred megabytes at most.
PAIRS = 16_384


def fuse(probe: Probe, sounds: tuple[Encoded, ...], texts: Encoded) -> Float[Tensor, "na nt class"]:
    """Outputs of every pair of encodings, windows averaged; `sounds` has one entry a window."""
    weights = [window.weight for window in probe.sources.windows]
    run = _fuse_blocks if hasattr(probe.subject.model, "fuse_pairs") else _fuse_rows
    words = texts.spread()
    if len(sounds) == 1:
        return run(probe, sounds[0].spread(), words)
    # Each distinct encoding meets the lyrics once, however many masks render it; and windows in which the same masks render
    # the same, as all those of a segment, are added up before their outputs are spread over the masks.
    total: Tensor | None = None
    for share, windows in _share_places(sounds, weights):
        places = windows[0].reduce()[1]
        parts = mean_over(windows, lambda window: run(probe, window.reduce()[0], words), share) * sum(share)
        spread = parts if places is None else parts.index_select(0, places)
        total = spread if total is None else total.add_(spread)
    assert total is not None, "a late-fusion model has a window"
    return total / sum(weights)


def _share_places(sounds: Sequence[Encoded], weights: Sequence[float]) -> Iterator[tuple[list[float], list[Encoded]]]:
    """Successive windows in which the same masks have the same rows, with their weights."""
    share: list[float] = []
    windows: list[Encoded] = []
    for window, weight in zip(sounds, weights, strict=True):
        if windows and not _alike(windows[0], window):
            yield share, windows
            share, windows = [], []
        share.append(weight)
        windows.append(window)
    yield share, windows


def _alike(first: Encoded, second: Encoded) -> bool:
    if first.places is None or second.places is None:
        return first.places is None and second.places is None
    return torch.equal(first.places, second.places)


def _fuse_rows(probe: Probe, sounds: Tensor, texts: Tensor) -> Float[Tensor, "na nt class"]:
    """Pair by pair in the rows of a batch: pair r is sound r // nt with lyrics r % nt."""
    na, nt = len(sounds), len(texts)

    def run(rows: slice) -> Float[Tensor, "pair class"]:
        pair = torch.arange(rows.start, rows.stop, device=sounds.device)
        encodings = (sounds.index_select(0, pair // nt), texts.index_select(0, pair % nt))
        return run_head(probe.subject, encodings, len(pair))

    parts = run_batches(probe, "fuse", na * nt, min(na * nt, PAIRS), run)
    return _join([part for _, part in parts]).unflatten(0, (na, nt))


def _fuse_blocks(probe: Probe, sounds: Tensor, texts: Tensor) -> Float[Tensor, "na nt class"]:
    """Whole blocks of pairs by the model's own `fuse_pairs`: sounds are halved until they fit, then the lyrics."""
    subject, na, nt = probe.subject, len(sounds), len(texts)

    def run(rows: slice) -> Float[Tensor, "some nt class"]:
        some = sounds[rows]
        if len(some) > 1:
            return run_pair_head(subject, some, texts)
        # A single sound can't be halved any more: only here are the lyrics split.
        parts = run_batches(
            probe, "fuse_pairs' lyrics", nt, nt, lambda columns: run_pair_head(subject, some, texts[columns])
        )
        return torch.cat([part for _, part in parts], 1)

    return _join([part for _, part in run_batches(probe, "fuse_pairs", na, na, run)])


def _join(parts: Sequence[Float[Tensor, "..."]]) -> Float[Tensor, "..."]:
    """Parts one after another; a single one isn't copied."""
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


def mean_over(windows: Sequence[T], run: Callable[[T], Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean of what `run` gives for each window, one at a time: a single result is held besides the sum.

    >>> mean_over([1, 2], lambda window: torch.full((2,), float(window)), [1.0, 3.0])
    tensor([1.7500, 1.7500])
    """
    if len(set(weights)) == 1:
        total: Tensor = reduce(torch.add, map(run, windows))
        return total / len(windows)
    parts = (weight * run(window) for window, weight in zip(windows, weights, strict=True))
    total = reduce(torch.add, parts)
    return total / sum(weights)
