"""A student learned from a model's own answers about a catalogue: a proxy for later explanations.

Of each song the model answers some masks of the sound and, where it encodes lyrics apart, of these. The student learns the
answers, and above all what main effects leave over of them, which is what explanations err by. Songs that are held out say
what it is worth, side by side.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.lessons import (
    FEWEST as MASKS_A_COLUMN,
    Exercise,
    Lesson,
    average_sides,
    refuse_few,
    set_lyrics,
    set_sound,
)
from musiclime_torch.explanation.planning import describe_asked, place_components
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.models.care import hash_weights, keeping_random_states
from musiclime_torch.models.student_parts import Listener, Part, Reader, Words, answer
from musiclime_torch.models.students import Recipe, Student
from musiclime_torch.models.subject import Subject
from musiclime_torch.song.track import Track
from musiclime_torch.surrogate.blocks import draw_blocks
from musiclime_torch.variants.asking import encode_audio, encode_lyrics, run_joint
from musiclime_torch.variants.probe import pick_device, probing
from musiclime_torch.variants.words import TokenGates

#: Masks of the other side that a late-fusion model's outputs are averaged over, where that side isn't learned too.
READ = 32

#: Weights in the loss of the odd part, and of what main effects leave over of it in units of its own size. Most of a model's
#: odd part is main effects: a student that learns all of it alike has little left for the rest, which alone lowers errors.
ODD, REST = 3.0, 3.0

#: Squared errors must be expected to fall by this much for a student to pay.
WORTH = 1.2

#: The share of songs that are held out, and the fewest of them.
HELD_OUT, FEWEST = 0.2, 2

#: What main effects leave over of outputs is rounding below this share of them.
ROUNDING = 1e-5

#: The largest gain that is reported: a student that leaves nothing over on a few songs would be infinitely good.
MOST_GAIN = 100.0


@dataclass(frozen=True)
class Training:
    """How a student is trained: `epochs` are rounds of the lessons. Longer, it learns its own songs by heart."""

    epochs: int = 25
    rate: float = 2e-3
    weight_decay: float = 0.1
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

    `worth` is the expected gain below which it doesn't learn a side, and is refused if it learns neither.

    Raises:
        InputError: too few songs or masks, or a student that isn't worth its while.
    """
    subject, _ = describe_asked(model, settings)
    if "audio" not in subject.modalities:
        raise InputError(f"a student hears, and {subject.name} doesn't.")
    lessons = [take_lesson(subject, track, settings, masks, stages or Stages()) for track in tracks]
    return distill_lessons(subject, lessons, training or Training(), worth)


@dataclass(frozen=True)
class Learned:
    """A part of a student, and what it is worth on held-out songs."""

    part: Listener | Reader
    rho2: tuple[float, ...]
    gain: float
    masks: int
    #: Hashes of the songs that it learned from.
    taught: tuple[str, ...]


def distill_lessons(subject: Subject, lessons: Sequence[Lesson], training: Training, worth: float = WORTH) -> Student:
    """A student of the model from what it said before, judged on one song in five; InputError as of `distill`."""
    if len(lessons) < 2 * FEWEST:
        raise InputError(f"{len(lessons)} songs are too few to learn from: give {2 * FEWEST} at least, better fifty.")
    if all(lesson.lyrics is None and 2 ** len(lesson.sound.seen) <= len(lesson.sound.masks) for lesson in lessons):
        raise InputError(
            "explanations of these songs take every mask and leave nothing for a student to correct: give more segments."
        )
    recipe = _write_recipe(subject, lessons, training)
    sound = learn([lesson.sound for lesson in lessons], recipe, training)
    read = [lesson.lyrics for lesson in lessons if lesson.lyrics is not None]
    lyrics = learn(read, recipe, training) if len(read) >= 2 * FEWEST else None
    paid = [side is not None and side.gain >= worth for side in (sound, lyrics)]
    if not any(paid):
        raise InputError(_tell_worth(sound, lyrics, worth))
    return _join(recipe, sound if paid[0] else None, lyrics if paid[1] else None)


def _tell_worth(sound: Learned, lyrics: Learned | None, worth: float) -> str:
    share = lambda side: f"{100 * sum(side.rho2) / len(side.rho2):.0f}%"  # noqa: E731
    read = "" if lyrics is None else f", and {share(lyrics)} beside the lyrics', a gain of {lyrics.gain:.2f}"
    return (
        f"on songs that it hasn't heard the student explains {share(sound)} of what main effects leave over, a gain of "
        f"{sound.gain:.2f}{read}, where {worth} pays: give more songs or more masks a song."
    )


