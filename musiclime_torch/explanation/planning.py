"""Which design goes with which weights, model and number of masks: all the rules, before anything is rendered; and what
a plan takes of a model and song that are ready to be run. Where a song is cut for a model is settled here too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from musiclime_torch.basics.arguments import Until, find_class, read_until
from musiclime_torch.basics.choices import Space
from musiclime_torch.basics.edits import refuse_deaf_edit
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.baselines import list_edits
from musiclime_torch.explanation.estimation.crossed import takes_every_mask
from musiclime_torch.explanation.estimation.loop import expect_passes
from musiclime_torch.explanation.evidence import makes_decision
from musiclime_torch.explanation.settings import BUDGET, ENUMERATED, SETTLED, Settings
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.beats import Limits
from musiclime_torch.song.segments import place_segments
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.sampling import Sampling, pick_repeats
from musiclime_torch.variants.components import Components, list_components
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import pick_space
from musiclime_torch.variants.words import StringGates

#: The kinds of estimates: of no columns; from masks over all columns; from masks of each side, crossed; from coalitions over
#: all columns; from coalitions of each side by inclusion level, crossed.
Kind = Literal["nothing", "joint", "crossed", "coalitions", "crossed coalitions"]


@dataclass(frozen=True)
class Plan:
    """How masks will be drawn, when sampling may stop, and notes on that for the warnings."""

    kind: Kind
    sampling: Sampling
    until: Until | None
    notes: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        """Whether any masks will do that give Banzhaf or Shapley values."""
        return self.sampling.design in ("auto", "joint") and self.sampling.weights in ("uniform", "shapley")


def describe_asked(model: Callable[..., Any], settings: Settings) -> tuple[Subject, Space]:
    """The model with what the settings declare of it, and the space of its outputs.

    Raises:
        InputError: what its declarations alone can refuse: a class, or a space, that it doesn't have.
    """
    declared = {
        name: getattr(settings, name) for name in ("sample_rate", "channels", "classes", "output_kind", "modalities")
    }
    subject = describe_model(model, **declared)
    if "audio" in subject.modalities and subject.sample_rate is not None:
        for edit in list_edits(settings.baseline):
            refuse_deaf_edit(edit, subject.sample_rate)
    if subject.classes is not None:
        asked = [find_class(name, subject.classes) for name in (settings.target, settings.foil) if name is not None]
        if not isinstance(settings.interactions, str):
            for name in settings.interactions:
                find_class(name, subject.classes)
        if len(asked) > len(set(asked)):
            raise InputError(
                f"the foil {subject.classes[asked[0]]!r} is the target itself: give another class.", argument="foil"
            )
    return subject, pick_space(settings.space, subject.output_kind)


def plan_sampling(subject: Subject, sides: tuple[int, int], settings: Settings) -> Plan:
    """The plan for a model and its numbers of audio and lyrics columns. It costs nothing, so it is made again once it is
    known which columns are unseen.

    Raises:
        InputError: settings that no design, or not this model, can meet.
    """
    count = None if subject.classes is None else len(subject.classes)
    asked = next((name for name in ("evidence", "edits") if getattr(settings, name)), None)
    if asked is not None and subject.output_kind == "similarity" and not makes_decision("similarity", count):
        raise InputError(f"{asked} needs a decision: compare with a second song or text.", argument=asked)
    if asked is not None and not makes_decision(subject.output_kind, count):
        raise InputError(
            f"{asked} needs a classifier, and the outputs of {subject.name} are {subject.output_kind}: leave {asked} out.",
            argument=asked,
        )
    # Weights before designs, for they rule out most; the number of masks last, for what it means depends on the design.
    sampling, until = _set_budget(settings)
    kind = _pick_kind(subject, sides, settings)
    if isinstance(settings.n_samples, tuple) and subject.late_fusion and any(sides) and not all(sides):
        return _plan_one_side(kind, sampling, until, settings.n_samples, sides)
    if isinstance(settings.n_samples, tuple) and kind in ("joint", "coalitions"):
        raise InputError(
            f"n_samples {settings.n_samples} gives each side its own number, but these masks are drawn over both together: "
            "give one number, or use a late-fusion model with design crossed.",
            argument="n_samples",
        )
    notes = _note_joint(subject, sides, settings) if kind == "joint" else ()
    return Plan(kind, sampling, until, notes)


def _set_budget(settings: Settings) -> tuple[Sampling, Until | None]:
    """Masks at most, and when fewer will do: where no number was given, once the effects that are shown are settled."""
    until = None if settings.until is None else read_until(settings.until)
    count, enumerated = settings.n_samples, None
    if count is None:
        count = BUDGET
        # Only these are estimated with errors that hold at every look: Shapley values are sampled without looks, and a
        # kernel or a penalty leaves few effective rows, or none, in a first block.
        if until is None and settings.weights == "uniform" and not settings.ridge:
            until, enumerated = read_until(SETTLED), ENUMERATED
    return Sampling(settings.design, settings.weights, settings.kernel_width, count, settings.seed, enumerated), until


def _plan_one_side(
    kind: Kind, sampling: Sampling, until: Until | None, counts: tuple[int, int], sides: tuple[int, int]
) -> Plan:
    """The plan for a song with components on one side only, such as an instrumental: that side's masks, as many as asked."""
    side, count = ("sound", counts[0]) if sides[0] else ("lyrics", counts[1])
    note = f"only the {side} can be explained here: of n_samples {counts} it gets its own {count}."
    return Plan(kind, replace(sampling, n_samples=count), until, (note,))


