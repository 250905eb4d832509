"""A longer song as the sum of groups of windows, each a function of the few columns that its windows contain.

Groups with too many masks to run all are sampled together, and each is solved in its own columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.arguments import Until
from musiclime_torch.explanation.estimation.joint import (
    Answers,
    describe_design,
    find_pairs,
    note_few,
    note_rounding,
    sample_joint,
)
from musiclime_torch.explanation.estimation.loop import Estimate, Look, count_passes
from musiclime_torch.surrogate.design import Design
from musiclime_torch.surrogate.fit import Fit, Known, pick
from musiclime_torch.surrogate.pairs import PairFit, list_pairs, solve_pairs
from musiclime_torch.surrogate.sampling import Sampling
from musiclime_torch.surrogate.solver import solve, trace_errors
from musiclime_torch.surrogate.walsh import Walsh, add_up, count_up
from musiclime_torch.variants.asking import run_groups
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import OFFERED, Scale, check_outputs, list_spaces, to_values


@dataclass(frozen=True)
class Group:
    """Windows that contain the same columns, `columns` numbered among those that the model can notice."""

    windows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def n_masks(self) -> int:
        """How many masks its columns have."""
        return 2 ** len(self.columns)


@dataclass(frozen=True)
class Sums:
    """What a song's output is the sum of: groups run on all of their masks, as one function, and groups that are sampled."""

    exact: Walsh
    sampled: tuple[Group, ...]


def group_windows(probe: Probe) -> tuple[Group, ...]:
    """Windows by the columns that they contain, in the order of the song."""
    place = {column: number for number, column in enumerate(probe.seen)}
    windows: dict[tuple[int, ...], list[int]] = {}
    for number, window in enumerate(probe.sources.windows):
        windows.setdefault(tuple(place[column] for column in window.columns if column in place), []).append(number)
    return tuple(Group(tuple(numbers), columns) for columns, numbers in windows.items())


def split_song(probe: Probe, budget: int) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """Groups of which all masks fit the budget, and the others; none where windows don't make up the output alone."""
    if len(probe.sources.windows) < 2 or probe.sources.lyrics is not None:
        return (), ()
    groups = group_windows(probe)
    return (
        tuple(group for group in groups if group.n_masks <= budget),
        tuple(group for group in groups if group.n_masks > budget),
    )


def adds_up(scale: Scale) -> bool:
    """Whether values are the model's outputs themselves, and so means over windows, and not functions of these means."""
    own = scale.space == OFFERED[scale.output_kind][0] or (scale.output_kind, scale.space) == ("multilabel", "log-odds")
    return own and scale.output_kind != "embedding"


def run_all(probe: Probe, groups: Sequence[Group]) -> list[Float[Tensor, "_mask class"]]:
    """What each group adds to the outputs under all masks of its columns, in the order of `count_up`."""
    return run_groups(probe, [(group.windows, _spread_masks(group, len(probe.seen))) for group in groups])


def sum_groups(probe: Probe, scale: Scale, groups: Sequence[Group]) -> Walsh:
    """The sum of the groups as a function of the song's masks, each group run on all of its own."""
    d = len(probe.seen)
    if not groups:
        no_terms = torch.zeros(1, d, dtype=torch.bool, device=probe.device)
        return Walsh(no_terms, torch.zeros(1, len(scale.classes), dtype=torch.float64, device=probe.device))
    values = [to_values(scale, answer) for answer in run_all(probe, groups)]
    for part in values:
        check_outputs(part, scale.classes, probe.subject.name)
    return add_up(d, [(group.columns, part) for group, part in zip(groups, values, strict=True)])


def _spread_masks(group: Group, d: int) -> Bool[Tensor, "mask d"]:
    """Every mask of the group's columns; the song's other components stay on."""
    masks = torch.ones(group.n_masks, d, dtype=torch.bool)
    masks[:, list(group.columns)] = count_up(len(group.columns))
    return masks


def sample_groups(
    probe: Probe,
    scale: Scale,
    ends: Float[Tensor, "2 class"],
    sampling: Sampling,
    until: Until | None,
    confidence: float,
    sums: Sums,
) -> Estimate:
    """Masks of the entire song, which each sampled group answers as its own columns have it."""

    def fit(answers: Answers) -> Look:
        design = answers.design
        contributions = torch.zeros(design.units, len(probe.seen), dtype=torch.float64, device=probe.device)
        known = _solve_groups(probe, scale, design, sums, scale.column, contributions)
        return Look(known.coefficients, contributions)

    drawn = sample_joint(probe, scale, sampling, 0.0, until, confidence, fit)
    design, outputs = drawn.sample.design, drawn.sample.outputs
    result = _solve_groups(probe, scale, design, sums)
    values = to_values(scale, outputs)
    check_outputs(values, scale.classes, probe.subject.name)
    on_device = design.to(probe.device)
    spaces = list_spaces(scale.output_kind, len(scale.song))
    few = note_few(sampling, design, len(probe.seen))
    pairs, notes = ({}, few) if few else find_pairs(probe, scale, spaces, on_device, outputs)
    for space in [space for space in pairs if adds_up(scale.on(space))]:
        pairs[space] = _solve_group_pairs(probe, scale, design, sums, values)
    slopes = result.coefficients.values
    fitted = on_device.masks.double() @ slopes.T
    intercept = (values - fitted).mean(0)
    spread = values.var(0, correction=0)
    missed = (values - fitted - intercept).square().mean(0)
    return Estimate(
        coefficients=result.coefficients,
        intercept=intercept,
        fidelity=torch.where(spread > 0, 1 - missed / spread, torch.ones_like(spread)),
        dependent=result.dependent,
        ends=to_values(scale, ends),
        pairs=pairs,
        design=f"{describe_design(design, False)}, each window solved in its own columns",
        n_variants=design.n_samples,
        passes=count_passes(probe),
        looks=drawn.looks,
        stopped=drawn.stopped,
        notes=notes + note_rounding(sampling, design, len(probe.seen)) + (_note_sampled(sums.sampled, sampling.every_mask),),
    )


