"""Variants in the plane of time and frequency, for models that declare how they come by their spectra.

Such a model offers `to_spectra(audio)`, which is linear and returns complex spectra (batch, channel, bin, place), and
`hear_spectra(spectra)`, which makes outputs of these. A place lies in the middle of its window. Where medians over
neighbouring places stand in for what is removed, a stem's spectrum is then exactly that: nothing is turned back into sound,
where overlapping windows would blur it. Being linear, spectra of stems are gated and added up as their sounds are.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from musiclime_torch.basics.edits import Edit
from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.subject import Subject
from musiclime_torch.variants.components import find_borders
from musiclime_torch.variants.edits import Grid, smooth_spectrum
from musiclime_torch.variants.sound import CROSS_FADE, Place, Window, Zone, lay_windows, lay_zones, list_columns


def hears_spectra(subject: Subject) -> bool:
    """Whether a model of one piece offers its spectra."""
    return not subject.late_fusion and all(
        callable(getattr(subject.model, name, None)) for name in ("to_spectra", "hear_spectra")
    )


def find_grid(subject: Subject) -> Grid | None:
    """The window and the hop of the spectra that a model declares it sees, in samples."""
    declared = getattr(subject.model, "spectrogram", None)
    if declared is None:
        return None
    if not (isinstance(declared, tuple) and len(declared) == 2 and all(isinstance(n, int) for n in declared)) or not (
        0 < 2 * declared[1] <= declared[0]
    ):
        raise InputError(
            f"{subject.name} declares spectrogram={declared!r}: it must be window and hop in samples, such as (512, 256)."
        )
    return declared


def gate_spectra(
    subject: Subject,
    stems: Float[Tensor, "stem channel frame"],
    medians: Sequence[Edit],
    edges: Sequence[float],
    sample_rate: int,
) -> tuple[Window, ...]:
    """Windows of spectra, on the stems' device; `medians` are those of each stem. Neighbours are those in a window."""
    frames = stems.shape[-1]
    borders = find_borders(edges, sample_rate, frames)
    longest = None if subject.max_seconds is None else round(subject.max_seconds * sample_rate)
    places = lay_windows(borders, longest, max(round(CROSS_FADE * sample_rate), 1))
    return tuple(
        _gate_window(subject, stems[:, :, place.start : place.end], medians, borders, place, sample_rate) for place in places
    )


def _gate_window(
    subject: Subject,
    stems: Float[Tensor, "stem channel frame"],
    medians: Sequence[Edit],
    borders: Sequence[int],
    place: Place,
    sample_rate: int,
) -> Window:
    spectra = _transform(subject, stems)
    # A model that fills short sounds up has places beyond their end.
    grid = find_grid(subject)
    hop = stems.shape[-1] / spectra.shape[-1] if grid is None else grid[1]
    # Half the median's length on either side, in places of the model's own grid.
    smooth = torch.stack(
        [
            smooth_spectrum(own, max(round(edit.amount * sample_rate / hop / 2), 1))
            for own, edit in zip(spectra, medians, strict=True)
        ]
    )
    # As for sound: what is gated is the difference to the stand-in, over the stand-ins of all stems. Spectra add up as
    # sounds do, so that a mix of gated spectra is the spectrum of the mix.
    plane, floor = _unfold(spectra - smooth), _unfold(smooth).sum(0)
    count = plane.shape[-1]
    if place.segment is None:
        own = [round((border - place.start) / hop) for border in borders]
        # A border's own place belongs to both sides by halves.
        zones = lay_zones(plane, own, 1, 0, count)
    else:
        zones = (Zone(0, count, place.segment, None, plane.flatten(1).contiguous()),)
    columns = list_columns(zones, plane.ne(0).any(1).cpu(), len(stems), len(borders) - 1)
    bins = (spectra.shape[1], spectra.shape[2])
    return Window(zones, plane.shape[1], count, floor, columns, place.weight, bins)


def _transform(subject: Subject, stems: Float[Tensor, "stem channel frame"]) -> Complex[Tensor, "stem channel bin place"]:
    spectra: Any = subject.model.to_spectra(stems)
    if not isinstance(spectra, Tensor) or not spectra.is_complex() or spectra.dim() != 4 or len(spectra) != len(stems):
        raise InputError(
            f"{subject.name}.to_spectra must return complex spectra (batch, channel, bin, place) for {len(stems)} sounds."
        )
    return spectra


def _unfold(spectra: Complex[Tensor, "stem channel bin place"]) -> Float[Tensor, "stem part place"]:
    """Real and imaginary parts of all bins, as the channels of a sound."""
    return torch.view_as_real(spectra).permute(0, 1, 2, 4, 3).flatten(1, 3).contiguous()
