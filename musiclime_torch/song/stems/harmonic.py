"""Harmonic and percussive parts by median filtering.

Fitzgerald, "Harmonic/Percussive Separation using Median Filtering", DAFx 2010: in a magnitude spectrogram sustained
tones are ridges along time and hits are ridges along frequency, so a median along time keeps the one and a median along
frequency the other. His 17 frames and 17 bins, FFT of about 93 ms with a hop of a quarter, and Wiener masks (eq. 8:
H² / (H² + P²)). Both masks sum to one, so the percussive part is what the harmonic part leaves.

Frames lie on one grid over the whole song and each block of them sees its neighbours: block size changes nothing.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_LENGTH = 17
_SIDE = _LENGTH // 2
#: Seconds; 4096 frames at 44.1 kHz, as in the paper.
_WINDOW = 4096 / 44100
#: Values of a block of magnitudes.
_BLOCK, _GPU_BLOCK = 1 << 20, 1 << 24
#: Values the medians take at once on a CPU: they stay in its cache, and torch's threads, which it starts from 32,768
#: values on, don't meet after each of 256 small steps (on a busy machine that took forty times as long as the work).
_TILE = 1 << 14


def split_harmonic(
    samples: Float[Tensor, "channel frame"],
    sample_rate: int,
    device: torch.device | str,
    advance: Callable[[float], object] = lambda share: None,
) -> tuple[Float[Tensor, "2 channel frame"], tuple[str, str]]:
    """The harmonic and the percussive part, on the CPU, and their names; they sum to ``samples``.
    `advance` is told of each share of the work that is done.
    """
    size = 1 << round(math.log2(_WINDOW * sample_rate))
    stems = samples.new_empty(2, *samples.shape)
    for channel, sound in enumerate(samples):
        stems[0, channel] = _keep_tones(sound, size, torch.device(device), lambda share: advance(share / len(samples)))
        torch.sub(sound, stems[0, channel], out=stems[1, channel])
    return stems, ("harmonic", "percussive")


def _keep_tones(
    sound: Float[Tensor, " frame"], size: int, device: torch.device, advance: Callable[[float], object]
) -> Float[Tensor, " frame"]:
    """Overlap-add of the masked frames. Silence around the song puts every sample under four windows."""
    # Windows at a quarter hop: each sample lies under four, so `size - hop` zeros before the song give its first sample
    # three windows that begin earlier, and as many frames follow its end.
    hop = size // 4
    count = -(-len(sound) // hop) + 3
    total = (count - 1) * hop + size
    padded = functional.pad(sound, (size - hop, total - (size - hop) - len(sound)))
    kept = torch.zeros_like(padded)
    window = torch.hann_window(size, device=device)
    per_block = max(32, (_BLOCK if device.type == "cpu" else _GPU_BLOCK) // size)
    for first in range(0, count, per_block):
        last = min(first + per_block, count)
        kept[first * hop : (last - 1) * hop + size] += _filter(padded, first, last, count, window).cpu()
        advance((last - first) / count)
    # Hann windows at a quarter hop, once for analysis and once for synthesis, add up to 3/2 everywhere.
    return kept[size - hop : size - hop + len(sound)] / 1.5


def _filter(padded: Float[Tensor, " frame"], first: int, last: int, count: int, window: Tensor) -> Float[Tensor, " part"]:
    """Windowed frames ``first`` to ``last`` of ``count`` with only their tones, added up."""
    size, hop = len(window), len(window) // 4
    # A median needs 8 neighbours on either side. Blocks bring theirs along; beyond the song's ends there is silence in time,
    # and the spectrum mirrored in frequency.
    begin, end = max(0, first - _SIDE), min(count, last + _SIDE)
    frames = padded[begin * hop : (end - 1) * hop + size].to(window.device).unfold(0, size, hop)
    spectrum = torch.fft.rfft(frames * window)
    magnitude = functional.pad(spectrum.abs(), (0, 0, _SIDE - (first - begin), _SIDE - (end - last)))
    spectrum = spectrum[first - begin : last - begin]
    tones = _take_median(magnitude, 0).square_()
    along_frequency = functional.pad(magnitude[None, _SIDE : _SIDE + last - first], (_SIDE, _SIDE), mode="reflect")[0]
    # Tones are ridges along time and hits are ridges along frequency (Fitzgerald 2010): a median along one direction keeps
    # its ridges and flattens the others. Squared, they give a Wiener-like soft mask, tones² / (tones² + hits²).
    hits = _take_median(along_frequency, 1).square_()
    # Where both are zero, as in silence, each gets half of nothing.
    mask = torch.where(tones + hits > 0, tones / (tones + hits), 0.5)
    masked = torch.fft.irfft(spectrum * mask, n=size) * window
    return functional.fold(masked.T[None], (1, (len(masked) - 1) * hop + size), (1, size), stride=(1, hop))[0, 0, 0]


def _take_median(values: Float[Tensor, "rows columns"], dim: int) -> Float[Tensor, "rows2 columns2"]:
    """Median of each 17 neighbours, by forgetful selection: of n/2 + 2 candidates neither extreme can be it.

    Only elementwise minima and maxima: on the CPU ten times faster than `Tensor.median` over an unfolded view.
    """
    kept = values.shape[dim] - 2 * _SIDE
    tile = max(1, _TILE // kept)
    if values.device.type == "cpu" and values.shape[1 - dim] > tile:
        return torch.cat([_take_median(part, dim) for part in values.split(tile, 1 - dim)], 1 - dim)
    shifted = [values.narrow(dim, shift, kept) for shift in range(_LENGTH)]
    # Of n values seen so far out of 17, the median of all 17 is not an extreme once n ≥ 17 / 2 + 2: dropping both extremes
    # then adding one unseen value keeps that true until one candidate is left.
    candidates, waiting = shifted[: _LENGTH // 2 + 2], shifted[_LENGTH // 2 + 2 :]
    while True:
        candidates = _drop_extremes(candidates)
        if not waiting:
            return candidates[0]
        candidates.append(waiting.pop())


def _drop_extremes(values: list[Tensor]) -> list[Tensor]:
    """All but the smallest and the largest, elementwise; every place may hold another one of them than before."""
    values, count = list(values), len(values)
    # A comparator network: first pairs are ordered, so the smallest is in the lower half and the largest in the upper one;
    # then each half is searched. 3n/2 comparisons instead of the 2n of two separate searches.
    for low in range(count // 2):
        _order(values, low, count - 1 - low)
    for other in range(1, (count + 1) // 2):
        _order(values, 0, other)
    for other in range(count // 2, count - 1):
        _order(values, other, count - 1)
    return values[1:-1]


def _order(values: list[Tensor], low: int, high: int) -> None:
    smaller, larger = values[low], values[high]
    values[low], values[high] = torch.minimum(smaller, larger), torch.maximum(smaller, larger)