def _join(recipe: Recipe, sound: Learned | None, lyrics: Learned | None) -> Student:
    """The parts that pay, in one student."""
    recipe = replace(recipe, hears=sound is not None)
    if sound is not None:
        recipe = replace(recipe, rho2=sound.rho2, gain=sound.gain, masks=sound.masks, taught=sound.taught)
    if lyrics is not None:
        recipe = replace(
            recipe, reads=len(lyrics.part.mean), lyrics_rho2=lyrics.rho2, lyrics_gain=lyrics.gain,
            lyrics_masks=lyrics.masks, taught_lyrics=lyrics.taught,
        )  # fmt: skip
    with keeping_random_states():
        student = Student(recipe)
    for own, side in ((student.listener, sound), (student.reader, lyrics)):
        if own is not None and side is not None:
            own.load_state_dict(side.part.state_dict())
    return student.eval()


def _write_recipe(subject: Subject, lessons: Sequence[Lesson], training: Training) -> Recipe:
    assert subject.sample_rate is not None, "a model that hears has a rate"
    return Recipe(
        model=subject.name,
        weights=hash_weights(subject.module),
        sample_rate=subject.sample_rate,
        output_kind=subject.output_kind,
        classes=subject.classes,
        n_outputs=lessons[0].sound.outputs.shape[1],
        songs=len(lessons),
        seed=training.seed,
        versions={name: version(name) for name in ("musiclime_torch", "torch", "torchaudio")},
    )


def take_lesson(subject: Subject, track: Track, settings: Settings, masks: int, stages: Stages) -> Lesson:
    """What the model says of so many masks of a song's sound, in whole blocks, and of its lyrics if it encodes these apart:
    of more where there are many words. The other side is there, or varies beside it.
    """
    _, components = place_components(subject, track, settings)
    device = pick_device(subject, settings.device)
    with probing(
        subject, track, components, settings.baseline, settings.lyrics_stand_in, settings.seed, device,
        settings.batch_size, settings.precision, stages,
    ) as probe:  # fmt: skip
        seen, words = len(probe.seen_audio), len(probe.seen_lyrics)
        if not seen:
            raise InputError(f"{track.title!r} has no sound to learn from.")
        # Apart from the masks of explanations, and others for every song: a student must not know those that it corrects.
        seed = _draw_seed(settings.seed, track)
        drawn = draw_blocks(seen, masks, seed).masks
        refuse_few(len(drawn), seen)
        if not (probe.subject.late_fusion and words):
            stages.begin(f"asking {subject.name}", len(drawn))
            beside = torch.ones(len(drawn), words, dtype=torch.bool)
            return Lesson(set_sound(probe, drawn, run_joint(probe, torch.cat([drawn, beside], 1)), track))
        reads = isinstance(probe.sources.lyrics, TokenGates)
        count = max(masks, MASKS_A_COLUMN * words) if reads else READ
        read = draw_blocks(words, count, seed + 1).masks[: None if reads else READ]
        stages.begin(f"asking {subject.name}", len(drawn) + len(read))
        heard, understood = average_sides(probe, encode_audio(probe, drawn), encode_lyrics(probe, read))
        return Lesson(set_sound(probe, drawn, heard, track), set_lyrics(probe, read, understood, track))


def _draw_seed(seed: int, track: Track) -> int:
    return int(hashlib.sha256(f"{seed} {track.audio_hash or track.title}".encode()).hexdigest()[:12], 16)


def learn(exercises: Sequence[Exercise], recipe: Recipe, training: Training) -> Learned:
    """A part that learned from most of the songs and was judged on the others. Only the seed decides which these are."""
    generator = torch.Generator().manual_seed(training.seed)
    order = torch.randperm(len(exercises), generator=generator).tolist()
    count = max(round(HELD_OUT * len(exercises)), FEWEST)
    held_out, taught = ([exercises[number] for number in numbers] for numbers in (order[:count], order[count:]))
    part = train(taught, recipe, training, generator)
    rho2 = judge(part, held_out)
    return Learned(
        part,
        tuple(round(float(value), 4) for value in rho2),
        round(expect_gain(rho2), 3),
        sum(len(exercise.masks) for exercise in exercises),
        tuple(sorted({exercise.song for exercise in taught} - {""})),
    )


