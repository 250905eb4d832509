"""A longer song as the sum of groups of windows, each a function of the few columns that its windows contain."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.surrogate.walsh import Walsh, add_up, count_up
from musiclime_torch.variants.asking import run_groups
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import OFFERED, Scale, check_outputs, to_values


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
