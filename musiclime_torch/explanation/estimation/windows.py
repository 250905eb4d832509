"""Songs of several windows, explained from the audio alone where the windows' outputs add up.

A window's outputs depend on the few columns that it contains. Windows with the same columns form a group, and the song's
output is the sum of its groups'. A group whose masks are all affordable is run on all of them: what it adds to every value
is then exact. Other groups are sampled, and each is solved in its own columns, free of what other windows do.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.arguments import Until
from musiclime_torch.basics.choices import Space
from musiclime_torch.explanation.estimation.groups import (
    Group,
    Sums,
    adds_up,
    sample_groups,
    split_song,
    sum_groups,
)
from musiclime_torch.explanation.estimation.joint import find_pairs
from musiclime_torch.explanation.estimation.loop import Estimate, count_passes
from musiclime_torch.surrogate.fit import know_exactly
from musiclime_torch.surrogate.pairs import PairFit, list_pairs
from musiclime_torch.surrogate.sampling import Sampling, draw_design
from musiclime_torch.surrogate.walsh import Walsh
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, list_spaces, to_values

#: Masks that are looked up where no pass is needed for them: a sampling error of a hundredth of the outputs' spread.
LOOK_UPS = 16_384

#: As many for interactions, of which there are hundreds to be solved for.
PAIR_LOOK_UPS = 4096

#: How an explanation says that nothing was left to chance.
EXACT = "exact: all renderings of every window were run"
STOPPED = "nothing was left to chance"


def estimate_windows(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], sampling: Sampling, until: Until | None, confidence: float
) -> Estimate:
    """Banzhaf values in a space in which windows add up, without error where every group is run on all of its masks."""
    exact, sampled = split_song(probe, sampling.every_mask)
    sums = Sums(sum_groups(probe, scale, exact), sampled)
    if sampled:
        return sample_groups(probe, scale, ends, sampling, until, confidence, sums)
    walsh, d = sums.exact, len(probe.seen)
    pairs, notes = find_exact_pairs(probe, scale, sampling, walsh)
    main = walsh.main
    return Estimate(
        coefficients=know_exactly(main),
        intercept=walsh.mean - main.sum(1) / 2,
        fidelity=walsh.measure_fidelity(main, walsh.mean - main.sum(1) / 2),
        dependent=torch.zeros(d, dtype=torch.bool),
        ends=to_values(scale, ends),
        pairs=pairs,
        design=EXACT,
        n_variants=sum(group.n_masks * len(group.windows) for group in exact),
        passes=count_passes(probe),
        stopped=STOPPED,
        notes=notes,
    )


def estimate_shapley_windows(
    probe: Probe, scale: Scale, ends: Float[Tensor, "2 class"], groups: Sequence[Group]
) -> Estimate:
    """Shapley values in a space in which windows add up, where every group is run on all of its masks."""
    walsh, ends = sum_groups(probe, scale, groups), to_values(scale, ends)
    values = walsh.shapley
    return Estimate(
        coefficients=know_exactly(values),
        intercept=ends[1],
        fidelity=walsh.measure_fidelity(values, ends[1]),
        dependent=torch.zeros(values.shape[1], dtype=torch.bool),
        ends=ends,
        design=EXACT,
        n_variants=sum(group.n_masks * len(group.windows) for group in groups),
        passes=count_passes(probe),
        stopped=STOPPED,
    )


def find_exact_pairs(
    probe: Probe, scale: Scale, sampling: Sampling, walsh: Walsh
) -> tuple[dict[Space, PairFit], tuple[str, ...]]:
    """Interactions: exact in the space in which windows add up, from masks that are looked up in the others."""
    d = len(probe.seen)
    if d < 2:
        return {}, ()
    spaces = list_spaces(scale.output_kind, len(scale.song))
    others = [space for space in spaces if not adds_up(scale.on(space))]
    design = draw_design(sampling, "joint", d, max(sampling.total, PAIR_LOOK_UPS))
    pairs, notes = find_pairs(probe, scale, others, design.to(probe.device), run_joint(probe, design.masks))
    if notes:
        return pairs, notes
    kept = walsh.take(scale.kept)
    values, variance = kept.list_pairs(), kept.variance
    explained = torch.where(variance > 0, kept.pair_variance / variance, torch.zeros_like(variance))
    own = PairFit(list_pairs(d).to(values.device), know_exactly(values), explained)
    return {space: pairs.get(space, own) for space in spaces}, ()
