"""Masks over all columns at once, for any model: drawn in blocks, watched, solved."""

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.estimation.estimate import Estimate, PairTable, count_passes
from musiclime_torch.surrogate.design import MOST_ENUMERATED, Design, draw_half_folded, enumerate_masks
from musiclime_torch.surrogate.hadamard import smallest_order
from musiclime_torch.surrogate.pairs import solve_pairs
from musiclime_torch.surrogate.pilot import is_better_unfolded
from musiclime_torch.surrogate.sampling import Sampling, draw_design, weigh_design
from musiclime_torch.surrogate.solver import score, solve
from musiclime_torch.surrogate.stopping import Until, describe_stop, is_settled, plan_looks
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.forward import check_count
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import ENDS, Scale, check_outputs, list_spaces, to_values

#: More interactions than this, all classes together, are left out: nobody reads them, and they would take gigabytes.
MOST_PAIRS = 20_000_000


def estimate_joint(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], sampling: Sampling, ridge: float, until: Until | None,
    confidence: float,
) -> Estimate:  # fmt: skip
    """Watch the model on joint masks until what is waited for has come, or the budget is spent.

    `ends` are its outputs on the song and the empty song. Where every mask fits the budget, every mask is taken.
    """
    if isinstance(sampling.n_samples, tuple):
        raise InputError(
            f"n_samples {sampling.n_samples} gives masks for each side, but this design draws them together: give one "
            f"number, or use a late-fusion model with design crossed."
        )
    d = len(probe.seen)
    whole = sampling.design in ("auto", "joint") and 0 < d <= MOST_ENUMERATED and 2**d <= sampling.total
    if whole:
        design, outputs, stopped, looks = _enumerate(probe, scale, sampling)
    else:
        design, outputs, stopped, looks = _sample(probe, scale, sampling, ridge, until, confidence)
    values = to_values(scale, torch.cat([ends, outputs]))
    here = design.to(probe.device)
    fit = solve(here, values[2:], ridge)
    check_outputs(values, scale.classes, probe.subject.name, first=ENDS)
    pairs, notes = _find_pairs(probe, scale, here, outputs, whole)
    exact = 0.0 if whole else 1.0
    audio_passes, lyrics_passes = count_passes(probe, design.n_samples, design.n_samples)
    return Estimate(
        coefficients=fit.coefficients,
        standard_errors=exact * fit.standard_errors,
        degrees_of_freedom=torch.full_like(fit.degrees_of_freedom, float("inf")) if whole else fit.degrees_of_freedom,
        intercept=fit.intercept,
        fidelity=fit.fidelity,
        dependent=fit.dependent,
        song=values[0],
        empty=values[1],
        pairs=pairs,
        parts=(),
        design=_describe(design, whole),
        n_variants=design.n_samples,
        audio_passes=audio_passes,
        lyrics_passes=lyrics_passes,
        looks=looks,
        stopped=stopped,
        notes=notes + _note_rounding(sampling, design, d),
    )


def _enumerate(probe: Probe, scale: Scale, sampling: Sampling) -> tuple[Design, Float[Tensor, "n class"], str, int]:
    design = weigh_design(sampling, enumerate_masks(len(probe.seen)))
    outputs = run_joint(probe, design.masks)
    check_count(probe.subject, len(scale.song), outputs.shape[1])
    return design, outputs, "every mask was taken", 1


def _sample(
    probe: Probe, scale: Scale, sampling: Sampling, ridge: float, until: Until | None, confidence: float
) -> tuple[Design, Float[Tensor, "n class"], str, int]:
    d = len(probe.seen)
    free = sampling.design in ("auto", "joint")
    design = draw_design(sampling, "joint" if free else sampling.design, d, sampling.total)
    step = design.block if design.block > 1 else 2 * smallest_order(d)
    sizes = [min(step * size, design.n_samples) for size in plan_looks(1, -(-design.n_samples // step))]
    if until is None:
        sizes = [sizes[0], sizes[-1]] if free and design.uniform and len(sizes) > 1 else sizes[-1:]
    share = 1 - (1 - confidence) / (len(sizes) if until else 1)
    outputs = run_joint(probe, design.masks[: sizes[0]])
    check_count(probe.subject, len(scale.song), outputs.shape[1])
    settled, look = False, 0
    for look, size in enumerate(sizes):
        if look:
            outputs = torch.cat([outputs, run_joint(probe, design.masks[sizes[look - 1] : size])])
        so_far = design.first(size).to(probe.device)
        column = to_values(scale, outputs)[:, scale.column]
        if (
            look == 0
            and free
            and design.uniform
            and len(sizes) > 1
            and is_better_unfolded(so_far, column, design.third_order)
        ):
            design = draw_half_folded(design.first(sizes[0]), design.n_samples, sampling.seed)
        if until is not None:
            fit = solve(so_far, column[:, None], ridge)
            scores = score(so_far, column, ridge)
            settled = is_settled(until, fit.coefficients[:, 0], scores, fit.degrees_of_freedom[:, 0], share)
            if settled:
                break
    looks = len(sizes) if until else 1
    return design.first(sizes[look]), outputs, describe_stop(until, settled, look + 1, confidence), looks


def _find_pairs(
    probe: Probe, scale: Scale, design: Design, outputs: Float[Tensor, "n class"], whole: bool
) -> tuple[tuple[PairTable, ...], tuple[str, ...]]:
    """Interactions in every space the outputs offer; none where row weights would change their meaning."""
    d = len(probe.seen)
    if d < 2 or not design.uniform or (design.units < 3 and not whole):
        return (), ()
    if d * (d - 1) // 2 * outputs.shape[1] > MOST_PAIRS:
        return (), (f"interactions of {d} components for {outputs.shape[1]} classes are too many to keep: left out.",)
    tables = []
    for space in list_spaces(scale.output_kind, outputs.shape[1]):
        values = to_values(scale.on(space), outputs)
        found = solve_pairs(design, values, solve(design, values, 0.0), whole)
        tables.append(
            PairTable(
                space,
                found.columns,
                found.coefficients.T,
                found.standard_errors.T,
                found.degrees_of_freedom.T,
                found.explained,
            )
        )
    return tuple(tables), ()


def _describe(design: Design, whole: bool) -> str:
    if whole:
        return f"every one of the {design.n_samples} masks"
    if design.folded == design.n_samples:
        return "joint, Kerdock fold-over blocks" if design.cycle else "joint, fold-over blocks"
    if design.folded:
        return "joint, a fold-over block, then rows without complements"
    return "joint, blocks without complements" if design.block > 1 else "joint, independent rows"


def _note_rounding(sampling: Sampling, design: Design, d: int) -> tuple[str, ...]:
    if d and sampling.total < design.block:
        return (f"{sampling.total} masks are fewer than one block for {d} components: rounded up to {design.n_samples}.",)
    return ()
