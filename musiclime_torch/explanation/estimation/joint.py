"""Masks over all columns at once, for any model: drawn in blocks, run, solved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import Until
from musiclime_torch.basics.choices import Space
from musiclime_torch.explanation.estimation.loop import Estimate, Look, Sampled, count_passes, expect_passes, sample_until
from musiclime_torch.explanation.estimation.proxies import Guide
from musiclime_torch.surrogate.blocks import draw_half_folded, is_better_unfolded, smallest_order
from musiclime_torch.surrogate.design import MOST_ENUMERATED, Design, enumerate_masks
from musiclime_torch.surrogate.fit import can_spare_local, know_exactly, pick
from musiclime_torch.surrogate.intervals import plan_looks
from musiclime_torch.surrogate.pairs import PairFit, solve_pairs
from musiclime_torch.surrogate.sampling import Sampling, draw_design, draw_shared, weigh_design
from musiclime_torch.surrogate.solver import solve, trace_errors
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.forward import check_count
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import ENDS, Scale, check_outputs, list_spaces, to_values

#: More interactions than this, over all classes, are left out: they would take gigabytes.
MOST_PAIRS = 20_000_000


@dataclass(frozen=True)
class Answers:
    """All masks that may be drawn, and the model's outputs on the first of them."""

    masks: Design
    outputs: Float[Tensor, "n class"]

    @property
    def design(self) -> Design:
        """The masks that have been run."""
        return self.masks.first(len(self.outputs))


def estimate_joint(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], sampling: Sampling, ridge: float, until: Until | None,
    confidence: float, guide: Guide | None = None,
) -> Estimate:  # fmt: skip
    """Run the model on joint masks until the condition `until` holds, or the budget is spent.

    `ends` are its outputs on the song and the empty song. Where every mask fits the budget, every mask is taken. A `guide`
    corrects main effects.
    """
    d = len(probe.seen)
    every_mask = sampling.design in ("auto", "joint") and 0 < d <= MOST_ENUMERATED and 2**d <= sampling.every_mask
    sampled = (
        _enumerate(probe, scale, sampling)
        if every_mask
        else sample_joint(probe, scale, sampling, ridge, until, confidence, guide=guide)
    )
    design, outputs = sampled.sample.design, sampled.sample.outputs
    values = to_values(scale, torch.cat([ends, outputs]))
    on_device = design.to(probe.device)
    fit = solve(on_device, values[2:], ridge)
    check_outputs(values, scale.classes, probe.subject.name, first=ENDS)
    spaces = list_spaces(scale.output_kind, outputs.shape[1])
    few = () if every_mask else note_few(sampling, design, d)
    pairs, notes = ({}, few) if few else find_pairs(probe, scale, spaces, on_device, outputs, every_mask)
    known = know_exactly(fit.coefficients.values) if every_mask else fit.coefficients
    guided = () if guide is None or every_mask else guide.refine_rows(on_device, values[2:], known)
    return Estimate(
        coefficients=guided[0] if guided else known,
        intercept=fit.intercept,
        fidelity=fit.fidelity,
        dependent=fit.dependent,
        ends=values[:2],
        pairs=pairs,
        design=describe_design(design, every_mask),
        n_variants=design.n_samples,
        passes=count_passes(probe),
        looks=sampled.looks,
        stopped=sampled.stopped,
        notes=notes + note_rounding(sampling, design, d),
        guidance=guided[1] if guided else None,
        sample=sampled.sample,
    )


def _enumerate(probe: Probe, scale: Scale, sampling: Sampling) -> Sampled[Answers]:
    design = weigh_design(sampling, enumerate_masks(len(probe.seen)))
    return Sampled(_ask_first(probe, scale, design, design.n_samples), stopped="every mask was taken")


def sample_joint(
    probe: Probe,
    scale: Scale,
    sampling: Sampling,
    ridge: float,
    until: Until | None,
    confidence: float,
    fit: Callable[[Answers], Look] | None = None,
    guide: Guide | None = None,
) -> Sampled[Answers]:
    """A first block, which may show that complements don't help, and as many more as are needed.

    `fit` solves a sample for the explained class; None regresses the outputs on all columns, corrected by the `guide`.
    """
    free = sampling.design in ("auto", "joint")
    name = "joint" if free else sampling.design
    if sampling.repeats > 1:
        sides = len(probe.seen_audio), len(probe.seen_lyrics)
        design = draw_shared(*sides, sampling.total, sampling.repeats, sampling.seed)
    else:
        design = draw_design(sampling, name, len(probe.seen), sampling.total, probe.neighbourhoods)
    probe.stages.expect(expect_passes(probe, *[design.n_samples] * 2) - expect_passes(probe, 0, 0))
    # A pilot's pairs that share a sound don't show what rows by themselves would.
    may_unfold = free and design.uniform and design.repeats == 1
    sizes = _plan_sizes(design)
    pilot = _pick_pilot(design, sizes) if may_unfold and len(sizes) > 1 else 0
    if until is None:
        sizes = [pilot, sizes[-1]] if pilot else sizes[-1:]
        probe.local.foreseen = sizes[-1]
    answers = _ask_first(probe, scale, design, sizes[0])

    def grow(answers: Answers, size: int) -> Answers:
        if len(answers.outputs) == pilot:
            answers = _pick_folding(probe, scale, answers, sampling)
        more = run_joint(probe, answers.masks.masks[len(answers.outputs) : size])
        return replace(answers, outputs=torch.cat([answers.outputs, more]))

    def regress(answers: Answers) -> Look:
        on_device, values = answers.design.to(probe.device), to_values(scale, answers.outputs)
        column = (values if guide is None else guide.correct_rows(on_device, values))[:, scale.column]
        return Look(solve(on_device, column[:, None], ridge).coefficients, trace_errors(on_device, column, ridge))

    return sample_until(answers, sizes, grow, fit or regress, until, confidence)


