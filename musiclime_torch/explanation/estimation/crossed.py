"""Masks of the sound crossed with masks of the lyrics, for late-fusion models: every side is encoded by itself, and
N_a + N_t encoder passes stand for N_a × N_t variants.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.explanation.estimation.estimate import Estimate, PairTable, PartTable
from musiclime_torch.models.flops import count_flops
from musiclime_torch.surrogate.crossed import CrossedFit, score_crossed, solve_crossed, split_errors
from musiclime_torch.surrogate.design import CrossedDesign, Design, draw_half_folded
from musiclime_torch.surrogate.pilot import allocate, is_better_unfolded
from musiclime_torch.surrogate.sampling import Sampling, draw_design
from musiclime_torch.surrogate.solver import DEPENDENT
from musiclime_torch.surrogate.stopping import Until, describe_stop, is_settled, plan_looks
from musiclime_torch.surrogate.variance import split_variance
from musiclime_torch.variants.asking import encode_audio, encode_lyrics, fuse
from musiclime_torch.variants.forward import check_count
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, check_means, list_spaces, to_values

#: Pairs of encodings that are fused at a time: their joined features take a hundred megabytes at most.
PAIRS = 16_384

#: Blocks a side to begin with, where the budget allows them: the sound is the noisier side.
START = (2, 1)


@dataclass(frozen=True)
class Encodings:
    """All masks a side may draw, and the encodings of the first of them; the sound has one tensor a window."""

    audio: Design
    lyrics: Design
    heard: tuple[Tensor, ...]
    texts: Tensor
    costs: tuple[float, float]

    @property
    def design(self) -> CrossedDesign:
        """The masks that have been encoded."""
        return CrossedDesign(self.audio.first(len(self.heard[0])), self.lyrics.first(len(self.texts)))


def estimate_crossed(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], sampling: Sampling, until: Until | None, confidence: float
) -> Estimate:
    """Watch a late-fusion model on crossed masks until what is waited for has come, or the budget is spent."""
    encodings, looks, stopped = _sample(probe, scale, sampling, until, confidence)
    design = encodings.design
    here = design.to(probe.device)
    tables, parts, main = [], [], None
    for space in dict.fromkeys((scale.space, *list_spaces(scale.output_kind, ends.shape[1]))):
        grid = _watch(probe, encodings, scale.on(space))
        fit = solve_crossed(here, grid)
        main = fit if space == scale.space else main
        tables.append(_list_pairs(space, fit))
        if here.audio.uniform and here.lyrics.uniform:
            shares = split_variance(here, grid)
            parts.append(PartTable(space, shares.values, shares.standard_errors, shares.degrees_of_freedom))
        del grid
    assert main is not None, "the scale's own space comes first"
    edges = to_values(scale, ends)
    na, nt = design.audio.n_samples, design.lyrics.n_samples
    return Estimate(
        coefficients=_join_sides(main.coefficients),
        standard_errors=_join_sides(main.standard_errors),
        degrees_of_freedom=_join_sides(main.degrees_of_freedom),
        intercept=main.intercept,
        fidelity=main.fidelity,
        dependent=~(main.pivots > DEPENDENT),
        song=edges[0],
        empty=edges[1],
        pairs=tuple(tables),
        parts=tuple(parts),
        design=f"crossed, {na} masks of the sound × {nt} of the lyrics",
        n_variants=na * nt,
        audio_passes=na + 2,
        lyrics_passes=nt + 2,
        looks=looks,
        stopped=stopped,
        notes=_note_weights(sampling) + _note_rounding(sampling, design),
    )


def build_grid(probe: Probe, encodings: Encodings, scale: Scale) -> Float[Tensor, "value na nt"]:
    """Values of every pair of masks, fused a tile at a time; kept in the precision of the outputs."""
    grid: Tensor | None = None
    step = max(PAIRS // len(encodings.texts), 1)
    na = len(encodings.heard[0])
    for start in range(0, na, step):
        rows = slice(start, start + step)
        outputs = fuse(probe, tuple(sounds[rows] for sounds in encodings.heard), encodings.texts)
        check_count(probe.subject, len(scale.song), outputs.shape[2])
        values = to_values(scale, outputs).movedim(2, 0)
        if grid is None:
            kind = torch.promote_types(outputs.dtype, torch.float32)
            grid = values.new_empty(values.shape[0], na, values.shape[2], dtype=kind)
        grid[:, rows] = values
    assert grid is not None, "a design has at least one block"
    return grid


def _watch(probe: Probe, encodings: Encodings, scale: Scale) -> Float[Tensor, "value na nt"]:
    """The grid, once it is known to hold numbers only."""
    grid = build_grid(probe, encodings, scale)
    check_means(grid.mean((1, 2)), scale.classes, probe.subject.name)
    return grid


def _sample(
    probe: Probe, scale: Scale, sampling: Sampling, until: Until | None, confidence: float
) -> tuple[Encodings, int, str]:
    """Encode what the user fixed; else a few blocks first, and the rest of the budget where it helps most."""
    if isinstance(sampling.n_samples, tuple):
        fixed = encode_masks(probe, _draw(probe, sampling, *sampling.n_samples))
        return fixed, 1, describe_stop(until, False, 1, confidence) if until else ""
    encodings = _begin(probe, sampling, sampling.n_samples)
    first = encodings.design.n_samples
    sizes = plan_looks(first, max(sampling.n_samples, first))
    share = 1 - (1 - confidence) / len(sizes)
    settled, look = False, 0
    for look, size in enumerate(sizes):
        if look == 1:
            encodings = _pick_folding(probe, scale, encodings, sampling)
        if look and (until is not None or look == len(sizes) - 1):
            encodings = _grow(probe, encodings, _share_out(probe, scale, encodings, size))
        if until is not None:
            settled = _is_settled(probe, scale, encodings, until, share)
            if settled:
                break
    return encodings, len(sizes) if until else 1, describe_stop(until, settled, look + 1, confidence)


def _draw(probe: Probe, sampling: Sampling, n_audio: int, n_lyrics: int) -> CrossedDesign:
    name = "crossed" if sampling.design == "auto" else sampling.design
    # Another seed for the lyrics: sides with as many columns would get the same masks.
    other = replace(sampling, seed=sampling.seed + 1)
    return CrossedDesign(
        draw_design(sampling, name, len(probe.seen_audio), n_audio),
        draw_design(other, name, len(probe.seen_lyrics), n_lyrics),
    )


def _begin(probe: Probe, sampling: Sampling, budget: int) -> Encodings:
    """Masks for the whole budget on either side; the first blocks encoded, which tells what a mask of a side costs."""
    drawn = _draw(probe, sampling, budget, budget)
    blocks = (drawn.audio.block, drawn.lyrics.block)
    start = (START[0] * blocks[0], START[1] * blocks[1])
    counts = start if sum(start) <= budget else blocks
    heard, ear_flops = count_flops(partial(encode_audio, probe, drawn.audio.masks[: counts[0]]))
    texts, eye_flops = count_flops(partial(encode_lyrics, probe, drawn.lyrics.masks[: counts[1]]))
    return Encodings(drawn.audio, drawn.lyrics, heard, texts, (ear_flops / counts[0], eye_flops / counts[1]))


def encode_masks(probe: Probe, design: CrossedDesign) -> Encodings:
    """All masks of both sides, each encoded once."""
    heard, texts = encode_audio(probe, design.audio.masks), encode_lyrics(probe, design.lyrics.masks)
    return Encodings(design.audio, design.lyrics, heard, texts, (1.0, 1.0))


def _grow(probe: Probe, encodings: Encodings, counts: tuple[int, int]) -> Encodings:
    """Encode more masks until there are `counts` on each side."""
    ears, eyes = len(encodings.heard[0]), len(encodings.texts)
    heard, texts = encodings.heard, encodings.texts
    if counts[0] > ears:
        more = encode_audio(probe, encodings.audio.masks[ears : counts[0]])
        heard = tuple(torch.cat(pieces) for pieces in zip(heard, more, strict=True))
    if counts[1] > eyes:
        texts = torch.cat([texts, encode_lyrics(probe, encodings.lyrics.masks[eyes : counts[1]])])
    return replace(encodings, heard=heard, texts=texts)


def _pick_folding(probe: Probe, scale: Scale, encodings: Encodings, sampling: Sampling) -> Encodings:
    """Give complements up on a side whose odd terms rule; masks that are encoded already stay."""
    if sampling.design != "auto" or not encodings.audio.uniform:
        return encodings
    column = _watch(probe, encodings, scale)[scale.column].double()
    drawn = encodings.design
    audio, lyrics = encodings.audio, encodings.lyrics
    if is_better_unfolded(drawn.audio.to(probe.device), column.mean(1), audio.third_order):
        audio = draw_half_folded(drawn.audio, audio.n_samples, sampling.seed)
    if is_better_unfolded(drawn.lyrics.to(probe.device), column.mean(0), lyrics.third_order):
        lyrics = draw_half_folded(drawn.lyrics, lyrics.n_samples, sampling.seed + 1)
    return replace(encodings, audio=audio, lyrics=lyrics)


def _share_out(probe: Probe, scale: Scale, encodings: Encodings, size: int) -> tuple[int, int]:
    """How many masks each side gets of `size`, by what they cost and what they add to the squared errors so far."""
    design = encodings.design
    by_audio, by_lyrics = split_errors(design.to(probe.device), _watch(probe, encodings, scale)).tolist()
    counts = (design.audio.n_samples, design.lyrics.n_samples)
    blocks = (encodings.audio.block, encodings.lyrics.block)
    return allocate(size, blocks, counts, (by_audio * counts[0], by_lyrics * counts[1]), encodings.costs)


def _is_settled(probe: Probe, scale: Scale, encodings: Encodings, until: Until, confidence: float) -> bool:
    design = encodings.design.to(probe.device)
    column = _watch(probe, encodings, scale)[scale.column]
    fit = solve_crossed(design, column[None])
    values, freedom = _join_sides(fit.coefficients)[:, 0], _join_sides(fit.degrees_of_freedom)[:, 0]
    return is_settled(until, values, score_crossed(design, column), freedom, confidence)


def _join_sides(table: Float[Tensor, "class ear eye"]) -> Float[Tensor, "d class"]:
    """Main effects, the sound's first."""
    return torch.cat([table[:, 1:, 0], table[:, 0, 1:]], 1).T


