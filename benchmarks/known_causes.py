"""Songs whose causes are known, with the model that decides by them, as cases to explain and as games to play."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import shortcuts
import torch
from games import make_probe
from peers import Game
from torch import Tensor, nn

from musiclime_torch.components import Components, Units, list_components
from musiclime_torch.demo.plan import HALF_BARS, find_causes, find_column, plan_song
from musiclime_torch.demo.songs import make_track
from musiclime_torch.demo.tags import STEMS, TAGS
from musiclime_torch.evaluation import ask
from musiclime_torch.models.care import evaluating
from musiclime_torch.track import Track

#: The first seed of the songs: far from any that the models were trained or measured on.
HELD_OUT = 40_000_000
#: Songs of each kind of cause are made of these classes in turn.
CLASSES = {
    "cue": ("drum fill", "bass drop", "synth solo"),
    "word": ("love song", "heartbreak"),
    "line": ("love song", "heartbreak"),
    "both": ("anthem", "lullaby"),
}


@dataclass(frozen=True)
class Case:
    """A song, a model, a class, and the components that are known to decide it."""

    kind: str
    model: nn.Module
    track: Track
    target: str
    units: Units
    causes: tuple[int, ...]

    @property
    def components(self) -> Components:
        """All columns."""
        return list_components(self.track, HALF_BARS, self.units, ("audio", "lyrics"))


def plant(kind: str, model: nn.Module, number: int) -> Case:
    """The numbered song whose cause is of a kind, for the embedded model."""
    classes = CLASSES[kind]
    tag = classes[number % len(classes)]
    plan = plan_song(HELD_OUT + 1000 * list(CLASSES).index(kind) + number, {tag})
    causes = find_causes(plan, tag)
    columns = tuple(find_column(cause) for cause in causes)
    if kind != "line":
        return Case(kind, model, make_track(plan), tag, "word", columns)
    line = int(np.searchsorted(np.cumsum(plan.line_lengths), causes[0].place, side="right"))
    return Case(kind, model, make_track(plan), tag, "line", (len(STEMS) * HALF_BARS + line,))


def list_cases(kind: str, model: nn.Module) -> Iterator[Case]:
    """Songs without end; of those with a shortcut, the ones that it decides."""
    number = 0
    while True:
        if kind in CLASSES:
            yield plant(kind, model, number)
        else:
            pair = shortcuts.hold_out(kind, number)
            if shortcuts.decides(model, kind, pair):
                track = shortcuts.make_marked_track(pair[0])
                yield Case(kind, model, track, shortcuts.TARGETS[kind], "word", pair[0].causes)
        number += 1


def make_game(case: Case, device: str) -> Game:
    """The song as a callable on masks. What was asked before is remembered, which saves time here and no passes there."""
    probe = make_probe(case.model, case.track, case.units, device)
    probe = replace(probe, seen=tuple(range(probe.columns)))
    known: dict[bytes, Tensor] = {}

    def answer(masks: Tensor) -> Tensor:
        keys = [row.tobytes() for row in np.packbits(masks.numpy(), axis=1)]
        fresh = {key: number for number, key in enumerate(keys) if key not in known}
        if fresh:
            with evaluating(case.model):
                outputs = ask(probe, masks[list(fresh.values())]).cpu()
            known.update(zip(fresh, outputs, strict=True))
        return torch.stack([known[key] for key in keys])

    return Game(answer, probe.n_audio, probe.columns - probe.n_audio, list(TAGS).index(case.target))
