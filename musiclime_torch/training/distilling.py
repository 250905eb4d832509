"""A student learned from a model's own answers about a catalogue: a proxy for later explanations.

Of each song the model answers some masks of the sound. The student learns these answers, and above all their odd part, which
is what main effects err by. Songs that are held out say what it is worth.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.lessons import Lesson, make_lesson, refuse_few
from musiclime_torch.explanation.placing import place_components
from musiclime_torch.explanation.planning import describe_asked
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.models.care import keeping_random_states
from musiclime_torch.models.hashing import hash_weights
from musiclime_torch.models.students import Recipe, Student, choose
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.blocks import draw_blocks
from musiclime_torch.variants.asking import encode_audio, encode_lyrics, fuse, run_joint
from musiclime_torch.variants.probe import Probe, pick_device, probing

#: Masks of the lyrics that a late-fusion model's outputs are averaged over: reading them costs little, and what the sound
#: does beside all of them is what explanations ask.
READ = 32

#: Weight of the odd part in the loss.
ODD = 3.0

#: Squared errors must be expected to fall by this much for a student to pay.
WORTH = 1.2

#: The share of songs that are held out, and the fewest of them.
HELD_OUT, FEWEST = 0.2, 2

#: The largest gain that is reported: a student that leaves nothing over on a few songs would be infinitely good.
MOST_GAIN = 100.0


@dataclass(frozen=True)
class Training:
    """How a student is trained."""

    epochs: int = 200
    rate: float = 2e-3
    weight_decay: float = 1e-4
    pairs: int = 64
    seed: int = 0


def distill(
    model: Callable[..., Any],
    tracks: Iterable[Track],
    settings: Settings,
    masks: int = 256,
    training: Training | None = None,
    stages: Stages | None = None,
    worth: float = WORTH,
) -> Student:
    """A student of the model, from so many masks of each song; one song in five is held out and judges it.

    `worth` is the expected gain below which it is refused.

    Raises:
        InputError: too few songs or masks, or a student that isn't worth its while.
    """
    subject, _ = describe_asked(model, settings)
    if "audio" not in subject.modalities:
        raise InputError(f"a student hears, and {subject.name} doesn't.")
    lessons = [take_lesson(subject, track, settings, masks, stages or Stages()) for track in tracks]
    return distill_lessons(subject, lessons, training or Training(), worth)


def distill_lessons(subject: Subject, lessons: Sequence[Lesson], training: Training, worth: float = WORTH) -> Student:
    """A student of the model from what it said before, judged on one song in five; InputError as of `distill`."""
    if len(lessons) < 2 * FEWEST:
        raise InputError(f"{len(lessons)} songs are too few to learn from: give {2 * FEWEST} at least, better fifty.")
    recipe = _write_recipe(subject, lessons, training)
    student, held_out = learn(lessons, recipe, training)
    rho2 = judge(student, held_out)
    gain = expect_gain(rho2)
    student.recipe = replace(student.recipe, rho2=tuple(round(float(value), 4) for value in rho2), gain=round(gain, 3))
    if gain < worth:
        raise InputError(
            f"on songs that it hasn't heard the student explains {100 * float(rho2.mean()):.0f}% of what main effects leave "
            f"over, a gain of {gain:.2f}, where {worth} pays: give more songs or more masks a song."
        )
    return student


def _write_recipe(subject: Subject, lessons: Sequence[Lesson], training: Training) -> Recipe:
    assert subject.sample_rate is not None, "a model that hears has a rate"
    return Recipe(
        model=subject.name,
        weights=hash_weights(subject.module),
        sample_rate=subject.sample_rate,
        output_kind=subject.output_kind,
        classes=subject.classes,
        n_outputs=lessons[0].outputs.shape[1],
        songs=len(lessons),
        masks=sum(len(lesson.masks) for lesson in lessons),
        seed=training.seed,
        versions={name: version(name) for name in ("musiclime_torch", "torch", "torchaudio")},
    )


def take_lesson(subject: Subject, track: Track, settings: Settings, masks: int, stages: Stages) -> Lesson:
    """What the model says of so many masks of a song's sound, in whole blocks; the lyrics are there, or vary beside it."""
    _, components = place_components(subject, track, settings)
    device = pick_device(subject, settings.device)
    with probing(
        subject, track, components, settings.baseline, settings.lyrics_stand_in, settings.seed, device,
        settings.batch_size, settings.precision, stages,
    ) as probe:  # fmt: skip
        seen = probe.seen_audio
        if not seen:
            raise InputError(f"{track.title!r} has no sound to learn from.")
        drawn = draw_blocks(len(seen), masks, settings.seed).masks
        refuse_few(len(drawn), len(seen))
        stages.begin(f"asking {subject.name}", len(drawn))
        return make_lesson(probe, drawn, _ask(probe, drawn), track)


