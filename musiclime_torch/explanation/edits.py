"""The smallest edit that flips a decision: of as few components as possible, and as mild as possible; found by trying.

Five steps of levels, filters, shifts of pitch and words are tried, from mild to strong. At each step every component is
edited by itself, in every way of that step. Where no single one flips the decision, sets are tried in the same way: the
first few by the attributions, and the set whose removal flips it; the smallest is then thinned out. Fewer components are
smaller, and then milder edits; among equals, what flips the decision by the largest margin is taken. Each is verified: the
model is run on it. It is the smallest of what was tried.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.edits import read_edit
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.evidence import (
    Evidence,
    Measure,
    SearchStoppedError,
    SmallestEdit,
    count_pass,
    decide,
    read_output,
    thin_out,
)
from musiclime_torch.variants.asking import run_checked
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale

#: What is tried at each step. The last takes the stem away.
STEPS = (
    ("-3 dB", "low-pass 8000 Hz", "high-pass 60 Hz", "+1 semitone", "-1 semitone"),
    ("-6 dB", "low-pass 4000 Hz", "high-pass 125 Hz", "+2 semitones", "-2 semitones"),
    ("-12 dB", "low-pass 2000 Hz", "high-pass 250 Hz", "+3 semitones", "-3 semitones"),
    ("-24 dB", "low-pass 1000 Hz", "high-pass 500 Hz", "+5 semitones", "-5 semitones"),
    ("silence", "low-pass 500 Hz", "high-pass 1000 Hz", "+7 semitones", "-7 semitones"),
)

#: The steps of a word that becomes another one, and of a word that is taken out or blanked.
SWAPPED, BLANKED = 3, 5

#: Components tried by themselves, and the largest set, at most: the first by the attributions.
TRIED, LARGEST = 64, 40

#: Samples of edited stems that are held at a time: half a gigabyte.
HELD = 1 << 27

#: An edit of the sound -> the probe that hears removed stems so.
Making = Callable[[str], Probe]


@dataclass(frozen=True)
class Try:
    """A step's edit, "" for words alone, and the probe that renders it."""

    step: int
    edit: str
    probe: Probe


