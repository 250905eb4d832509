"""The evidence for a decision: small sets of components that alone keep it, or whose removal flips it.

Both are verified by running the model on them. The shortest prefix of the attributions' order that will do is taken;
where none will do, a set is grown greedily. It is then thinned out until no single component can be left out. That is a
local minimum: quite different sets may be smaller. Every step is one batched pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.estimation.loop import count_effort
from musiclime_torch.variants.asking import run_checked
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, list_spaces, to_values


@dataclass(frozen=True)
class SmallestEdit:
    """The mildest edit of the fewest components that was found to flip the decision; `columns` are None where none was.

    `edit` is what became of the sound among them ("-6 dB", "low-pass 1000 Hz", "silence"), "" where only words changed.
    `step` is how strong it is, from 1 to 5 (`musiclime_torch.explanation.edits`). `output` is the explained value that the
    model then gives, `chance` the target's probability, as for evidence; `variants` is how many were run.
    """

    columns: tuple[int, ...] | None
    edit: str
    step: int
    output: float | None
    chance: float | None
    variants: int


@dataclass(frozen=True)
class Evidence:
    """Columns of the two sets, None where none was found, with the explained value that the model then gives.

    `decision` describes what is kept or flipped; `variants` is how many were run to find both. The chances are the target's
    probabilities with each set; None where the outputs have none, or the value is a contrast. `edit` is the smallest edit
    that flips the decision; None where none was searched for.
    """

    decision: str
    keeping: tuple[int, ...] | None
    flipping: tuple[int, ...] | None
    output_keeping: float | None
    output_flipping: float | None
    variants: int
    chance_keeping: float | None = None
    chance_flipping: float | None = None
    edit: SmallestEdit | None = None


def read_evidence(fields: dict[str, Any]) -> Evidence:
    """Evidence from what was saved as JSON."""
    # An empty set is evidence; None means that none was found.
    sets = {name: None if fields[name] is None else tuple(fields[name]) for name in ("keeping", "flipping")}
    edit = fields.get("edit")
    if edit:
        edit = SmallestEdit(**edit | {"columns": None if edit["columns"] is None else tuple(edit["columns"])})
    return Evidence(**fields | sets | {"edit": edit})


#: The most components added greedily: each costs as many variants as there are components.
MOST_GROWN = 4


#: Kinds of outputs that make a decision: which class, yes or no, which song is nearer.
_DECIDING = ("logits", "multilabel", "probabilities", "similarity")


def makes_decision(output_kind: str, count: int | None) -> bool:
    """Whether so many outputs of a kind decide anything; None where their number isn't known yet.

    >>> makes_decision("similarity", 2), makes_decision("similarity", 1), makes_decision("regression", 2)
    (True, False, False)
    """
    # How near a song is to one other is a number; to which of two it is nearer is a decision.
    return output_kind in _DECIDING and (output_kind != "similarity" or count != 1)


#: Masks -> the margin of each, above zero where the decision is as wanted.
Margin = Callable[[Bool[Tensor, "n d"]], Float[Tensor, " n"]]


class SearchStoppedError(Exception):
    """The search took as many forward passes as it may; the message is a sentence for the explanation's warnings."""


def look_for_evidence(
    probe: Probe, scale: Scale, attributions: Float[Tensor, " d"], empty: Float[Tensor, " class"], most: int | None
) -> tuple[Evidence | None, tuple[str, ...]]:
    """The evidence; or none, and why the model failed on a set that only the search asks it about, or that it took more
    than `most` passes.
    """
    if most is not None and (without := find_without_search(scale, empty)) is not None:
        return without, ()
    probe.stages.begin("looking for evidence", most, foretold=False)
    try:
        return find_evidence(probe, scale, attributions, most), ()
    except SearchStoppedError as stopped:
        return None, (str(stopped),)
    except InputError as error:
        # The attributions stand by then, and they took most of the time.
        return None, (f"the search for evidence failed: {error}",)