def _note_sampled(groups: Sequence[Group], budget: int) -> str:
    most = max(group.n_masks for group in groups)
    windows = sum(len(group.windows) for group in groups)
    return (
        f"{windows} windows of the song have up to {most:,} renderings each, more than the {budget:,} that are all run: "
        "they were sampled. Fewer stems or fewer, longer segments make values exact, and so do n_samples of as many as that."
    )


# A column's coefficient is estimated from the windows that contain it and from no others: for column i from the sum of the
# outputs of the groups G(i), and for a pair from G(i, j), the groups that contain both. Groups share the masks of the song,
# so that their errors are not independent; added up before they are solved, they need not be. What a column adds to groups
# that were run on all of their masks is known and comes on top.
@dataclass(frozen=True)
class _Solved:
    coefficients: Known
    dependent: Bool[Tensor, " d"]


def _solve_groups(
    probe: Probe,
    scale: Scale,
    design: Design,
    sums: Sums,
    column: int | None = None,
    contributions: Float[Tensor, "unit d"] | None = None,
) -> _Solved:
    """Coefficients of all classes, or of one; `contributions` is filled with those of that class."""
    chosen = slice(None) if column is None else [column]
    main = sums.exact.main[chosen].clone()
    errors, freedom = torch.zeros_like(main), torch.full_like(main, torch.inf)
    dependent = torch.zeros(len(probe.seen), dtype=torch.bool)
    members = [
        frozenset(number for number, group in enumerate(sums.sampled) if place in group.columns)
        for place in range(len(probe.seen))
    ]
    for together, part, values in _add_groups(probe, scale, design, sums, set(members)):
        fit = _solve_part(probe, design, part, values[:, chosen])
        for inner, place in enumerate(part):
            if members[place] == together:
                main[:, place] += fit.coefficients.values[:, inner]
                errors[:, place], freedom[:, place] = (
                    fit.coefficients.errors[:, inner],
                    fit.coefficients.freedom[:, inner],
                )
                dependent[place] = bool(fit.dependent[inner])
                if contributions is not None and column is not None:
                    contributions[:, place] = _trace_part(probe, design, part, values[:, column])[:, inner]
    return _Solved(Known(main, errors, freedom), dependent)


def _solve_group_pairs(probe: Probe, scale: Scale, design: Design, sums: Sums, outputs: Float[Tensor, "n class"]) -> PairFit:
    """Interactions in the space in which windows add up: exactly zero where no window contains both."""
    d = len(probe.seen)
    columns = list_pairs(d)
    values = sums.exact.take(scale.kept).list_pairs().clone()
    errors, freedom = torch.zeros_like(values), torch.full_like(values, torch.inf)
    members = [
        frozenset(number for number, group in enumerate(sums.sampled) if first in group.columns and second in group.columns)
        for first, second in columns.tolist()
    ]
    number_of = {pair: number for number, pair in enumerate(map(tuple, columns.tolist()))}
    for together, part, added in _add_groups(probe, scale, design, sums, set(members)):
        own = design.restrict(part).to(probe.device)
        some = pick(added.T, scale.kept).T.contiguous()
        fit = solve_pairs(own, some, solve(own, some, 0.0))
        for inner, (first, second) in enumerate(list_pairs(len(part)).tolist()):
            pair = number_of[part[first], part[second]]
            if members[pair] == together:
                values[:, pair] += fit.coefficients.values[:, inner]
                errors[:, pair] = fit.coefficients.errors[:, inner]
                freedom[:, pair] = fit.coefficients.freedom[:, inner]
    spread = pick(outputs.var(0, correction=0), scale.kept)
    # A product of two columns ±½ is ±¼: its variance is 1/16.
    explained = (values.square() - errors.square()).sum(1) / 16
    explained = torch.where(spread > 0, explained / spread, torch.zeros_like(spread))
    return PairFit(columns.to(values.device), Known(values, errors, freedom), explained)


def _add_groups(
    probe: Probe, scale: Scale, design: Design, sums: Sums, sets: set[frozenset[int]]
) -> list[tuple[frozenset[int], list[int], Float[Tensor, "n class"]]]:
    """For every set of sampled groups: the columns of all of them, and the sum of their values."""
    answers = run_groups(probe, [(group.windows, design.masks) for group in sums.sampled])
    values = [to_values(scale, answer) for answer in answers]
    return [
        (
            together,
            sorted({place for number in together for place in sums.sampled[number].columns}),
            torch.stack([values[number] for number in sorted(together)]).sum(0),
        )
        for together in sorted(sets, key=sorted)
        if together
    ]


def _solve_part(probe: Probe, design: Design, part: Sequence[int], values: Float[Tensor, "n class"]) -> Fit:
    return solve(design.restrict(part).to(probe.device), values, 0.0)


def _trace_part(
    probe: Probe, design: Design, part: Sequence[int], values: Float[Tensor, " n"]
) -> Float[Tensor, "unit part"]:
    return trace_errors(design.restrict(part).to(probe.device), values, 0.0)