@dataclass
class Search:
    """What all parts of one search share; probes are made once for every edit."""

    probe: Probe
    make: Making
    measure: Measure
    sign: float
    made: dict[str, Probe] = field(default_factory=dict)
    held: int = 0

    @property
    def word_step(self) -> int:
        """The step of what becomes of a removed word."""
        return SWAPPED if self.probe.sources.swaps else BLANKED

    def list_tries(self) -> Iterator[Try]:
        """Steps from mild to strong, each with its edits; those of the sound, and of words by themselves."""
        rate = self.probe.subject.sample_rate or 0
        for step, edits in enumerate(STEPS, start=1):
            for edit in edits if self.probe.sources.windows else ():
                # A filter beyond what the model hears does nothing, or all.
                if not edit.endswith("Hz") or read_edit(edit).amount < rate / 2:
                    yield Try(step, edit, self._find(edit))
            if step == self.word_step and self.probe.seen_lyrics:
                yield Try(step, "", self.probe)

    def _find(self, edit: str) -> Probe:
        """The probe of an edit; of a long song most are made again where they are needed twice."""
        if edit in self.made:
            return self.made[edit]
        probe = self.make(edit)
        size = sum(zone.stems.numel() for window in probe.sources.windows for zone in window.zones)
        if self.held + size <= HELD:
            self.made[edit], self.held = probe, self.held + size
        return probe

    def flip(self, trial: Try, sets: Bool[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """By how much each set's edit flips the decision."""
        return -self.sign * self.measure.run(trial.probe, ~sets)


def look_for_edit(
    probe: Probe,
    scale: Scale,
    attributions: Float[Tensor, " d"],
    evidence: Evidence,
    make: Making,
    most: int | None = None,
) -> tuple[Evidence, tuple[str, ...]]:
    """The evidence with the smallest edit; or without, and why the model failed on an edit, or that the search took more
    than `most` passes.
    """
    probe.stages.begin("looking for the smallest edit", most, foretold=False)
    try:
        return replace(evidence, edit=find_edit(probe, scale, attributions, evidence.flipping, make, most)), ()
    except SearchStoppedError as stopped:
        return evidence, (str(stopped),)
    except InputError as error:
        return evidence, (f"the search for edits failed: {error}",)


def find_edit(
    probe: Probe,
    scale: Scale,
    attributions: Float[Tensor, " d"],
    flipping: tuple[int, ...] | None,
    make: Making,
    most: int | None = None,
) -> SmallestEdit:
    """The smallest edit that flips the decision; `flipping` is a set whose removal does, if one is known.

    Raises:
        InputError: where outputs aren't finite.
        SearchStoppedError: where `most` passes don't suffice.
    """
    sign = decide(scale)
    search = Search(probe, make, Measure(probe, scale, most, count_pass(probe), "edits"), sign)
    order = (sign * attributions.cpu()).argsort(descending=True, stable=True)
    found = _try_singles(search, order) or _try_sets(search, order, flipping)
    if found is None:
        return SmallestEdit(None, "", 0, None, None, search.measure.variants)
    trial, chosen = found
    output, chance = read_output(scale, run_checked(trial.probe, scale, ~chosen[None]))
    columns = tuple(probe.seen[place] for place in chosen.nonzero().flatten().tolist())
    edit = trial.edit if any(column < probe.n_audio for column in columns) else ""
    return SmallestEdit(columns, edit, trial.step, output, chance, search.measure.variants)


def _try_singles(search: Search, order: Tensor) -> tuple[Try, Bool[Tensor, " d"]] | None:
    """The first step at which a single component's edit flips the decision, and the one that does so most clearly."""
    d, heard = len(order), len(search.probe.seen_audio)
    best: tuple[float, Try, Tensor] | None = None
    for trial in search.list_tries():
        if best is not None and trial.step > best[1].step:
            break
        sets = torch.eye(d, dtype=torch.bool)[order]
        sets = sets[(order < heard) if trial.edit else (order >= heard)][:TRIED]
        best = _pick(search, trial, sets, best)
    return None if best is None else (best[1], best[2])


def _try_sets(search: Search, order: Tensor, flipping: tuple[int, ...] | None) -> tuple[Try, Bool[Tensor, " d"]] | None:
    """The fewest components whose edit flips the decision, at the mildest step that so few take, thinned out."""
    sets = _list_sets(search.probe, order, flipping)
    best: tuple[float, Try, Tensor] | None = None
    for trial in search.list_tries() if len(sets) else ():
        best = _pick(search, trial, sets, best, by_size=True)
    if best is None:
        return None
    trial = best[1]
    chosen = thin_out(lambda some: search.flip(trial, some), best[2])
    # What is left of the set may do with a milder edit.
    for milder in search.list_tries():
        best = _pick(search, milder, chosen[None], best, by_size=True) or best
    return best[1], best[2]


def _list_sets(probe: Probe, order: Tensor, flipping: tuple[int, ...] | None) -> Bool[Tensor, "n d"]:
    """The first two components and more, of both sides together and of each, and the set whose removal flips."""
    d, heard = len(order), len(probe.seen_audio)
    known = [place for place, column in enumerate(probe.seen) if column in (flipping or ())]
    largest = min(max(len(known), 2) if flipping else d, LARGEST)
    orders = [order, order[order < heard], order[order >= heard]]
    sizes = range(2, largest + 1)
    chosen = [places[:size].tolist() for places in orders for size in sizes if size <= len(places)]
    chosen += [known] if len(known) > 1 else []
    unique = dict.fromkeys(tuple(sorted(some)) for some in chosen)
    sets = torch.zeros(len(unique), d, dtype=torch.bool)
    for row, some in zip(sets, unique, strict=True):
        row[list(some)] = True
    return sets


def _pick(
    search: Search,
    trial: Try,
    sets: Bool[Tensor, "n d"],
    best: tuple[float, Try, Tensor] | None,
    by_size: bool = False,
) -> tuple[float, Try, Tensor] | None:
    """The better of the best so far and what this edit flips: fewer components, a milder step, a larger margin."""
    if best is not None and by_size:
        sets = sets[sets.sum(1) <= best[2].sum()]
    heard = len(search.probe.seen_audio)
    # Words are blanked or swapped at one strength: sets with a word in them are tried from that step on.
    if trial.step < search.word_step:
        sets = sets[~sets[:, heard:].any(1)]
    if not trial.edit:
        sets = sets[~sets[:, :heard].any(1)]
    elif by_size:
        sets = sets[sets[:, :heard].any(1)]
    if not len(sets):
        return best
    margins = search.flip(trial, sets)
    for place in (margins > 0).nonzero().flatten().tolist():
        key = (int(sets[place].sum()), trial.step, -float(margins[place]))
        if best is None or key < (int(best[2].sum()), best[1].step, -best[0]):
            best = (float(margins[place]), trial, sets[place])
    return best
