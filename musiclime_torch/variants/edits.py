"""What an edit does to a stem: louder or softer, filtered, shifted in pitch, smoothed over time. All keep its length.

Filters have zero phase, and spectra are taken around their frames, so that nothing is moved in time. What an edit changes by
less than -120 dB of the stem's peak stays as it was to the last bit: silence stays silence.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional

from musiclime_torch.basics.edits import Edit
from musiclime_torch.song.audio.recording import resample
from musiclime_torch.song.stems.bands import filter_blocks, make_low_passes

#: Seconds of a spectrum's window, and windows a frame is covered by.
WINDOW, OVERLAP = 0.064, 4

#: A change below this share of a stem's peak is rounding of filters and transforms.
ROUNDING = 1e-6

#: Places that medians are taken of at a time, and neighbours on a side that are looked at: all are held at once.
PLACES, NEIGHBOURS = 512, 16

#: What a model declares of its front end: the samples of a window, and from one to the next.
Grid = tuple[int, int]

Sound = Float[Tensor, "channel frame"]
Spectrum = Complex[Tensor, "channel bin place"]


def edit_stem(stem: Sound, sample_rate: int, edit: Edit, grid: Grid | None = None) -> Sound:
    """A stem edited; `grid` is that of the spectra that the model sees, for medians. Noise is drawn elsewhere."""
    if edit.kind == "gain":
        return stem * 10 ** (edit.amount / 20)
    if edit.kind == "silence":
        return torch.zeros_like(stem)
    edited = _EDITS[edit.kind](stem, sample_rate, edit.amount, grid)
    unmoved = (edited - stem).abs() <= ROUNDING * stem.abs().max()
    return torch.where(unmoved, stem, edited)


def pass_low(stem: Sound, sample_rate: int, cutoff: float, grid: Grid | None = None) -> Sound:
    """The stem up to a frequency in Hz; 80 dB down an eighth above it."""
    return filter_blocks(stem, make_low_passes(sample_rate, [cutoff]).to(stem.device))[0].to(stem)


def pass_high(stem: Sound, sample_rate: int, cutoff: float, grid: Grid | None = None) -> Sound:
    """What the low-pass at this frequency leaves."""
    return stem - pass_low(stem, sample_rate, cutoff)


def shift_pitch(stem: Sound, sample_rate: int, semitones: float, grid: Grid | None = None) -> Sound:
    """The stem so many semitones higher, as long and as loud (RMS) as before: stretched by a phase vocoder (Flanagan &
    Golden, "Phase vocoder", 1966), then resampled.
    """
    from torchaudio.functional import phase_vocoder

    frames = stem.shape[-1]
    # Whole rates for the resampling, within a thousandth of a semitone.
    factor = Fraction(2 ** (semitones / 12)).limit_denominator(1000)
    window, hop = _lay_grid(sample_rate, None)
    advance = torch.linspace(0, math.pi * hop, window // 2 + 1, dtype=stem.dtype, device=stem.device)[:, None]
    slower = phase_vocoder(_transform(stem, window, hop), float(1 / factor), advance)
    longer = _restore(slower, window, hop, max(round(frames * factor), 1))
    # Played faster by the factor, it has the old length again, and a higher pitch.
    shifted = fit_length(resample(longer, factor.numerator, factor.denominator), frames)
    power = shifted.square().mean()
    return shifted * (stem.square().mean() / power).sqrt() if power > 0 else shifted


def take_medians(stem: Sound, sample_rate: int, seconds: float, grid: Grid | None = None) -> Sound:
    """The stem with the magnitude of every frequency replaced by its median over the frames around, in its own phase.

    What stays the same over that time stays; what changes within it goes. Longer than twice a segment, the median is one of
    what lies outside the segment.
    """
    window, hop = _lay_grid(sample_rate, grid)
    smooth = smooth_spectrum(_transform(stem, window, hop), max(round(seconds * sample_rate / hop / 2), 1))
    return _restore(smooth, window, hop, stem.shape[-1])


def smooth_spectrum(spectrum: Spectrum, reach: int) -> Spectrum:
    """Every magnitude replaced by its median over the places around, in its own phase."""
    magnitude = spectrum.abs()
    # Where there is nothing, there is no phase either.
    turned = torch.where(magnitude > 0, spectrum / magnitude.clamp_min(torch.finfo(magnitude.dtype).tiny), 1.0)
    return find_medians(magnitude, reach) * turned


def find_medians(magnitude: Float[Tensor, "channel bin place"], reach: int) -> Float[Tensor, "channel bin place"]:
    """Medians over `reach` places on either side and the place itself; at the ends, the last place is repeated.

    Beyond `NEIGHBOURS` places on a side, only so many of them, evenly spread, are looked at.

    >>> find_medians(torch.tensor([[[1.0, 1.0, 9.0, 1.0, 2.0, 2.0]]]), 1).tolist()
    [[[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]]]
    """
    apart = math.ceil(reach / NEIGHBOURS)
    reach = apart * (reach // apart)
    padded = functional.pad(magnitude, (reach, reach), mode="replicate")
    parts = [
        padded[..., first : first + PLACES + 2 * reach].unfold(-1, 2 * reach + 1, 1)[..., ::apart].median(-1).values
        for first in range(0, magnitude.shape[-1], PLACES)
    ]
    return torch.cat(parts, -1)


def fit_length(sound: Float[Tensor, "channel other"], frames: int) -> Sound:
    """The sound cut to so many frames, or followed by silence."""
    return functional.pad(sound[..., :frames], (0, max(frames - sound.shape[-1], 0)))


def _lay_grid(sample_rate: int, grid: Grid | None) -> Grid:
    """Window and hop in samples: the model's own, or those that resynthesis does well with."""
    if grid is not None:
        return grid
    window = max(OVERLAP * round(WINDOW * sample_rate / OVERLAP), 2 * OVERLAP)
    return window, window // OVERLAP


def _transform(sound: Sound, window: int, hop: int) -> Spectrum:
    # Filled up with zeros: a window that lies half before the beginning needs samples there, however short the sound is.
    shape = torch.hann_window(window, device=sound.device, dtype=sound.dtype)
    filled = functional.pad(sound, (0, max(window - sound.shape[-1], 0)))
    return torch.stft(filled, window, hop, window=shape, pad_mode="constant", return_complex=True)


def _restore(spectrum: Spectrum, window: int, hop: int, frames: int) -> Sound:
    shape = torch.hann_window(window, device=spectrum.device, dtype=spectrum.real.dtype)
    return fit_length(torch.istft(spectrum, window, hop, window=shape), frames)


_EDITS: dict[str, Callable[[Tensor, int, float, Grid | None], Tensor]] = {
    "low-pass": pass_low,
    "high-pass": pass_high,
    "pitch": shift_pitch,
    "median": take_medians,
}
