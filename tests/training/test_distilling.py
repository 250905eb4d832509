"""A student learns from songs, is judged on others, and lowers the errors of songs that nobody has heard."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from models import Late
from smooth import SEGMENTS, Smooth, make_song

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.lessons import hash_lyrics
from musiclime_torch.explanation.planning import describe_asked
from musiclime_torch.explanation.settings import Settings, read_settings
from musiclime_torch.models.student_parts import answer
from musiclime_torch.models.students import Student
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.training.distilling import Training, distill, distill_lessons, expect_gain, judge, take_lesson

SETTINGS = read_settings({"segments": SEGMENTS})
SHORT = Training(epochs=25)


def make_songs(count: int) -> list[Track]:
    return [make_song(seed) for seed in range(count)]


@pytest.fixture(scope="module")
def student() -> Student:
    return distill(Smooth().eval(), make_songs(10), SETTINGS, 96, SHORT)


def test_songs_that_nobody_has_heard_take_fewer_masks(student: Student):
    model, track = Smooth().eval(), make_song(500)
    asked: dict[str, Any] = {"segments": SEGMENTS, "design": "joint", "seed": 1}
    truth = explain(model, track, **asked, n_samples=4096)
    assert truth.design.startswith("every one of")
    plain, guided = (explain(model, track, **asked, n_samples=96, proxy=proxy) for proxy in (None, student))
    before, after = ((one.attributions - truth.attributions).square().sum(1) for one in (plain, guided))
    assert float((before / after).min()) > 3
    assert guided.audio_passes == plain.audio_passes
    record = guided.provenance["proxy"]
    assert record["masks"] == 16_384
    assert min(record["gain"]) > 3
    assert any("as a proxy: squared errors are" in note for note in guided.warnings)
    # What it says of single songs is only what it says of their masks: pairs come from the model alone.
    torch.testing.assert_close(guided.interactions.values, plain.interactions.values, atol=0, rtol=0)


def test_its_intervals_are_honest(student: Student):
    model, held = Smooth().eval(), []
    for song in (501, 502):
        track = make_song(song)
        truth = explain(model, track, segments=SEGMENTS, design="joint", n_samples=4096).attributions
        for seed in range(15):
            guided = explain(model, track, segments=SEGMENTS, design="joint", n_samples=96, proxy=student, seed=seed)
            held.append(((guided.attributions - truth).abs() <= guided.half_width).double().mean())
    assert 0.91 <= float(torch.stack(held).mean()) <= 0.99


def test_it_is_the_same_again_and_draws_no_global_numbers(student: Student):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = distill(Smooth().eval(), make_songs(10), SETTINGS, 96, SHORT)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.recipe == student.recipe
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in student.state_dict().items())


def test_its_recipe_says_what_it_learned_from(student: Student):
    recipe = student.recipe
    assert (recipe.model, recipe.sample_rate, recipe.classes, recipe.output_kind) == (
        "smooth",
        8000,
        ("loud", "even"),
        "logits",
    )
    assert recipe.songs == 10
    assert len(recipe.taught) == 8  # one in five is held out
    assert set(recipe.taught) < {track.audio_hash for track in make_songs(10)}
    assert recipe.gain == pytest.approx(expect_gain(torch.tensor(recipe.rho2)), rel=1e-2)


def test_it_is_not_asked_about_songs_that_it_learned_from(student: Student):
    song = next(track for track in make_songs(10) if track.audio_hash in student.recipe.taught)
    options: dict[str, Any] = {"segments": SEGMENTS, "design": "joint", "n_samples": 96, "seed": 0}
    guided, plain = (explain(Smooth().eval(), song, **options, proxy=proxy) for proxy in (student, None))
    torch.testing.assert_close(guided.attributions, plain.attributions, atol=0, rtol=0)
    assert any("learned from this song" in note for note in guided.warnings)


def test_judges_compare_with_a_slow_regression(student: Student):
    lesson = take_lesson_of(700)
    listener = student.listener
    assert listener is not None
    said = answer(listener, lesson.source, lesson.masks)
    odd = [(values[0::2] - values[1::2]).double() / 2 for values in (lesson.outputs, said)]
    columns = lesson.masks[0::2].double() - 0.5
    rests = [values - columns @ torch.linalg.lstsq(columns, values).solution for values in odd]
    slow = [torch.corrcoef(torch.stack([rests[0][:, n], rests[1][:, n]]))[0, 1] ** 2 for n in range(2)]
    torch.testing.assert_close(judge(listener, [lesson]), torch.stack(slow), atol=0.02, rtol=0.05)


def test_rounding_is_nothing_that_main_effects_leave_over(student: Student):
    lesson = take_lesson_of(701)
    columns = lesson.masks.float() - 0.5
    straight = replace(lesson, outputs=columns @ torch.randn(columns.shape[1], 2) + 3)
    assert student.listener is not None
    assert judge(student.listener, [straight]).tolist() == [0.0, 0.0]
    assert torch.equal(judge(student.listener, [straight, lesson]), judge(student.listener, [lesson]))


def take_lesson_of(seed: int) -> Any:
    return take_lesson(describe_asked(Smooth().eval(), SETTINGS)[0], make_song(seed), SETTINGS, 192, Stages()).sound


def sing(seed: int, words: int = 9) -> Track:
    """A song of random words."""
    letters = torch.randint(97, 123, (words, 3), generator=torch.Generator().manual_seed(seed)).tolist()
    return replace(make_song(seed), lyrics=parse_lyrics(" ".join("".join(map(chr, word)) for word in letters)))


@pytest.fixture(scope="module")
def reading() -> Student:
    return distill(Late().eval(), [sing(seed) for seed in range(16)], SETTINGS, 96, Training(epochs=60), worth=0.0)


def test_lyrics_that_nobody_has_read_take_fewer_masks(reading: Student):
    assert reading.recipe.reads == 4
    assert reading.recipe.lyrics_gain > 2
    assert len(reading.recipe.taught_lyrics) == 13  # one in five is held out
    gains, held = [], []
    for song in (500, 501):
        asked: dict[str, Any] = {"segments": SEGMENTS}
        truth = explain(Late().eval(), sing(song), **asked, n_samples=(1024, 512))
        sound = truth.components.n_audio
        for seed in range(3):
            plain, guided = (
                explain(Late().eval(), sing(song), **asked, n_samples=(96, 48), seed=seed, proxy=proxy)
                for proxy in (None, reading)
            )
            before, after = ((one.attributions - truth.attributions)[:, sound:].square().sum() for one in (plain, guided))
            gains.append(float((before / after).log()))
            inside = (guided.attributions - truth.attributions).abs() <= guided.half_width
            held.append(float(inside[:, sound:].double().mean()))
            assert guided.lyrics_passes == plain.lyrics_passes
    record = guided.provenance["proxy"]
    assert len(record["lyrics_alpha"]) == len(record["sound_gain"]) == len(record["lyrics_gain"]) == 3
    assert any("in the sound and" in note for note in guided.warnings)
    assert statistics.median(gains) > math.log(1.3)
    assert statistics.fmean(held) >= 0.9


def test_it_is_not_asked_about_lyrics_that_it_learned_from(reading: Student):
    known = next(seed for seed in range(16) if hash_lyrics(sing(seed)) in reading.recipe.taught_lyrics)
    cover = replace(make_song(600), lyrics=sing(known).lyrics)
    asked: dict[str, Any] = {"segments": SEGMENTS, "n_samples": (96, 48), "seed": 0}
    guided, plain = (explain(Late().eval(), cover, **asked, proxy=proxy) for proxy in (reading, None))
    sound = plain.components.n_audio
    assert not torch.equal(guided.attributions[:, :sound], plain.attributions[:, :sound])
    torch.testing.assert_close(guided.attributions[:, sound:], plain.attributions[:, sound:], atol=1e-6, rtol=1e-6)
    assert max(guided.provenance["proxy"]["lyrics_alpha"]) == 0
    assert any("learned from these lyrics" in note for note in guided.warnings)


def test_only_the_sides_that_pay_are_kept():
    tracks, short = [sing(seed) for seed in range(8)], Training(epochs=4)
    subject, _ = describe_asked(Late().eval(), SETTINGS)
    lessons = [take_lesson(subject, track, SETTINGS, 96, Stages()) for track in tracks]
    noisy = [replace(lesson, sound=shuffle(lesson.sound)) for lesson in lessons]
    student = distill_lessons(subject, noisy, Training(epochs=40), worth=1.1)
    assert (student.listener is None, student.reader is None) == (True, False)
    noisy = [replace(lesson, sound=shuffle(lesson.sound), lyrics=shuffle(lesson.lyrics)) for lesson in lessons]
    with pytest.raises(InputError, match=r"beside the lyrics', a gain of 1\.\d+, where 1.2 pays"):
        distill_lessons(subject, noisy, short, worth=1.2)


def shuffle(side: Any) -> Any:
    """Outputs that have nothing to do with their masks."""
    order = torch.randperm(len(side.masks), generator=torch.Generator().manual_seed(0))
    return replace(side, outputs=side.outputs[order])


class Deaf(Smooth):
    """A model of lyrics."""

    modalities = ("lyrics",)


class Rough(Smooth):
    """Noise that depends on every bit of what is heard: nobody learns it."""

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        return torch.sin(1e4 * audio.square().mean((1, 2)))[:, None] * torch.tensor([1.0, -1.0])


@pytest.mark.parametrize(
    ("model", "songs", "masks", "message"),
    [
        (Smooth(), 3, 96, "3 songs are too few to learn from"),
        (Smooth(), 6, 4, "masks of 12 cells are too few to learn from: give 48 at least"),
        (Smooth(), 6, 4096, "explanations of these songs take every mask"),
        (Deaf(), 6, 96, "a student hears, and smooth doesn't"),
        (Rough(), 6, 96, "a gain of 1\\.0.*, where 1.2 pays"),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(model: Smooth, songs: int, masks: int, message: str):
    settings: Settings = SETTINGS
    tracks: Sequence[Track] = make_songs(songs)
    with pytest.raises(InputError, match=message):
        distill(model.eval(), tracks, settings, masks, Training(epochs=2))