def find_without_search(scale: Scale, empty: Float[Tensor, " class"]) -> Evidence | None:
    """Where the decision stays with everything removed, that is all there is to say: nothing of the song is its evidence.
    None where it doesn't stay. `empty` are the outputs on the empty song; no pass is made.
    """
    sign = decide(scale)
    if not sign * float(measure_margin(empty[None], scale)) > 0:
        return None
    output, chance = read_output(scale, empty[None])
    return Evidence(_describe(scale, sign > 0), (), None, output, None, 0, chance)


def find_evidence(probe: Probe, scale: Scale, attributions: Float[Tensor, " d"], most: int | None = None) -> Evidence:
    """Search from the largest attributions on, with `most` passes where a number is given.

    Raises:
        InputError: for outputs that make no decision or aren't finite.
        SearchStoppedError: where these passes don't suffice.
    """
    # In the end each of the two sets is asked about once more, for its output.
    measure = Measure(probe, scale, most, 2 * count_pass(probe), "evidence")
    # Where the decision is against the target, the components that contribute against it are its evidence: the same search
    # with all signs turned.
    sign = decide(scale)
    order = (sign * attributions.cpu()).argsort(descending=True, stable=True)
    keeping = find_minimal(lambda sets: sign * measure.run(probe, sets), order)
    flipping = find_minimal(lambda sets: -sign * measure.run(probe, ~sets), order)
    (kept, chance_kept), (left, chance_left) = (
        (None, None)
        if chosen is None
        else read_output(scale, run_checked(probe, scale, (~chosen if flipped else chosen)[None]))
        for chosen, flipped in ((keeping, False), (flipping, True))
    )
    columns = [
        None if chosen is None else tuple(probe.seen[place] for place in chosen.nonzero().flatten().tolist())
        for chosen in (keeping, flipping)
    ]
    decision = _describe(scale, sign > 0)
    return Evidence(decision, columns[0], columns[1], kept, left, measure.variants, chance_kept, chance_left)


