"""Which proxies can guide which model, and the proxy made ready for a song: a cheaper model, or a student of this one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.estimation.loop import Guidance
from musiclime_torch.explanation.estimation.proxies import Guide, Run, learn_reference
from musiclime_torch.explanation.lessons import hash_lyrics
from musiclime_torch.explanation.planning import Plan
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.models.care import hash_weights
from musiclime_torch.models.student_parts import Part, answer
from musiclime_torch.models.students import Student
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track
from musiclime_torch.variants.asking import run_joint
from musiclime_torch.variants.cells import measure_cells
from musiclime_torch.variants.components import Components
from musiclime_torch.variants.probe import Probe, probing
from musiclime_torch.variants.renderings import Kept
from musiclime_torch.variants.scale import Scale
from musiclime_torch.variants.words import list_words

#: Masks that a student answers where no number is given, and those that any other proxy answers.
STUDENT_MASKS, MODEL_MASKS = 16_384, 4_096


@dataclass(frozen=True)
class Proxy:
    """A cheap stand-in for a model: a student of it, or any model with the same outputs, and the masks it answers."""

    model: Student | Callable[..., Any]
    masks: int

    @property
    def name(self) -> str:
        """What notes call it."""
        return "the student" if isinstance(self.model, Student) else describe_own(self.model).name

    def knows(self, track: Track) -> tuple[bool, bool]:
        """Whether it learned from this song's sound and from its words: then it may know by heart what it would correct."""
        if not isinstance(self.model, Student):
            return False, False
        recipe = self.model.recipe
        return track.audio_hash in recipe.taught, hash_lyrics(track) in recipe.taught_lyrics

    def helps(self, track: Track) -> tuple[bool, bool]:
        """Whether it has something to say of this song's sound and of its words."""
        if not isinstance(self.model, Student):
            return True, True
        known, parts = self.knows(track), (self.model.listener, self.model.reader)
        # One recording's words may be another's, but its sound isn't: whoever knows the sound knows the song.
        return parts[0] is not None and not known[0], parts[1] is not None and not any(known)

    def describe(self) -> dict[str, Any]:
        """What the provenance keeps of it."""
        model = self.model
        weights = hash_weights(model if isinstance(model, Student) else describe_own(model).module)
        return {"name": self.name, "weights": weights, "masks": self.masks}


def describe_own(model: Callable[..., Any]) -> Subject:
    """A proxy by its own declarations."""
    return describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)


def read_proxy(proxy: Any, masks: int | None, subject: Subject, settings: Settings) -> Proxy | None:
    """The proxy that was given, None for none.

    Raises:
        InputError: one of other outputs than the model's, or settings that it can't help with.
    """
    if proxy is None:
        if masks is not None:
            raise InputError(f"proxy_samples {masks} needs a proxy: give one.", argument="proxy_samples")
        return None
    if settings.weights != "uniform" or settings.ridge:
        raise InputError("a proxy needs uniform weights and no ridge: it corrects Banzhaf values.", argument="proxy")
    if isinstance(proxy, Student):
        _check_student(proxy, subject)
    else:
        _check_model(describe_own(proxy), subject)
    count = (STUDENT_MASKS if isinstance(proxy, Student) else MODEL_MASKS) if masks is None else masks
    if count < 1:
        raise InputError(f"proxy_samples must be positive, got {count}.", argument="proxy_samples")
    return Proxy(proxy, count)


def _check_student(student: Student, subject: Subject) -> None:
    recipe, own = student.recipe, hash_weights(subject.module)
    if "audio" not in subject.modalities:
        raise InputError(f"a student hears, and {subject.name} doesn't: leave the proxy out.", argument="proxy")
    for what, theirs, ours in (
        ("outputs", recipe.output_kind, subject.output_kind),
        ("sample rate", recipe.sample_rate, subject.sample_rate),
        ("classes", recipe.classes, subject.classes),
        ("weights", recipe.weights, own),
    ):
        if theirs != ours:
            raise InputError(
                f"the student learned from another model than {subject.name}: its {what} differ. Distil one of this model.",
                argument="proxy",
            )


def _check_model(other: Subject, subject: Subject) -> None:
    """InputError for a proxy whose outputs mean something else."""
    if other.modalities != subject.modalities:
        raise InputError(
            f"the proxy {other.name} takes {' and '.join(other.modalities)}, and {subject.name} takes "
            f"{' and '.join(subject.modalities)}: give one that takes the same.",
            argument="proxy",
        )
    if other.output_kind != subject.output_kind:
        raise InputError(
            f"the proxy {other.name} gives {other.output_kind}, and {subject.name} gives {subject.output_kind}: give one "
            "with the same outputs.",
            argument="proxy",
        )
    if None not in (other.classes, subject.classes) and other.classes != subject.classes:
        raise InputError(
            f"the proxy {other.name} has other classes than {subject.name}: give one with the same, in the same order.",
            argument="proxy",
        )
    if None not in (other.sample_rate, subject.sample_rate) and other.sample_rate != subject.sample_rate:
        raise InputError(
            f"the proxy {other.name} takes sound at {other.sample_rate} Hz, and {subject.name} at {subject.sample_rate} Hz: "
            "give one of the same rate.",
            argument="proxy",
        )


@contextmanager
def guiding(
    proxy: Proxy | None, probe: Probe, track: Track, components: Components, scale: Scale, plan: Plan, settings: Settings
) -> Iterator[Guide | None]:
    """The proxy ready for this song and design; None where there is none, or no use for it."""
    if proxy is None or plan.kind not in ("joint", "crossed"):
        yield None
    elif isinstance(proxy.model, Student):
        yield _ask_student(proxy.model, proxy, probe, track, scale, plan, settings.seed)
    else:
        with _running(proxy.model, probe, track, components, settings) as run:
            yield _learn(proxy, run, probe, scale, plan, settings.seed)