def _can_cross(subject: Subject, sides: tuple[int, int]) -> bool:
    return subject.late_fusion and all(sides)


def _pick_kind(subject: Subject, sides: tuple[int, int], settings: Settings) -> Kind:
    """Crossed masks where the model and the settings allow them, else masks over all columns."""
    able = _can_cross(subject, sides)
    # First: a song without anything to switch has an explanation, whatever design was asked for.
    if not any(sides):
        return "nothing"
    if settings.design == "crossed" and not able:
        missing = "components on both sides" if subject.late_fusion else "encode_audio, encode_text and fuse"
        raise InputError(
            f"a crossed design needs {missing}, which {subject.name} lacks here: use design joint.", argument="design"
        )
    if settings.weights == "shapley":
        return "crossed coalitions" if able and settings.design != "joint" else "coalitions"
    # Row weights of a crossed design are products of the two sides'; of the kernels only the uniform one is that by itself.
    separable = settings.weights == "uniform" and not settings.ridge
    return "crossed" if settings.design == "crossed" or (settings.design == "auto" and able and separable) else "joint"


def _note_joint(subject: Subject, sides: tuple[int, int], settings: Settings) -> tuple[str, ...]:
    """A note where masks could have been crossed under other weights."""
    if settings.design != "auto" or not _can_cross(subject, sides):
        return ()
    # Crossing needs weights that are products of one weight per side. A kernel of the distance over both sides together is
    # no such product, and a penalty couples the sides' solutions.
    what = "a ridge penalty is solved" if settings.ridge else f"{settings.weights} weights are solved"
    return (
        f"{what} on joint masks, though {subject.name} encodes sound and lyrics apart: uniform weights would cross them.",
    )


def count_expected(probe: Probe, plan: Plan) -> int:
    """Passes that the plan takes at most. A crossed one is taken to share its masks equally, until it knows better."""
    counts, sides = plan.sampling.n_samples, (len(probe.seen_audio), len(probe.seen_lyrics))
    crossed = plan.kind in ("crossed", "crossed coalitions")
    if takes_all(probe, plan):
        return (
            expect_passes(probe, 2 ** sides[0], 2 ** sides[1]) if crossed else expect_passes(probe, *[2 ** sum(sides)] * 2)
        )
    if isinstance(counts, tuple):
        return expect_passes(probe, *counts)
    return expect_passes(probe, counts // 2, counts // 2) if crossed else expect_passes(probe, counts, counts)


def keep_worthwhile_end(probe: Probe, plan: Plan) -> Plan:
    """The plan without an early end where that saves next to nothing: windows of a longer song have few renderings each,
    which some masks take as well as many.
    """
    few, many = (expect_passes(probe, count, count) for count in (ENUMERATED, BUDGET))
    if plan.kind != "joint" or plan.sampling.enumerated is None or takes_all(probe, plan) or many > 1.1 * few:
        return plan
    return replace(plan, sampling=replace(plan.sampling, enumerated=None), until=None)


def share_sounds(probe: Probe, plan: Plan) -> Plan:
    """The plan with several lyrics for each sound, where the model keeps what it heard and that is worth it."""
    sampling, sources = plan.sampling, probe.sources
    both = bool(probe.seen_audio) and bool(probe.seen_lyrics)
    free = plan.kind == "joint" and sampling.design in ("auto", "joint") and sampling.weights == "uniform"
    lyrics = sources.lyrics
    able = probe.subject.shares_sounds and both and free and len(sources.windows) == 1
    if not able or lyrics is None or takes_all(probe, plan):
        return plan
    tokens = len(lyrics.text.split()) if isinstance(lyrics, StringGates) else len(lyrics.owner)
    cost = float(probe.subject.model.pair_cost(sources.windows[0].frames, tokens))
    return replace(plan, sampling=replace(sampling, repeats=pick_repeats(cost)))


def takes_all(probe: Probe, plan: Plan) -> bool:
    """Whether there are no more masks than were asked for, so that each is asked about once."""
    if plan.kind == "crossed":
        return takes_every_mask(probe, plan.sampling, plan.until)
    single = isinstance(plan.sampling.n_samples, int)
    return plan.free and plan.kind in ("joint", "coalitions") and single and 2 ** len(probe.seen) <= plan.sampling.every_mask


#: Number of equal time segments, unless the model declares that they would be too short.
SEGMENTS = 10


def place_components(subject: Subject, track: Track, settings: Settings) -> tuple[Any, Components]:
    """Segments as they were asked for or, by default, are best for the model, and the components of the song in them.

    The segments are in the form that a record keeps.
    """
    default = _pick_segments(subject, track)
    asked = default if settings.segments is None else settings.segments
    segments = place_segments(track, asked, _limit(subject, track, default)) if "audio" in subject.modalities else asked
    return segments, list_components(track, segments, settings.units, subject.modalities, subject.asked_text)


def _pick_segments(subject: Subject, track: Track) -> int:
    fitting = SEGMENTS if subject.shortest_seconds is None else int(track.seconds / subject.shortest_seconds + 1e-9)
    return max(min(SEGMENTS, fitting), 1)


def _limit(subject: Subject, track: Track, most: int) -> Limits:
    """Limits within which segments made of beats cost no more passes than as many equal ones."""
    # Windows of a longer song lie within segments that are as long: across shorter ones they have more renderings.
    window = subject.max_seconds if subject.max_seconds is not None and subject.max_seconds < track.seconds else 0.0
    equal = track.seconds / most
    return Limits(most, max(min(window, equal), subject.shortest_seconds or 0.0, Limits.shortest))