def _list_pairs(space: str, fit: CrossedFit) -> PairTable:
    """Audio × lyrics interactions; what they explain is freed of the noise in their squares."""
    flat: Callable[[Tensor], Tensor] = lambda table: table[:, 1:, 1:].flatten(1)  # noqa: E731 - used thrice below
    values, errors = flat(fit.coefficients), flat(fit.standard_errors)
    da, dt = fit.coefficients.shape[1] - 1, fit.coefficients.shape[2] - 1
    device = values.device
    columns = torch.cartesian_prod(torch.arange(da, device=device), da + torch.arange(dt, device=device))
    explained = (values.square() - errors.square()).sum(1) / 16
    share = torch.where(fit.total > 0, explained / fit.total, torch.zeros_like(explained))
    return PairTable(space, columns, values, errors, flat(fit.degrees_of_freedom), share)


def _note_weights(sampling: Sampling) -> tuple[str, ...]:
    if sampling.weights == "uniform":
        return ()
    return ("sound and lyrics have a kernel each, where LIME has one on both together: design joint has that.",)


def _note_rounding(sampling: Sampling, design: CrossedDesign) -> tuple[str, ...]:
    asked, blocks = sampling.n_samples, (design.audio.block, design.lyrics.block)
    if isinstance(asked, int):
        short, wanted = sum(blocks) > asked, f"{asked} masks are"
    else:
        short, wanted = blocks[0] > asked[0] or blocks[1] > asked[1], f"{asked[0]} and {asked[1]} masks are"
    if not short:
        return ()
    counts = (design.audio.n_samples, design.lyrics.n_samples)
    return (
        f"{wanted} fewer than one block ({blocks[0]} of the sound, {blocks[1]} of the lyrics): rounded up to {counts[0]} "
        f"and {counts[1]}.",
    )