def _ask(probe: Probe, masks: Bool[Tensor, "n seen"]) -> Float[Tensor, "n class"]:
    words = len(probe.seen_lyrics)
    if not (probe.subject.late_fusion and words):
        return run_joint(probe, torch.cat([masks, torch.ones(len(masks), words, dtype=torch.bool)], 1))
    read = draw_blocks(words, READ, probe.columns).masks[:READ]
    return fuse(probe, encode_audio(probe, masks), encode_lyrics(probe, read)).mean(1)


def learn(lessons: Sequence[Lesson], recipe: Recipe, training: Training) -> tuple[Student, list[Lesson]]:
    """A student trained on most of the songs, and the others. Nothing but the seed decides which these are."""
    generator = torch.Generator().manual_seed(training.seed)
    order = torch.randperm(len(lessons), generator=generator).tolist()
    count = max(round(HELD_OUT * len(lessons)), FEWEST)
    held_out, taught = ([lessons[number] for number in numbers] for numbers in (order[:count], order[count:]))
    with keeping_random_states():
        torch.manual_seed(training.seed)
        student = Student(replace(recipe, taught=tuple(sorted({lesson.song for lesson in taught} - {""}))))
    _standardise(student, taught)
    optimiser = torch.optim.AdamW(student.parameters(), training.rate, weight_decay=training.weight_decay)
    steps = training.epochs * len(taught)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, training.rate, total_steps=steps, pct_start=0.1)
    for _ in range(training.epochs):
        for number in torch.randperm(len(taught), generator=generator).tolist():
            loss = _miss(student, taught[number], training.pairs, generator)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return student.eval(), held_out


def _standardise(student: Student, lessons: Sequence[Lesson]) -> None:
    cells = torch.cat([lesson.cells.flatten(0, 1) for lesson in lessons])
    outputs = torch.cat([lesson.outputs for lesson in lessons])
    student.mean.copy_(cells.mean(0))
    student.spread.copy_(cells.std(0).clamp_min(1e-3))
    student.output_mean.copy_(outputs.mean(0))
    student.output_spread.copy_(outputs.std(0).clamp_min(1e-6))


def _miss(student: Student, lesson: Lesson, pairs: int, generator: torch.Generator) -> Float[Tensor, ""]:
    """The squared error on some pairs of a song, and once more on half their differences."""
    some = 2 * torch.randperm(len(lesson.masks) // 2, generator=generator)[:pairs]
    rows = torch.stack([some, some + 1], 1).flatten()
    said = student(student.embed(lesson.cells), choose(lesson.masks[rows], len(lesson.cells)))
    wanted = (lesson.outputs[rows] - student.output_mean) / student.output_spread
    odd = nn.functional.mse_loss(_halve(said), _halve(wanted))
    return nn.functional.mse_loss(said, wanted) + ODD * odd


def judge(student: Student, lessons: Sequence[Lesson]) -> Float[Tensor, " class"]:
    """The share of what main effects leave over of the model that the student explains, of each class over the songs."""
    shared, own, theirs = (torch.zeros(student.recipe.n_outputs, dtype=torch.float64) for _ in range(3))
    for lesson in lessons:
        columns = lesson.masks[0::2][:, list(lesson.seen)].double() - 0.5
        basis, _ = torch.linalg.qr(columns)
        rests = []
        for values in (lesson.outputs, student.answer(lesson.cells, lesson.masks)):
            odd = _halve(values.double())
            rests.append(odd - basis @ (basis.T @ odd))
        scale = rests[0].square().mean(0).clamp_min(1e-30)  # songs count alike
        shared += (rests[0] * rests[1]).mean(0) / scale
        own += rests[0].square().mean(0) / scale
        theirs += rests[1].square().mean(0) / scale
    return (shared.clamp_min(0).square() / (own * theirs).clamp_min(1e-30)).clamp(0, 1)


def expect_gain(rho2: Float[Tensor, " class"]) -> float:
    """How many times lower squared errors of main effects become, as the geometric mean over classes.

    >>> round(expect_gain(torch.tensor([0.5, 0.5])), 6)
    2.0
    """
    return float((1 / (1 - rho2).clamp_min(1 / MOST_GAIN)).log().mean().exp())


def _halve(values: Float[Tensor, "row class"]) -> Float[Tensor, "pair class"]:
    return (values[0::2] - values[1::2]) / 2
