"""Masks of the audio crossed with masks of the lyrics: N_a + N_t encoder passes of late fusion are N_a × N_t variants."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import T, Until
from musiclime_torch.basics.choices import Space
from musiclime_torch.explanation.estimation.loop import (
    Estimate,
    Guidance,
    Look,
    Sampled,
    count_passes,
    count_texts,
    sample_until,
)
from musiclime_torch.explanation.estimation.proxies import Guide
from musiclime_torch.models.batches import count_flops
from musiclime_torch.surrogate.blocks import draw_half_folded, is_better_unfolded
from musiclime_torch.surrogate.crossed import list_interactions, solve_crossed
from musiclime_torch.surrogate.crossed_errors import split_errors, trace_crossed_errors
from musiclime_torch.surrogate.design import MOST_ENUMERATED, CrossedDesign, Design, enumerate_masks
from musiclime_torch.surrogate.fit import Known, know_exactly, pick
from musiclime_torch.surrogate.intervals import describe_stop, plan_looks
from musiclime_torch.surrogate.sampling import Sampling, allocate, draw_design
from musiclime_torch.surrogate.variance import split_exactly, split_variance
from musiclime_torch.variants.asking import encode_audio, encode_lyrics
from musiclime_torch.variants.forward import check_count
from musiclime_torch.variants.fusing import PAIRS, fuse
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.renderings import Encoded
from musiclime_torch.variants.scale import Scale, check_means, list_spaces, pick_values, to_values

#: Outputs of pairs that are held beside the grid of a longer song, in numbers: a hundred megabytes.
TILE = 2**25

#: Values that a CPU works on at a time.
CACHED = 2**21

#: Blocks per side to begin with, where the budget allows them: the audio is the noisier side.
START = (2, 1)


@dataclass(frozen=True)
class Encodings:
    """All masks that either side may draw, and the encodings of the first of them; `sounds` has one entry a window.

    `costs` are the operations of a pass of each encoder.
    """

    audio: Design
    lyrics: Design
    sounds: tuple[Encoded, ...]
    texts: Encoded
    costs: tuple[float, float]

    @property
    def design(self) -> CrossedDesign:
        """The masks that have been encoded."""
        return CrossedDesign(self.audio.first(len(self.sounds[0])), self.lyrics.first(len(self.texts)))


def estimate_crossed(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], sampling: Sampling, until: Until | None, confidence: float,
    guide: Guide | None = None,
) -> Estimate:  # fmt: skip
    """Run a late-fusion model on crossed masks until the condition `until` holds, or the budget is spent.

    Without a condition every mask of both sides is taken where they fit the budget. A `guide` corrects main effects.
    """
    every = takes_every_mask(probe, sampling, until)
    sampled = _enumerate(probe) if every else _sample(probe, scale, sampling, until, confidence, guide)
    design = sampled.sample.design
    on_device = design.to(probe.device)
    pairs, parts, means, main = {}, {}, [], None
    guided: tuple[Known, Guidance] | None = None
    for space, grid in _build_grids(probe, sampled.sample, scale, ends.shape[1]):
        means.append(grid.mean((1, 2)))
        own = space == scale.space
        fit = solve_crossed(on_device, grid, scale.kept if own else None)
        if every:
            exact = [know_exactly(known.values) for known in (fit.main, fit.coefficients)]
            fit = replace(fit, main=exact[0], coefficients=exact[1])
        if main is None and guide is not None and not every:
            guided = guide.refine_grid(on_device, grid, fit.main)
        main = main or fit
        pairs[space] = list_interactions(fit)
        if on_device.audio.uniform and on_device.lyrics.uniform:
            split = split_exactly if every else partial(split_variance, on_device)
            parts[space] = split(pick(grid, scale.kept) if own else grid)
        del grid  # before the next one is built
    # Read once all scales are queued: reading waits for the device.
    kept = scale.classes if scale.kept is None else tuple(scale.classes[number] for number in scale.kept)
    for mean in means:
        check_means(mean, scale.classes if mean is means[0] else kept, probe.subject.name)
    assert main is not None, "the scale's own space comes first"
    na, nt = design.audio.n_samples, design.lyrics.n_samples
    return Estimate(
        coefficients=main.main if guided is None else guided[0],
        intercept=main.intercept,
        fidelity=main.fidelity,
        dependent=main.dependent,
        ends=to_values(scale, ends),
        pairs=pairs,
        parts=parts,
        design=f"crossed, {'all ' * every}{na} masks of the sound × {'all ' * every}{nt} of the lyrics",
        n_variants=na * nt,
        passes=count_passes(probe),
        looks=sampled.looks,
        stopped=sampled.stopped,
        notes=() if every else _note_weights(sampling) + _note_rounding(sampling, design),
        guidance=None if guided is None else guided[1],
        sample=sampled.sample,
    )


def takes_every_mask(probe: Probe, sampling: Sampling, until: Until | None) -> bool:
    """Whether the masks that there are, of both sides together, are few enough, and no condition was asked for that may
    hold after fewer.
    """
    if until is not None and sampling.enumerated is None:
        return False
    sides, counts = (len(probe.seen_audio), len(probe.seen_lyrics)), sampling.n_samples
    if isinstance(counts, tuple) or sampling.design not in ("auto", "crossed") or sampling.weights != "uniform":
        return False
    return max(sides) <= MOST_ENUMERATED and sum(2**side for side in sides) <= sampling.every_mask


def _enumerate(probe: Probe) -> Sampled[Encodings]:
    audio, lyrics = (enumerate_masks(len(side)) for side in (probe.seen_audio, probe.seen_lyrics))
    return Sampled(encode_masks(probe, CrossedDesign(audio, lyrics)), stopped="every mask was taken")


def encode_masks(probe: Probe, design: CrossedDesign) -> Encodings:
    """All masks of both sides, each encoded once."""
    sounds, texts = encode_audio(probe, design.audio.masks), encode_lyrics(probe, design.lyrics.masks)
    return Encodings(design.audio, design.lyrics, sounds, texts, (1.0, 1.0))


def _build_grids(
    probe: Probe, encodings: Encodings, scale: Scale, count: int
) -> Iterator[tuple[Space, Float[Tensor, "value na nt"]]]:
    """Grids of all spaces, that of the scale first: it holds all values, others those whose interactions are solved."""
    spaces = tuple(dict.fromkeys((scale.space, *list_spaces(scale.output_kind, count))))
    if scale.kept is None or len(scale.kept) == len(scale.classes):
        for space in spaces:
            yield space, build_grid(probe, encodings, scale.on(space))
        return
    # A few values of other spaces cost little to hold beside all of one, and pairs are fused once.
    grids = build_grids(probe, encodings, [replace(scale, kept=None), *(scale.on(space) for space in spaces[1:])])
    for space in spaces:
        yield space, grids.pop(0)


def build_grid(probe: Probe, encodings: Encodings, scale: Scale) -> Float[Tensor, "value na nt"]:
    """All values of every pair of masks on one scale."""
    return build_grids(probe, encodings, [replace(scale, kept=None)])[0]


def build_grids(probe: Probe, encodings: Encodings, scales: Sequence[Scale]) -> list[Float[Tensor, "value na nt"]]:
    """Values of every pair of masks that each scale keeps, fused in tiles and held in the precision of the outputs."""
    scale, grids = scales[0], list[Tensor]()
    # Windows of a longer song share encodings, and the more masks at a time the fewer of them are fused twice. A GPU would
    # be kept waiting by many small tiles; there values take no more room than their outputs.
    most, on_cpu = max(PAIRS, TILE // len(scale.song)), probe.device.type == "cpu"
    few = min(PAIRS, max(CACHED // len(scale.song), 1)) if on_cpu else most
    tile = few if len(encodings.sounds) == 1 else most
    step = max(tile // len(encodings.texts), 1)
    na = len(encodings.sounds[0])
    for start in range(0, na, step):
        rows = slice(start, start + step)
        outputs = fuse(probe, tuple(window.take(rows) for window in encodings.sounds), encodings.texts)
        check_count(probe.subject, len(scale.song), outputs.shape[2])
        # On a CPU values are float64 until they are in the grid: of a few masks at a time.
        for number, some in enumerate(outputs.split(max(few // len(encodings.texts), 1))):
            values = pick_values(scales, some)
            if not grids:
                kind = torch.promote_types(outputs.dtype, torch.float32)
                grids = [own.new_empty(own.shape[2], na, own.shape[1], dtype=kind) for own in values]
            first = start + number * max(few // len(encodings.texts), 1)
            for grid, own in zip(grids, values, strict=True):
                _place(grid[:, first : first + len(some)], own.to(grid.dtype))
    assert grids, "a design has at least one block"
    return grids


def _place(grid: Float[Tensor, "value row nt"], values: Float[Tensor, "row nt value"]) -> None:
    """Put values of a few audio masks in the grid."""
    if grid.device.type != "cpu":
        grid.copy_(values.movedim(2, 0))
        return
    # Turned row by row, which stays in the cache: a third of the time of turning all at once.
    for place, row in enumerate(values):
        grid[:, place] = row.T


def _check_grid(probe: Probe, encodings: Encodings, scale: Scale) -> Float[Tensor, "value na nt"]:
    """The grid, once it is known to hold finite numbers only."""
    grid = build_grid(probe, encodings, scale)
    check_means(grid.mean((1, 2)), scale.classes, probe.subject.name)
    return grid


def _sample(
    probe: Probe, scale: Scale, sampling: Sampling, until: Until | None, confidence: float, guide: Guide | None
) -> Sampled[Encodings]:
    """Encode the numbers of masks that were given; else a few blocks first, and the rest where it helps most."""
    if isinstance(sampling.n_samples, tuple):
        fixed = encode_masks(probe, _draw(probe, sampling, *sampling.n_samples, fitted=True))
        return Sampled(fixed, stopped=describe_stop(until, False, 1, confidence))
    encodings = _begin(probe, sampling, sampling.n_samples)
    first = encodings.design.n_samples
    sizes = plan_looks(first, max(sampling.n_samples, first))

    def grow(encodings: Encodings, size: int) -> Encodings:
        if encodings.design.n_samples == first:
            encodings = _pick_folding(probe, scale, encodings, sampling)
        return _encode_more(probe, encodings, _share_out(probe, scale, encodings, size, sampling.seed, guide))

    return sample_until(encodings, sizes, grow, partial(_look, probe, scale, guide), until, confidence)


def _draw(probe: Probe, sampling: Sampling, n_audio: int, n_lyrics: int, fitted: bool = False) -> CrossedDesign:
    name = "crossed" if sampling.design == "auto" else sampling.design
    # Another seed for the lyrics: sides with equally many columns would get the same masks.
    other = replace(sampling, seed=sampling.seed + 1)
    return CrossedDesign(
        draw_design(sampling, name, len(probe.seen_audio), n_audio, probe.neighbourhoods, fitted),
        draw_design(other, name, len(probe.seen_lyrics), n_lyrics, fitted=fitted),
    )


def _begin(probe: Probe, sampling: Sampling, budget: int) -> Encodings:
    """Masks for the entire budget on each side; the first blocks are run, never looked up: they show what a pass costs."""
    drawn = _draw(probe, sampling, budget, budget)
    blocks = (drawn.audio.block, drawn.lyrics.block)
    start = (START[0] * blocks[0], START[1] * blocks[1])
    counts = start if sum(start) <= budget else blocks
    run = probe.without_tables
    sounds, audio_cost = _measure(probe, "encode_audio", lambda: encode_audio(run, drawn.audio.masks[: counts[0]]))
    texts, lyrics_cost = _measure(probe, "encode_text", lambda: encode_lyrics(probe, drawn.lyrics.masks[: counts[1]]))
    return Encodings(drawn.audio, drawn.lyrics, sounds, texts, (audio_cost, lyrics_cost))


def _measure(probe: Probe, part: str, encode: Callable[[], T]) -> tuple[T, float]:
    """Encodings, and the operations that a pass of this encoder takes: known from an earlier question where none is run."""
    before = probe.tally[part]
    encoded, flops = count_flops(encode)
    return encoded, probe.kept.settle(f"cost of {part}", lambda: flops / max(probe.tally[part] - before, 1))


def _encode_more(probe: Probe, encodings: Encodings, counts: tuple[int, int]) -> Encodings:
    """Encode more masks until there are `counts` on each side."""
    sounds, texts = encodings.sounds, encodings.texts
    if counts[0] > len(sounds[0]):
        more = encode_audio(probe, encodings.audio.masks[len(sounds[0]) : counts[0]])
        sounds = tuple(first.followed_by(rest) for first, rest in zip(sounds, more, strict=True))
    if counts[1] > len(texts):
        texts = texts.followed_by(encode_lyrics(probe, encodings.lyrics.masks[len(texts) : counts[1]]))
    return replace(encodings, sounds=sounds, texts=texts)


def _pick_folding(probe: Probe, scale: Scale, encodings: Encodings, sampling: Sampling) -> Encodings:
    """Drop complements on a side where odd terms dominate; masks that are encoded already stay."""
    if sampling.design != "auto" or not encodings.audio.uniform:
        return encodings
    column = _check_grid(probe, encodings, scale)[scale.column].double()
    begun = encodings.design

    def unfold(side: str, pilot: Design, values: Float[Tensor, " n"], planned: Design, seed: int) -> Design:
        better = probe.kept.settle(
            f"{side} unfolded: {planned.n_samples} masks from seed {seed}",
            lambda: is_better_unfolded(pilot.to(probe.device), values, planned.third_order),
        )
        return draw_half_folded(pilot, planned.n_samples, seed) if better else planned

    return replace(
        encodings,
        audio=unfold("audio", begun.audio, column.mean(1), encodings.audio, sampling.seed),
        lyrics=unfold("lyrics", begun.lyrics, column.mean(0), encodings.lyrics, sampling.seed + 1),
    )


def _share_out(
    probe: Probe, scale: Scale, encodings: Encodings, size: int, seed: int, guide: Guide | None
) -> tuple[int, int]:
    """How many of `size` masks each side gets, by what they cost and what they add to the squared errors so far."""
    # A side's part of the squared errors falls as V / N with its number of masks N. From the present N and its part the
    # variance is V = N · part. Minimising V_a / N_a + V_t / N_t at the cost c_a N_a + c_t N_t gives N ∝ √(V / c): `allocate`
    # does this in whole blocks and never takes masks away.
    design = encodings.design
    counts = (design.audio.n_samples, design.lyrics.n_samples)
    blocks = (encodings.audio.block, encodings.lyrics.block)
    costs = (encodings.costs[0] * _count_renderings(probe, size) / size, encodings.costs[1])

    def share() -> list[int]:
        grid = _correct_grid(probe, encodings, scale, guide)
        by_audio, by_lyrics = split_errors(design.to(probe.device), grid).tolist()
        return list(allocate(size, blocks, counts, (by_audio * counts[0], by_lyrics * counts[1]), costs))

    audio, lyrics = probe.kept.settle(f"masks of each side at {size} from {counts}, seed {seed}", share)
    sounds = _count_renderings(probe, audio) - _count_renderings(probe, counts[0])
    probe.stages.expect(sounds + count_texts(probe, lyrics) - count_texts(probe, counts[1]))
    return audio, lyrics


def _count_renderings(probe: Probe, masks: int) -> int:
    """How many passes so many masks of the sound take: in a longer song windows have few renderings each."""
    windows = probe.sources.windows
    return masks if len(windows) == 1 else sum(min(2 ** len(window.columns), masks) for window in windows)


def _correct_grid(probe: Probe, encodings: Encodings, scale: Scale, guide: Guide | None) -> Float[Tensor, "value na nt"]:
    grid = _check_grid(probe, encodings, scale)
    return grid if guide is None else guide.correct_grid(encodings.design.to(probe.device), grid)


def _look(probe: Probe, scale: Scale, guide: Guide | None, encodings: Encodings) -> Look:
    design = encodings.design.to(probe.device)
    column = _correct_grid(probe, encodings, scale, guide)[scale.column]
    return Look(solve_crossed(design, column[None]).main, trace_crossed_errors(design, column))


def _note_weights(sampling: Sampling) -> tuple[str, ...]:
    if sampling.weights == "uniform":
        return ()
    return (
        "sound and lyrics each have their own kernel here, where LIME has one for both together: use design joint for that.",
    )


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
        f"{wanted} fewer than a block of the sound ({blocks[0]}) and one of the lyrics ({blocks[1]}): rounded up to "
        f"{counts[0]} and {counts[1]}.",
    )