def train(taught: Sequence[Exercise], recipe: Recipe, training: Training, generator: torch.Generator) -> Listener | Reader:
    """A part that learned from every exercise in rounds."""
    with keeping_random_states():
        torch.manual_seed(training.seed)
        part = make_part(taught[0], recipe)
    _standardise(part, taught)
    goals = [_set_goal(part, exercise) for exercise in taught]
    size = torch.stack([goal.rest for goal in goals]).mean(0).clamp_min(1e-12)
    optimiser = torch.optim.AdamW(part.parameters(), training.rate, weight_decay=training.weight_decay)
    steps = training.epochs * len(taught)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, training.rate, total_steps=steps, pct_start=0.1)
    for _ in range(training.epochs):
        for number in torch.randperm(len(taught), generator=generator).tolist():
            loss = _miss(part, taught[number], goals[number], size)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(part.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return part.eval()


def make_part(exercise: Exercise, recipe: Recipe) -> Listener | Reader:
    """An untrained part for what the exercise is about."""
    if isinstance(exercise.source, Words):
        return Reader(exercise.source.sung.shape[1], recipe.width, recipe.n_outputs)
    return Listener(recipe.features, recipe.width, recipe.n_outputs)


def _standardise(part: Part, exercises: Sequence[Exercise]) -> None:
    sources = torch.cat(
        [each.source.sung if isinstance(each.source, Words) else each.source.flatten(0, 1) for each in exercises]
    )
    moved = torch.cat([_centre(exercise.outputs) for exercise in exercises])
    part.mean.copy_(sources.mean(0))
    part.spread.copy_(sources.std(0).clamp_min(1e-3))
    part.output_spread.copy_(moved.std(0).clamp_min(1e-6))


@dataclass(frozen=True)
class _Goal:
    """What masks change of a song's outputs, a basis of main effects, and the mean square of what these leave over."""

    wanted: Float[Tensor, "n class"]
    basis: Float[Tensor, "pair column"]
    rest: Float[Tensor, " class"]


def _set_goal(part: Part, exercise: Exercise) -> _Goal:
    # Songs differ by far more than masks of one of them, and their level matters to no effect: it isn't learned.
    wanted, basis = _centre(exercise.outputs) / part.output_spread, _span(exercise).float()
    return _Goal(wanted, basis, _leave_over(basis, _halve(wanted)).square().mean(0))


def _span(exercise: Exercise) -> Float[Tensor, "pair column"]:
    """Directions that main effects span in half differences of pairs."""
    return torch.linalg.qr(exercise.masks[0::2][:, list(exercise.seen)].double() - 0.5)[0]


def _leave_over(basis: Float[Tensor, "pair column"], odd: Float[Tensor, "pair class"]) -> Float[Tensor, "pair class"]:
    return odd - basis @ (basis.T @ odd)


def _miss(part: Part, exercise: Exercise, goal: _Goal, size: Float[Tensor, " class"]) -> Float[Tensor, ""]:
    """The squared error on a song, that of half differences of pairs, and that of what main effects leave over of these."""
    missed = _centre(part(part.embed(exercise.source), exercise.masks)) - goal.wanted
    odd = _halve(missed)
    rest = _leave_over(goal.basis, odd).square().mean(0) / size
    return missed.square().mean() + ODD * odd.square().mean() + REST * rest.mean()


def judge(part: Part, exercises: Sequence[Exercise]) -> Float[Tensor, " class"]:
    """The share of what main effects leave over of the model that the part explains, of each class over the songs.

    Songs of which they leave nothing over don't count.
    """
    shared, own, theirs = (torch.zeros(len(part.output_spread), dtype=torch.float64) for _ in range(3))
    for exercise in exercises:
        basis = _span(exercise)
        said = answer(part, exercise.source, exercise.masks)
        rests = [_leave_over(basis, _halve(values.double())) for values in (exercise.outputs, said)]
        scale = rests[0].square().mean(0)
        real = scale > (ROUNDING * exercise.outputs.abs().amax(0).double()).square()
        weight = real / scale.clamp_min(1e-30)  # songs count alike
        shared += weight * (rests[0] * rests[1]).mean(0)
        own += weight * rests[0].square().mean(0)
        theirs += weight * rests[1].square().mean(0)
    return (shared.clamp_min(0).square() / (own * theirs).clamp_min(1e-30)).clamp(0, 1)


def expect_gain(rho2: Float[Tensor, " class"]) -> float:
    """How many times lower squared errors of main effects become, as the geometric mean over classes.

    >>> round(expect_gain(torch.tensor([0.5, 0.5])), 6)
    2.0
    """
    return float((1 / (1 - rho2).clamp_min(1 / MOST_GAIN)).log().mean().exp())


def _centre(outputs: Float[Tensor, "n class"]) -> Float[Tensor, "n class"]:
    return outputs - outputs.mean(0)


def _halve(values: Float[Tensor, "row class"]) -> Float[Tensor, "pair class"]:
    return (values[0::2] - values[1::2]) / 2
