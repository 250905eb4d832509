"""A student learns from songs, is judged on others, and lowers the errors of songs that nobody has heard."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from models import Late
from smooth import SEGMENTS, Smooth, make_song

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.settings import Settings, read_settings
from musiclime_torch.models.students import Student
from musiclime_torch.song.lyrics.lyrics import parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.training.distilling import Training, distill, expect_gain, judge, take_lesson

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
    odd = [
        (values[0::2] - values[1::2]).double() / 2 for values in (lesson.outputs, student.answer(lesson.cells, lesson.masks))
    ]
    columns = lesson.masks[0::2].double() - 0.5
    rests = [values - columns @ torch.linalg.lstsq(columns, values).solution for values in odd]
    slow = [torch.corrcoef(torch.stack([rests[0][:, n], rests[1][:, n]]))[0, 1] ** 2 for n in range(2)]
    torch.testing.assert_close(judge(student, [lesson]), torch.stack(slow), atol=0.02, rtol=0.05)


def take_lesson_of(seed: int) -> Any:
    from musiclime_torch.basics.progress import Stages
    from musiclime_torch.explanation.planning import describe_asked

    return take_lesson(describe_asked(Smooth().eval(), SETTINGS)[0], make_song(seed), SETTINGS, 192, Stages())


def test_a_late_fusion_model_is_learned_beside_varying_lyrics():
    lyrics = parse_lyrics("hold me now\nlove is my love")
    tracks = [replace(track, lyrics=lyrics) for track in make_songs(6)]
    student = distill(Late().eval(), tracks, SETTINGS, 96, SHORT, worth=0.0)
    assert student.recipe.classes == ("calm", "wild", "sad")
    track = replace(make_song(500), lyrics=lyrics)
    guided = explain(Late().eval(), track, segments=SEGMENTS, n_samples=(96, 64), proxy=student, seed=0)
    assert len(guided.provenance["proxy"]["gain"]) == 3
    assert guided.design.startswith("crossed")


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
        (Deaf(), 6, 96, "a student hears, and smooth doesn't"),
        (Rough(), 6, 96, "a gain of 1\\.0.*, where 1.2 pays"),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(model: Smooth, songs: int, masks: int, message: str):
    settings: Settings = SETTINGS
    tracks: Sequence[Track] = make_songs(songs)
    with pytest.raises(InputError, match=message):
        distill(model.eval(), tracks, settings, masks, Training(epochs=2))