def _ask_student(
    student: Student, proxy: Proxy, probe: Probe, track: Track, scale: Scale, plan: Plan, seed: int
) -> Guide | None:
    """A student's parts on their own sides. Joint masks get what it hears alone."""
    hears, reads = proxy.helps(track)
    heard, seen = len(probe.seen_audio), tuple(column - probe.n_audio for column in probe.seen_lyrics)
    words = list_words(probe.sources.lyrics)
    audio = lyrics = None
    if hears and heard:
        assert student.listener is not None, "it hears"
        cells = measure_cells(probe.sources, student.recipe.sample_rate, student.recipe.mels)
        listen = _answer_columns(student.listener, cells, probe.seen_audio, probe.n_audio, scale.song)
        if plan.kind == "joint":
            both = lambda masks: listen(masks[:, :heard])  # noqa: E731
            return Guide(joint=learn_reference(both, scale, heard + len(seen), proxy.masks, seed))
        audio = learn_reference(listen, scale, heard, proxy.masks, seed)
    if reads and seen and words is not None and plan.kind == "crossed":
        assert student.reader is not None, "it reads"
        read = _answer_columns(student.reader, words, seen, probe.columns - probe.n_audio, scale.song)
        lyrics = learn_reference(read, scale, len(seen), proxy.masks, seed + 1)
    return None if audio is lyrics is None else Guide(audio=audio, lyrics=lyrics)


def _answer_columns(part: Part, source: Any, seen: tuple[int, ...], columns: int, song: Float[Tensor, " class"]) -> Run:
    """What a part says of masks of the columns that the model can notice; the others are on.

    It knows what masks change, and the model has said where the whole `song` stands.
    """
    level = song.cpu() - answer(part, source, torch.ones(1, columns, dtype=torch.bool))[0]

    def run(masks: Bool[Tensor, "n d"]) -> Float[Tensor, "n class"]:
        full = torch.ones(len(masks), columns, dtype=torch.bool)
        full[:, list(seen)] = masks
        return answer(part, source, full) + level

    return run


def _learn(proxy: Proxy, run: Run, probe: Probe, scale: Scale, plan: Plan, seed: int) -> Guide:
    sides = len(probe.seen_audio), len(probe.seen_lyrics)
    if plan.kind == "joint":
        return Guide(joint=learn_reference(run, scale, sum(sides), proxy.masks, seed))

    def beside_song(side: int) -> Run:
        def say(masks: Bool[Tensor, "n d"]) -> Float[Tensor, "n class"]:
            other = torch.ones(len(masks), sides[1 - side], dtype=torch.bool)
            return run(torch.cat([other, masks] if side else [masks, other], 1))

        return say

    audio, lyrics = (learn_reference(beside_song(side), scale, sides[side], proxy.masks, seed + side) for side in range(2))
    return Guide(audio=audio, lyrics=lyrics)


@contextmanager
def _running(
    model: Callable[..., Any], probe: Probe, track: Track, components: Components, settings: Settings
) -> Iterator[Run]:
    """Another model's outputs under masks of the columns that the model can notice."""
    subject = describe_own(model)
    with probing(
        replace(subject, sample_rate=subject.sample_rate or probe.subject.sample_rate), track, components, settings.baseline,
        settings.lyrics_stand_in, settings.seed, probe.device, probe.batch_size, probe.precision, Stages(),
    ) as cheap:  # fmt: skip
        # The same columns as the model's, whatever the proxy can notice itself.
        # A late-fusion proxy beside the whole song encodes that once.
        same = replace(cheap, seen=probe.seen, kept=Kept(everything=subject.late_fusion))
        yield lambda masks: run_joint(same, masks)


def tell_guidance(guidance: Guidance | None) -> dict[str, Any]:
    """The factor of each class, and how many times lower its squared errors are; empty where the proxy wasn't asked.

    Of crossed masks this is told of each side too.
    """
    if guidance is None:
        return {}
    told = {"alpha": guidance.alpha.tolist(), "gain": guidance.gain.tolist()}
    if guidance.lyrics_alpha is not None:
        told |= {"lyrics_alpha": guidance.lyrics_alpha.tolist()}
    if guidance.sides is not None:
        told |= {"sound_gain": guidance.sides[0].tolist(), "lyrics_gain": guidance.sides[1].tolist()}
    return told


def note_guidance(proxy: Proxy, guidance: Guidance | None, column: int, track: Track) -> tuple[str, ...]:
    """What the proxy did for the explained class."""
    known = proxy.knows(track)
    if guidance is None and any(known):
        return (f"{proxy.name} learned from this song, and wasn't asked as a proxy.",)
    if guidance is None:
        return (f"{proxy.name} wasn't asked as a proxy: this design has no use for one.",)
    told = (f"{proxy.name} learned from these lyrics, and wasn't asked about them as a proxy.",) if known[1] else ()
    gain = float(guidance.gain[column])
    if gain < 1.05:
        return *told, f"{proxy.name} was asked {proxy.masks} masks as a proxy, and was of no use here."
    sides = ""
    if guidance.sides is not None:
        sound, lyrics = (float(side[column]) for side in guidance.sides)
        sides = f", {sound:.1f} in the sound and {lyrics:.1f} in the lyrics"
    lower = f"squared errors are {gain:.1f} times lower for it{sides}"
    return *told, f"{proxy.name} answered {proxy.masks} masks as a proxy: {lower}."
