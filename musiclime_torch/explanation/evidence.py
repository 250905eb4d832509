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
from musiclime_torch.variants.asking import run_checked
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, to_values


@dataclass(frozen=True)
class Evidence:
    """Columns of the two sets, None where none was found, with the explained value that the model then gives.

    `decision` describes what is kept or flipped; `variants` is how many were run to find both.
    """

    decision: str
    keeping: tuple[int, ...] | None
    flipping: tuple[int, ...] | None
    output_keeping: float | None
    output_flipping: float | None
    variants: int


def read_evidence(fields: dict[str, Any]) -> Evidence:
    """Evidence from what was saved as JSON."""
    # An empty set is evidence; None means that none was found.
    sets = {name: None if fields[name] is None else tuple(fields[name]) for name in ("keeping", "flipping")}
    return Evidence(**fields | sets)


#: The most components added greedily: each costs as many variants as there are components.
MOST_GROWN = 4


#: Kinds of outputs that make a decision.
DECIDING = ("logits", "multilabel", "probabilities")


#: Masks -> the margin of each, above zero where the decision is as wanted.
Margin = Callable[[Bool[Tensor, "n d"]], Float[Tensor, " n"]]


def find_evidence(probe: Probe, scale: Scale, attributions: Float[Tensor, " d"]) -> Evidence:
    """Search from the largest attributions on; InputError for outputs that make no decision or aren't finite."""
    n_asked = 0

    def measure(masks: Bool[Tensor, "n d"]) -> Float[Tensor, " n"]:
        nonlocal n_asked
        n_asked += len(masks)
        return measure_margin(run_checked(probe, scale, masks), scale).cpu()

    # Where the decision is against the target, the components that contribute against it are its evidence: the same search
    # with all signs turned.
    sign = 1.0 if float(measure_margin(scale.song[None], scale)) > 0 else -1.0
    order = (sign * attributions.cpu()).argsort(descending=True, stable=True)
    keeping = find_minimal(lambda sets: sign * measure(sets), order)
    flipping = find_minimal(lambda sets: -sign * measure(~sets), order)
    outputs = [None if chosen is None else _look_up(probe, scale, chosen, flipped) for chosen, flipped in
               ((keeping, False), (flipping, True))]  # fmt: skip
    columns = [
        None if chosen is None else tuple(probe.seen[place] for place in chosen.nonzero().flatten().tolist())
        for chosen in (keeping, flipping)
    ]
    return Evidence(_describe(scale, sign > 0), columns[0], columns[1], outputs[0], outputs[1], n_asked)


def measure_margin(outputs: Float[Tensor, "n class"], scale: Scale) -> Float[Tensor, " n"]:
    """By how much the target wins: over its foil, over all other classes, or over its threshold."""
    if scale.output_kind not in DECIDING:
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
    return None if chosen is None else _thin_out(margin, chosen)


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


def _thin_out(margin: Margin, kept: Bool[Tensor, " d"]) -> Bool[Tensor, " d"]:
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


def _look_up(probe: Probe, scale: Scale, chosen: Bool[Tensor, " d"], flipped: bool) -> float:
    outputs = run_checked(probe, scale, (~chosen if flipped else chosen)[None])
    return float(to_values(scale, outputs)[0, scale.column])


def _describe(scale: Scale, decided: bool) -> str:
    name = scale.classes[scale.target]
    if scale.foil is not None:
        return f"{name} {'above' if decided else 'not above'} {scale.classes[scale.foil]}"
    if scale.output_kind == "multilabel" or len(scale.classes) == 1:
        return f"{name}: {'yes' if decided else 'no'}"
    return f"{name} {'first' if decided else 'not first'} among {len(scale.classes)} classes"
