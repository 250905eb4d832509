"""Stems cut into frequency bands that add up to them, without delay.

A band is the difference of two low-pass filters, the highest one what the others leave: so the sum is exact. The filters are
sinc functions under Kaiser's window ("Nonrecursive digital filter design using the I0-sinh window function", 1974). They are
symmetric around zero: their phase is zero, and a hit stays where it is. They fall by 80 dB within a quarter of the edge.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from musiclime_torch.basics.errors import InputError

#: dB by which a filter suppresses what lies beyond its transition.
_SUPPRESSED = 80.0
#: Width of the transition, as a share of the edge.
_TRANSITION = 0.25
#: Kaiser's shape parameter for that suppression (his equation for 50 dB and more).
_SHAPE = 0.1102 * (_SUPPRESSED - 8.7)
#: Least length of the blocks that are filtered at once.
_BLOCK = 1 << 16

#: Words for bands from the lowest to the highest, by their number.
_WORDS = {2: ("low", "high"), 3: ("low", "mid", "high"), 4: ("low", "low mid", "high mid", "high")}


def split_bands(
    stems: Float[Tensor, "stem channel frame"],
    names: Sequence[str],
    sample_rate: int,
    edges: Sequence[float],
    device: torch.device | str,
) -> tuple[Float[Tensor, "band channel frame"], tuple[str, ...]]:
    """Every stem's bands, stem by stem from low to high, on the CPU; each stem is the sum of its bands.

    `edges` lie between the bands, ascending, in Hz. InputError for one that isn't below half the sample rate.
    """
    if edges[-1] >= sample_rate / 2:
        raise InputError(
            f"separator: a band from {edges[-1]:g} Hz is empty, as the song ends at {sample_rate / 2:g} Hz (its sample rate "
            f"is {sample_rate} Hz): give lower edges.",
            argument="separator",
        )
    bands = [part for stem in stems for part in _split(stem, sample_rate, edges, torch.device(device))]
    ranges = name_bands(edges)
    return torch.stack(bands), tuple(name if stem == "mix" else f"{stem} {name}" for stem in names for name in ranges)


def name_bands(edges: Sequence[float]) -> tuple[str, ...]:
    """What the bands are called.

    >>> name_bands([200, 2000])
    ('low (0-200 Hz)', 'mid (200-2000 Hz)', 'high (above 2000 Hz)')
    """
    ranges = [f"{low:g}-{high:g} Hz" for low, high in zip((0, *edges), edges, strict=False)] + [f"above {edges[-1]:g} Hz"]
    words = _WORDS.get(len(ranges))
    return tuple(ranges) if words is None else tuple(f"{word} ({part})" for word, part in zip(words, ranges, strict=True))


def is_band(name: str) -> bool:
    """Whether a stem of this name is a band.

    >>> is_band("vocals low (0-200 Hz)"), is_band("bass")
    (True, False)
    """
    return name.endswith((" Hz", " Hz)"))


def describe_bands(edges: Sequence[float], source: str) -> str:
    """Where such stems come from.

    >>> describe_bands([200, 2000], "")
    'frequency bands of the song with edges at 200 and 2000 Hz, as asked'
    """
    *most, last = (f"{edge:g}" for edge in edges)
    between = f"{', '.join(most)} and {last}" if most else last
    return f"frequency bands of {source or 'the song'} with edges at {between} Hz" + ("" if source else ", as asked")


def _split(
    sound: Float[Tensor, "channel frame"], sample_rate: int, edges: Sequence[float], device: torch.device
) -> list[Float[Tensor, "channel frame"]]:
    below = [torch.zeros_like(sound), *filter_blocks(sound, make_low_passes(sample_rate, edges).to(device))]
    bands = [upper - lower for lower, upper in pairwise(below)]
    # Not `sound - below[-1]`: the bands themselves have been rounded, and are what has to add up.
    return [*bands, sound - sum(bands)]


def make_low_passes(sample_rate: int, edges: Sequence[float]) -> Float[Tensor, "edge tap"]:
    """Filters of one odd length, which the lowest edge asks for, each with a gain of one at 0 Hz."""
    # Kaiser's estimate of the order: (A - 8) / (2.285 Δω), where Δω is the transition in radians a sample.
    width = 2 * math.pi * _TRANSITION * edges[0] / sample_rate
    reach = math.ceil((_SUPPRESSED - 8) / (2.285 * width) / 2)
    time = torch.arange(-reach, reach + 1, dtype=torch.float64)
    rows = []
    for edge in edges:
        # Higher edges have wider transitions, and need fewer taps.
        own = max(1, math.ceil(reach * edges[0] / edge))
        window = torch.zeros_like(time)
        window[reach - own : reach + own + 1] = torch.kaiser_window(2 * own + 1, False, _SHAPE, dtype=torch.float64)
        row = torch.sinc(2 * edge / sample_rate * time) * window
        rows.append(row / row.sum())
    return torch.stack(rows)


def filter_blocks(
    sound: Float[Tensor, "channel frame"], filters: Float[Tensor, "edge tap"]
) -> Float[Tensor, "edge channel frame"]:
    """Each filter's output, aligned with the sound, beyond whose ends there is silence. Overlap-save, block by block."""
    taps, frames = filters.shape[1], sound.shape[1]
    size = max(_BLOCK, 1 << (4 * taps - 1).bit_length())
    step, reach = size - taps + 1, taps // 2
    spectra = torch.fft.rfft(filters, n=size).to(torch.complex64)[:, None]
    padded = functional.pad(sound, (reach, reach + step))
    filtered = sound.new_empty(len(filters), *sound.shape)
    for first in range(0, frames, step):
        block = torch.fft.rfft(padded[:, first : first + size].to(filters.device), n=size)
        last = min(first + step, frames)
        # The first taps - 1 samples of a circular convolution are wrapped around; those that follow are the linear one's.
        output = torch.fft.irfft(block * spectra, n=size)[..., taps - 1 :]
        filtered[..., first:last] = output[..., : last - first].cpu()
    return filtered
