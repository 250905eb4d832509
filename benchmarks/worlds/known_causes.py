"""Songs whose causes are known, with the model that decides by them, as cases to explain and as games to play."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.tools.peers import Oracle
from benchmarks.tools.tuning import Tuning
from benchmarks.worlds import shortcuts
from benchmarks.worlds.rules import BRIGHT, FULL, QUOTES, Counter, Rules
from benchmarks.worlds.world import make_probe
from musiclime_torch import Track, list_components
from musiclime_torch.demo import HALF_BARS, STEMS, TAGS, SongPlan, find_causes, find_column, make_track, plan_song
from musiclime_torch.models import Tagger, evaluating
from musiclime_torch.variants import Components, Units, run_joint

#: The first seed of the songs: far from any that the models were trained or measured on.
HELD_OUT = 40_000_000
#: Songs of each kind of cause are tagged with these in turn; those of a rule have no tag.
CLASSES = {
    "stem": (),
    "cue": ("drum fill", "bass drop", "synth solo"),
    "word": ("love song", "heartbreak"),
    "line": (),
    "quote": (),
    "both": ("anthem", "lullaby"),
    "many": tuple(TAGS),
}


@dataclass(frozen=True)
class Case:
    """A song, a model, a class, and the components that are known to decide it; `effects` of each on the logit, where they
    are known too.
    """

    kind: str
    model: Tagger | Counter | Rules
    track: Track
    target: str
    units: Units
    causes: tuple[int, ...]
    effects: tuple[float, ...] = ()

    @property
    def components(self) -> Components:
        """All columns."""
        return list_components(self.track, HALF_BARS, self.units, ("audio", "lyrics"))


def plant(kind: str, model: Tagger, number: int) -> Case:
    """The numbered song whose cause is of a kind, for the embedded model or for a rule."""
    seed, tags = HELD_OUT + 1000 * list(CLASSES).index(kind) + number, CLASSES[kind]
    if kind == "many":
        plan = plan_song(seed, tags)
        causes = [cause for tag in tags for cause in find_causes(plan, tag)]
        # Of a tag with two causes each is worth a half: on the average over the other, and as a Shapley value.
        effects = tuple(1 / len(TAGS[cause.tag].kinds) for cause in causes)
        return Case(kind, Counter(model), make_track(plan), FULL, "word", tuple(map(find_column, causes)), effects)
    if tags:
        tag = tags[number % len(tags)]
        plan = plan_song(seed, {tag})
        return Case(kind, model, make_track(plan), tag, "word", tuple(map(find_column, find_causes(plan, tag))))
    # Also without single parts of two-part tags: a lullaby's bells are as bright as drums.
    return plant_rule(kind, model, replace(plan_song(seed, ()), causes=()), number % HALF_BARS)


def plant_rule(kind: str, model: Tagger, plan: SongPlan, line: int) -> Case:
    """The drums throughout, or a line as one component or as its words."""
    first = sum(plan.line_lengths[:line])
    words = range(first, first + plan.line_lengths[line])
    rules = Rules(model.vocabulary, plan.words[words.start : words.stop]).to(next(model.parameters()).device)
    cells = len(STEMS) * HALF_BARS
    causes = {
        "stem": tuple(STEMS.index("drums") * HALF_BARS + place for place in range(HALF_BARS)),
        "line": (cells + line,),
        "quote": tuple(cells + place for place in words),
    }
    target = BRIGHT if kind == "stem" else QUOTES
    return Case(kind, rules, make_track(plan), target, "line" if kind == "line" else "word", causes[kind])


def list_cases(kind: str, model: Tagger) -> Iterator[Case]:
    """An endless stream of songs; of those with a shortcut, only the ones that it decides."""
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


def make_game(case: Case, device: str) -> Oracle:
    """The song as a callable on masks. Answers are cached, which saves time; every mask counts as a pass nevertheless."""
    probe = make_probe(case.model, case.track, case.units, Tuning(torch.device(device)))
    probe = replace(probe, seen=tuple(range(probe.columns)))
    known: dict[bytes, Tensor] = {}

    def answer(masks: Tensor) -> Tensor:
        keys = [row.tobytes() for row in np.packbits(masks.numpy(), axis=1)]
        fresh = {key: number for number, key in enumerate(keys) if key not in known}
        if fresh:
            with evaluating(case.model):
                outputs = run_joint(probe, masks[list(fresh.values())]).cpu()
            known.update(zip(fresh, outputs, strict=True))
        return torch.stack([known[key] for key in keys])

    return Oracle(answer, probe.n_audio, probe.columns - probe.n_audio, list(case.model.classes).index(case.target))