class Measure:
    """Margins of masks, counted, and bounded where `most` passes are given; `spared` are kept back for the end."""

    def __init__(self, probe: Probe, scale: Scale, most: int | None, spared: int, what: str) -> None:
        self.scale, self.most, self.what, self.variants = scale, most, what, 0
        self._room = None if most is None else count_effort(probe) + most - spared

    def run(self, probe: Probe, masks: Bool[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Margins on the CPU, from a probe that counts its passes with the first one's; SearchStoppedError where no room
        is left.
        """
        self.variants += len(masks)
        if self._room is None:
            return measure_margin(run_checked(probe, self.scale, masks), self.scale).cpu()
        margins, start = [], 0
        while start < len(masks):
            # At most so many masks that they fit, whatever of them has an answer already.
            fitting = (self._room - count_effort(probe)) // count_pass(probe)
            if fitting < 1:
                raise SearchStoppedError(
                    f"the search for {self.what} was stopped after {self.most} forward passes, as many as the sampling "
                    f"took: give {self.what} to search on."
                )
            outputs = run_checked(probe, self.scale, masks[start : start + fitting])
            margins.append(measure_margin(outputs, self.scale).cpu())
            start += fitting
        return torch.cat(margins)


def decide(scale: Scale) -> float:
    """1 where the song's decision is for the target, −1 where it is against it."""
    return 1.0 if float(measure_margin(scale.song[None], scale)) > 0 else -1.0


def count_pass(probe: Probe) -> int:
    """Passes of both sides that a mask takes at most."""
    sides = probe.subject.late_fusion or probe.sources.lyrics is None
    windows = len(probe.sources.windows)
    lyrics = 0 if probe.sources.lyrics is None else 1 if sides else max(windows, 1)
    return windows + lyrics


def measure_margin(outputs: Float[Tensor, "n class"], scale: Scale) -> Float[Tensor, " n"]:
    """By how much the target wins: over its foil, over all other classes, or over its threshold."""
    if scale.output_kind == "similarity" and not makes_decision(scale.output_kind, outputs.shape[1]):
        raise InputError("evidence needs a decision: compare with a second song or text.", argument="evidence")
    if not makes_decision(scale.output_kind, outputs.shape[1]):
        raise InputError(f"evidence needs a classifier, and the outputs are {scale.output_kind}.", argument="evidence")
    value = outputs[:, scale.target]
    if scale.foil is not None:
        return value - outputs[:, scale.foil]
    if scale.output_kind == "multilabel" or outputs.shape[1] == 1:
        return value - (0.5 if scale.output_kind == "probabilities" else 0.0)
    others = torch.cat([outputs[:, : scale.target], outputs[:, scale.target + 1 :]], 1)
    return value - others.amax(1)


def find_minimal(margin: Margin, order: Tensor) -> Bool[Tensor, " d"] | None:
    """The shortest prefix of the order with a margin above zero, or the first few that together have one, thinned out.

    None where neither is found.
    """
    d = len(order)
    rank = torch.empty(d, dtype=torch.long).scatter_(0, order, torch.arange(d))
    prefixes = rank[None] < torch.arange(d + 1)[:, None]
    # All prefixes at once: the margin needn't grow with the prefix, so a bisection could miss the shortest one.
    good = margin(prefixes) > 0
    chosen = prefixes[int(good.long().argmax())] if bool(good.any()) else _grow(margin, d)
    return None if chosen is None else thin_out(margin, chosen)


def _grow(margin: Margin, d: int) -> Bool[Tensor, " d"] | None:
    """Add the component that gives the largest margin, until that is above zero.

    A model whose decision returns as more is removed can have such a set where no prefix will do.
    """
    chosen = torch.zeros(d, dtype=torch.bool)
    for _ in range(min(MOST_GROWN, d)):
        rest = (~chosen).nonzero().flatten()
        grown = chosen.repeat(len(rest), 1)
        grown[torch.arange(len(rest)), rest] = True
        margins = margin(grown)
        chosen = grown[int(margins.argmax())]
        if float(margins.max()) > 0:
            return chosen
    return None


def thin_out(margin: Margin, kept: Bool[Tensor, " d"]) -> Bool[Tensor, " d"]:
    """Leave out as many at once as the margin allows, those that matter least first, until no single one can be left out."""
    while bool(kept.any()):
        places = kept.nonzero().flatten()
        singles = kept.repeat(len(places), 1)
        singles[torch.arange(len(places)), places] = False
        margins = margin(singles)
        spare = places[margins.argsort(descending=True, stable=True)][: int((margins > 0).sum())]
        if not len(spare):
            break
        # Row i leaves out the first i + 1 of those that can be left out one by one; the longest row that still keeps the
        # margin is taken, which needs one pass where removing them one by one would need many.
        growing = kept.repeat(len(spare), 1)
        for step, place in enumerate(spare.tolist()):
            growing[step:, place] = False
        good = (margin(growing) > 0).nonzero().flatten()
        # Leaving out the first alone was just seen to be good, so some step is, unless the model isn't deterministic.
        kept = growing[int(good[-1])] if len(good) else singles[int(margins.argmax())]
    return kept


def read_output(scale: Scale, outputs: Float[Tensor, "1 class"]) -> tuple[float, float | None]:
    """The explained value, and the target's probability where there is one."""
    value = float(to_values(scale, outputs)[0, scale.column])
    if scale.foil is not None or "probability" not in list_spaces(scale.output_kind, outputs.shape[1]):
        return value, None
    return value, float(to_values(scale.on("probability"), outputs)[0, scale.column])


def _describe(scale: Scale, decided: bool) -> str:
    name = scale.classes[scale.target]
    if scale.foil is not None:
        return f"{name} {'above' if decided else 'not above'} {scale.classes[scale.foil]}"
    if scale.output_kind == "multilabel" or len(scale.classes) == 1:
        return f"{name}: {'yes' if decided else 'no'}"
    if scale.output_kind == "similarity":
        return f"{name} {'nearest' if decided else 'not nearest'} of {len(scale.classes)}"
    return f"{name} {'first' if decided else 'not first'} among {len(scale.classes)} classes"