def _plan_sizes(design: Design) -> list[int]:
    """Numbers of masks at which to look: doubling numbers of blocks, or of equally many rows where rows are independent."""
    step = design.block if design.block > 1 else 2 * smallest_order(design.masks.shape[1])
    return [min(step * size, design.n_samples) for size in plan_looks(1, -(-design.n_samples // step))]


def _pick_pilot(design: Design, sizes: Sequence[int]) -> int:
    """The first size that shows whether complements help: local terms must be told apart from others."""
    if not len(design.local):
        return sizes[0]
    return next((size for size in sizes[:-1] if can_spare_local(design.first(size))), sizes[0])


def _ask_first(probe: Probe, scale: Scale, design: Design, size: int) -> Answers:
    outputs = run_joint(probe, design.masks[:size])
    check_count(probe.subject, len(scale.song), outputs.shape[1])
    return Answers(design, outputs)


def _pick_folding(probe: Probe, scale: Scale, answers: Answers, sampling: Sampling) -> Answers:
    """Drop complements where the first block shows that odd terms dominate; its own masks stay."""
    pilot, design = answers.design, answers.masks
    column = to_values(scale, answers.outputs)[:, scale.column]
    unfolded = probe.kept.settle(
        f"joint masks unfolded: {design.n_samples} from seed {sampling.seed}",
        lambda: is_better_unfolded(pilot.to(probe.device), column, design.third_order),
    )
    if not unfolded:
        return answers
    return replace(answers, masks=draw_half_folded(pilot, design.n_samples, sampling.seed))


def find_pairs(
    probe: Probe,
    scale: Scale,
    spaces: Sequence[Space],
    design: Design,
    outputs: Float[Tensor, "n class"],
    every_mask: bool = False,
) -> tuple[dict[Space, PairFit], tuple[str, ...]]:
    """Interactions in some of the spaces that the outputs offer; none where row weights would change their meaning."""
    d = len(probe.seen)
    if d < 2 or not design.uniform or (design.units < 3 and not every_mask):
        return {}, ()
    count = len(scale.classes) if scale.kept is None else len(scale.kept)
    if d * (d - 1) // 2 * count > MOST_PAIRS:
        return {}, (
            f"interactions of {d} components for {count} classes are too many to keep and were left out: "
            "interactions='target' solves them for ten.",
        )
    pairs = {}
    for space in spaces:
        values = pick(to_values(scale.on(space), outputs).T, scale.kept).T.contiguous()
        pairs[space] = solve_pairs(design, values, solve(design, values, 0.0), every_mask)
    return pairs, ()


def note_few(sampling: Sampling, design: Design, d: int) -> tuple[str, ...]:
    """A note where sampling ended by itself with fewer pairs of masks than there are pairs of components.

    Effects are orthogonal to all interactions, but interactions are not to each other until there are as many masks: one
    that is large would appear as several that aren't there.
    """
    count = d * (d - 1) // 2
    if sampling.enumerated is None or design.units >= count:
        return ()
    return (
        f"effects were settled after {design.n_samples} masks, too few to tell the interactions of {count} pairs apart: "
        f"n_samples={2 * count} shows them.",
    )


def describe_design(design: Design, every_mask: bool) -> str:
    """How the masks were drawn, in words."""
    if every_mask:
        return f"every one of the {design.n_samples} masks"
    if design.folded == design.n_samples:
        if design.repeats > 1:
            return f"joint, fold-over blocks, {design.repeats} lyrics for each sound"
        kind = "nested " if len(design.left) else "Kerdock " if design.cycle else ""
        return f"joint, {kind}fold-over blocks"
    if design.folded:
        return "joint, a fold-over block, then rows without complements"
    return "joint, blocks without complements" if design.block > 1 else "joint, independent rows"


def note_rounding(sampling: Sampling, design: Design, d: int) -> tuple[str, ...]:
    """A note where fewer masks were asked for than a block has."""
    if d and sampling.total < design.block:
        return (f"{sampling.total} masks are fewer than one block for {d} components: rounded up to {design.n_samples}.",)
    return ()
