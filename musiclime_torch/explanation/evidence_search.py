"""The evidence for a decision: components that alone keep it, and components whose removal flips it, both run and seen.

Candidates are taken in the order of their attributions, or one by one as they do most where no number of the first will do,
and thinned out until none can be spared (local minima: no single component may be left out, though quite other sets may be
smaller). Every step is one batched pass.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.evidence import Evidence
from musiclime_torch.variants.asking import run_checked
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale, to_values

#: Components that are looked for one by one: each costs as many variants as there are components.
MOST_GROWN = 4


#: Kinds of outputs that decide something.
DECIDING = ("logits", "multilabel", "probabilities")


#: Masks -> how far each is on the right side, above zero where it is.
Margin = Callable[[Bool[Tensor, "n d"]], Float[Tensor, " n"]]


def find_evidence(probe: Probe, scale: Scale, attributions: Float[Tensor, " d"]) -> Evidence:
    """Search from the largest attributions on; InputError for outputs that decide nothing or are no numbers."""
    asked = 0

    def measure(masks: Bool[Tensor, "n d"]) -> Float[Tensor, " n"]:
        nonlocal asked
        asked += len(masks)
        return measure_margin(run_checked(probe, scale, masks), scale).cpu()

    sign = 1.0 if float(measure_margin(scale.song[None], scale)) > 0 else -1.0
    order = (sign * attributions.cpu()).argsort(descending=True, stable=True)
    keeping = find_minimal(lambda sets: sign * measure(sets), order)
    flipping = find_minimal(lambda sets: -sign * measure(~sets), order)
    outputs = [None if found is None else _look_up(probe, scale, found, flipped) for found, flipped in
               ((keeping, False), (flipping, True))]  # fmt: skip
    columns = [
        None if found is None else tuple(probe.seen[place] for place in found.nonzero().flatten().tolist())
        for found in (keeping, flipping)
    ]
    return Evidence(_describe(scale, sign > 0), columns[0], columns[1], outputs[0], outputs[1], asked)


def measure_margin(outputs: Float[Tensor, "n class"], scale: Scale) -> Float[Tensor, " n"]:
    """How clearly the target is decided for: above its foil, above all other classes, or above its threshold."""
    if scale.output_kind not in DECIDING:
        raise InputError(f"outputs that are {scale.output_kind} decide nothing: evidence needs a classifier.")
    own = outputs[:, scale.target]
    if scale.foil is not None:
        return own - outputs[:, scale.foil]
    if scale.output_kind == "multilabel" or outputs.shape[1] == 1:
        return own - (0.5 if scale.output_kind == "probabilities" else 0.0)
    others = torch.cat([outputs[:, : scale.target], outputs[:, scale.target + 1 :]], 1)
    return own - others.amax(1)


def find_minimal(margin: Margin, order: Tensor) -> Bool[Tensor, " d"] | None:
    """The shortest prefix of the order with a margin above zero, or the first few that together have one, thinned out.

    None where neither is found.
    """
    d = len(order)
    rank = torch.empty(d, dtype=torch.long).scatter_(0, order, torch.arange(d))
    prefixes = rank[None] < torch.arange(d + 1)[:, None]
    good = margin(prefixes) > 0
    found = prefixes[int(good.long().argmax())] if bool(good.any()) else _grow(margin, d)
    return None if found is None else _thin_out(margin, found)


def _grow(margin: Margin, d: int) -> Bool[Tensor, " d"] | None:
    """Add what leaves the largest margin, until it is above zero. A model whose decision comes back as more is taken out has
    such sets, and no prefix.
    """
    found = torch.zeros(d, dtype=torch.bool)
    for _ in range(min(MOST_GROWN, d)):
        rest = (~found).nonzero().flatten()
        grown = found.repeat(len(rest), 1)
        grown[torch.arange(len(rest)), rest] = True
        margins = margin(grown)
        found = grown[int(margins.argmax())]
        if float(margins.max()) > 0:
            return found
    return None


def _thin_out(margin: Margin, kept: Bool[Tensor, " d"]) -> Bool[Tensor, " d"]:
    """Leave out as many as go together, those that matter least first, until no single one can be spared."""
    while bool(kept.any()):
        places = kept.nonzero().flatten()
        singles = kept.repeat(len(places), 1)
        singles[torch.arange(len(places)), places] = False
        margins = margin(singles)
        spare = places[margins.argsort(descending=True, stable=True)][: int((margins > 0).sum())]
        if not len(spare):
            break
        growing = kept.repeat(len(spare), 1)
        for step, place in enumerate(spare.tolist()):
            growing[step:, place] = False
        good = (margin(growing) > 0).nonzero().flatten()
        # The first left out one of those that can be spared, so it is good unless the model wavers.
        kept = growing[int(good[-1])] if len(good) else singles[int(margins.argmax())]
    return kept


def _look_up(probe: Probe, scale: Scale, found: Bool[Tensor, " d"], flipped: bool) -> float:
    outputs = run_checked(probe, scale, (~found if flipped else found)[None])
    return float(to_values(scale, outputs)[0, scale.column])


def _describe(scale: Scale, decided: bool) -> str:
    name = scale.classes[scale.target]
    if scale.foil is not None:
        return f"{name} {'above' if decided else 'not above'} {scale.classes[scale.foil]}"
    if scale.output_kind == "multilabel" or len(scale.classes) == 1:
        return f"{name} {'on' if decided else 'off'}"
    return f"{name} {'first' if decided else 'not first'} among {len(scale.classes)} classes"
