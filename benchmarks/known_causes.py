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
from musiclime_torch.models.contract import TokenBatch, Tokens
from musiclime_torch.models.tagger import Tagger
from musiclime_torch.track import Track

#: The first seed of the songs: far from any that the models were trained or measured on.
HELD_OUT = 40_000_000
#: Songs of each kind of cause are made of these classes in turn.
CLASSES = {
    "cue": ("drum fill", "bass drop", "synth solo"),
    "word": ("love song", "heartbreak"),
    "line": ("love song", "heartbreak"),
    "both": ("anthem", "lullaby"),
    "many": (),
}


#: The class of songs with many causes.
FULL = "full of tags"


class Counter(nn.Module):
    """One class whose logit rises by 1 with each tag that the embedded model hears or reads, from −3.5 to 3.5.

    Its causes are those of all tags at once: five that act alone, and two pairs that act together.
    """

    modalities, channels, output_kind, classes = ("audio", "lyrics"), 1, "multilabel", (FULL,)

    def __init__(self, tagger: Tagger) -> None:
        super().__init__()
        self.tagger = tagger
        self.sample_rate, self.max_seconds = tagger.sample_rate, tagger.max_seconds

    def tokenize(self, text: str) -> Tokens:
        """As the tagger does."""
        return self.tagger.tokenize(text)

    def embed_text(self, ids: Tensor) -> Tensor:
        """As the tagger does."""
        return self.tagger.embed_text(ids)

    def encode_audio(self, audio: Tensor) -> Tensor:
        """As the tagger does."""
        return self.tagger.encode_audio(audio)

    def encode_text(self, text: TokenBatch) -> Tensor:
        """As the tagger does."""
        return self.tagger.encode_text(text)

    def fuse(self, audio: Tensor, text: Tensor) -> Tensor:
        """The number of tags, about its middle: (batch, 1)."""
        return self._count(self.tagger.fuse(audio, text))

    def fuse_pairs(self, audio: Tensor, text: Tensor) -> Tensor:
        """The same of all pairs: (na, nt, 1)."""
        return self._count(self.tagger.fuse_pairs(audio, text))

    def forward(self, audio: Tensor, text: TokenBatch | list[str]) -> Tensor:
        """Logits (batch, 1)."""
        return self._count(self.tagger(audio, text))

    def _count(self, logits: Tensor) -> Tensor:
        return logits.sigmoid().sum(-1, keepdim=True) - len(TAGS) / 2


@dataclass(frozen=True)
class Case:
    """A song, a model, a class, and the components that are known to decide it; `effects` of each on the logit, where they
    are known too.
    """

    kind: str
    model: Tagger | Counter
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
    """The numbered song whose cause is of a kind, for the embedded model."""
    if kind == "many":
        plan = plan_song(_first_seed(kind) + number, TAGS)
        causes = [cause for tag in TAGS for cause in find_causes(plan, tag)]
        # Of a tag with two causes each is worth a half: on the average over the other, and as a Shapley value.
        effects = tuple(1 / len(TAGS[cause.tag].kinds) for cause in causes)
        return Case(kind, Counter(model), make_track(plan), FULL, "word", tuple(map(find_column, causes)), effects)
    classes = CLASSES[kind]
    tag = classes[number % len(classes)]
    plan = plan_song(_first_seed(kind) + number, {tag})
    causes = find_causes(plan, tag)
    columns = tuple(find_column(cause) for cause in causes)
    if kind != "line":
        return Case(kind, model, make_track(plan), tag, "word", columns)
    line = int(np.searchsorted(np.cumsum(plan.line_lengths), causes[0].place, side="right"))
    return Case(kind, model, make_track(plan), tag, "line", (len(STEMS) * HALF_BARS + line,))


def _first_seed(kind: str) -> int:
    return HELD_OUT + 1000 * list(CLASSES).index(kind)


def list_cases(kind: str, model: Tagger) -> Iterator[Case]:
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

    return Game(answer, probe.n_audio, probe.columns - probe.n_audio, list(case.model.classes).index(case.target))
