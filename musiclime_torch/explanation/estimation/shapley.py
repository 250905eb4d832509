"""Shapley values of a model on a track: every mask where they are few, crossed inclusion levels for late fusion, leverage
samples otherwise.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.explanation.estimation.loop import Estimate, count_passes
from musiclime_torch.surrogate.design import MOST_ENUMERATED, enumerate_masks
from musiclime_torch.surrogate.fit import Known
from musiclime_torch.surrogate.sampling import Sampling
from musiclime_torch.surrogate.shapley.level_fit import solve_levels
from musiclime_torch.surrogate.shapley.levels import LevelDesign, draw_levels, solve_exact
from musiclime_torch.surrogate.shapley.leverage import draw_leverage, solve_leverage
from musiclime_torch.variants.asking import encode_audio, encode_lyrics, run_checked
from musiclime_torch.variants.forward import check_count
from musiclime_torch.variants.fusing import fuse
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, check_means, to_values

#: Inclusion levels. The integrand of a product of k components is a polynomial of degree k − 1 in the level t, and four
#: Gauss-Legendre nodes are exact up to degree 7: products of up to eight components. Eight levels have larger errors at the
#: same budget.
LEVELS = 4

#: Classes whose scores are held at a time, in levels: (pair, component, class) tables fill memory otherwise.
CLASSES = 16


def estimate_shapley(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], sampling: Sampling, cross: bool
) -> Estimate:
    """Shapley values, which sum to song − empty song. With `cross`, inclusion levels are drawn for both sides separately."""
    d = len(probe.seen)
    ends = to_values(scale, ends)
    if isinstance(sampling.n_samples, int) and d <= MOST_ENUMERATED and 2**d <= sampling.every_mask:
        return _enumerate(probe, scale, ends)
    if cross:
        return _cross(probe, scale, ends, sampling)
    design = draw_leverage(d, sampling.total, sampling.seed)
    values = _ask(probe, scale, design.masks)
    on_device = design.to(probe.device)
    fit = solve_leverage(on_device, values, ends[0], ends[1])
    fidelity = _measure_fidelity(on_device.masks, values, fit, ends[1])
    return _gather(probe, fit, ends, fidelity, "coalitions of all sizes, in pairs", len(values))


def _enumerate(probe: Probe, scale: Scale, ends: Float[Tensor, "2 value"]) -> Estimate:
    masks = enumerate_masks(len(probe.seen)).masks
    values = _ask(probe, scale, masks)
    on_device = masks.to(probe.device)
    fit = solve_exact(on_device, values)
    fidelity = _measure_fidelity(on_device, values, fit, ends[1])
    return _gather(probe, fit, ends, fidelity, f"every one of the {len(masks)} masks", len(masks))


def _cross(probe: Probe, scale: Scale, ends: Float[Tensor, "2 value"], sampling: Sampling) -> Estimate:
    d_audio, d_lyrics = len(probe.seen_audio), len(probe.seen_lyrics)
    n_audio, n_lyrics = sampling.n_samples if isinstance(sampling.n_samples, tuple) else share_masks(
        sampling.n_samples, d_audio, d_lyrics
    )  # fmt: skip
    design = draw_levels(d_audio, d_lyrics, n_audio, n_lyrics, LEVELS, sampling.seed)
    sounds, texts = encode_audio(probe, design.audio), encode_lyrics(probe, design.lyrics)
    values = []
    for rows, columns in zip(design.audio_rows, design.lyric_rows, strict=True):
        outputs = fuse(probe, tuple(window.take(rows) for window in sounds), texts.take(columns))
        check_count(probe.subject, len(scale.song), outputs.shape[2])
        values.append(to_values(scale, outputs))
        check_means(values[-1].mean((0, 1)), scale.classes, probe.subject.name)
    on_device = design.to(probe.device)
    fit = _solve_in_turn(on_device, values, ends)
    fidelity = _measure_fidelity(_pair_masks(on_device), torch.cat([level.flatten(0, 1) for level in values]), fit, ends[1])
    counts = (len(design.audio), len(design.lyrics))
    name = f"crossed at {LEVELS} inclusion levels, {counts[0]} masks of the sound and {counts[1]} of the lyrics"
    return _gather(probe, fit, ends, fidelity, name, sum(level.shape[0] * level.shape[1] for level in values))


def _solve_in_turn(design: LevelDesign, values: list[Tensor], ends: Float[Tensor, "2 value"]) -> Known:
    """Solve a few classes at a time, which bounds memory."""
    parts = []
    for start in range(0, ends.shape[1], CLASSES):
        chunk = slice(start, start + CLASSES)
        parts.append(solve_levels(design, [level[:, :, chunk] for level in values], ends[0, chunk], ends[1, chunk]))
    return Known(
        torch.cat([part.values for part in parts]),
        torch.cat([part.errors for part in parts]),
        torch.cat([part.freedom for part in parts]),
    )


def share_masks(n_samples: int, d_audio: int, d_lyrics: int) -> tuple[int, int]:
    """Masks per side for the smallest sum of squared errors, where every component's variance falls as 1 / masks.

    d_a / n_a + d_t / n_t with n_a + n_t fixed is smallest at n_a : n_t = √d_a : √d_t.

    >>> share_masks(1400, 40, 90)
    (560, 840)
    """
    audio = round(n_samples * d_audio**0.5 / (d_audio**0.5 + d_lyrics**0.5))
    return audio, n_samples - audio


def _pair_masks(design: LevelDesign) -> Bool[Tensor, "n d"]:
    """Every pair of masks of a level as a joint mask."""
    pairs = []
    for rows, columns in zip(design.audio_rows, design.lyric_rows, strict=True):
        audio, lyrics = design.audio[rows], design.lyrics[columns]
        pairs.append(torch.cat([audio.repeat_interleave(len(lyrics), 0), lyrics.repeat(len(audio), 1)], 1))
    return torch.cat(pairs)


def _ask(probe: Probe, scale: Scale, masks: Bool[Tensor, "n d"]) -> Float[Tensor, "n value"]:
    return to_values(scale, run_checked(probe, scale, masks))


def _measure_fidelity(
    masks: Bool[Tensor, "n d"], values: Float[Tensor, "n value"], fit: Known, empty: Float[Tensor, " value"]
) -> Float[Tensor, " value"]:
    """R² of empty song + Σ of the kept components' values, over the variants that were run."""
    missed = (values - empty - masks.double() @ fit.values.T).square().mean(0)
    spread = values.var(0, correction=0)
    return torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread))


def _gather(
    probe: Probe,
    fit: Known,
    ends: Float[Tensor, "2 value"],
    fidelity: Float[Tensor, " value"],
    design: str,
    n_variants: int,
) -> Estimate:
    return Estimate(
        coefficients=fit,
        intercept=ends[1],
        fidelity=fidelity,
        dependent=torch.zeros(fit.values.shape[1], dtype=torch.bool),
        ends=ends,
        design=design,
        n_variants=n_variants,
        passes=count_passes(probe),
    )
