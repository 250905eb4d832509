"""Which design goes with what is settled before a model is asked; the rules, one by one."""

from dataclasses import replace

import pytest
import torch
from models import Additive, Late

from musiclime_torch.basics.arguments import Until
from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.planning import plan_sampling
from musiclime_torch.explanation.settings import Settings
from musiclime_torch.models.subject import Subject, describe_model
from musiclime_torch.song.track import Track


def subject(late: bool = True) -> Subject:
    model = Late() if late else Additive()
    return describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)


@pytest.mark.parametrize(
    ("late", "sides", "options", "kind"),
    [
        (True, (4, 6), {}, "crossed"),
        (False, (4, 6), {}, "joint"),
        (True, (4, 0), {}, "joint"),
        (True, (0, 6), {}, "joint"),
        (True, (0, 0), {}, "nothing"),
        (True, (4, 6), {"design": "joint"}, "joint"),
        (True, (4, 6), {"design": "kerdock"}, "joint"),
        (True, (4, 6), {"ridge": 1.0}, "joint"),
        (True, (4, 6), {"weights": "lime"}, "joint"),
        (True, (4, 6), {"weights": "lime", "design": "crossed"}, "crossed"),
        (True, (4, 6), {"weights": "shapley"}, "crossed coalitions"),
        (True, (4, 6), {"weights": "shapley", "design": "joint"}, "coalitions"),
        (False, (4, 6), {"weights": "shapley"}, "coalitions"),
        (True, (4, 6), {"n_samples": (64, 32)}, "crossed"),
    ],
)
def test_the_design_depends_on_model_sides_and_weights(late: bool, sides: tuple[int, int], options: dict, kind: str):
    assert plan_sampling(subject(late), sides, Settings(**options)).kind == kind


@pytest.mark.parametrize(
    ("late", "sides", "options", "said"),
    [
        (False, (4, 6), {"design": "crossed"}, "a crossed design needs encode_audio, encode_text and fuse"),
        (True, (4, 0), {"design": "crossed"}, "a crossed design needs components on both sides"),
        (True, (4, 6), {"design": "crossed", "ridge": 1.0}, "with a ridge penalty"),
        (True, (4, 6), {"design": "crossed", "weights": "paper"}, "with MusicLIME's kernel"),
        (False, (4, 6), {"n_samples": (64, 64)}, "give one number"),
        (True, (4, 6), {"n_samples": (64, 64), "weights": "lime"}, "give one number"),
        (False, (4, 6), {"n_samples": (64, 64), "weights": "shapley"}, "give one number"),
        (True, (4, 6), {"weights": "shapley", "design": "kerdock"}, "use design auto, not kerdock"),
        (True, (4, 6), {"weights": "shapley", "ridge": 1.0}, "would not add up"),
        (True, (4, 6), {"weights": "shapley", "until": "top 5"}, "leave until 'top 5' out"),
    ],
)
def test_what_no_design_can_meet_is_refused(late: bool, sides: tuple[int, int], options: dict, said: str):
    with pytest.raises(InputError, match=said):
        plan_sampling(subject(late), sides, Settings(**options))


@pytest.mark.parametrize(
    ("sides", "options", "kind", "count"),
    [
        ((4, 0), {}, "joint", 64),
        ((0, 6), {}, "joint", 32),
        ((4, 0), {"design": "joint"}, "joint", 64),
        ((4, 0), {"weights": "lime"}, "joint", 64),
        ((0, 6), {"design": "bernoulli"}, "joint", 32),
        ((4, 0), {"weights": "shapley"}, "coalitions", 64),
        ((0, 0), {}, "nothing", (64, 32)),
        ((4, 6), {}, "crossed", (64, 32)),
    ],
)
def test_a_song_of_one_side_gets_that_sides_masks(sides: tuple[int, int], options: dict, kind: str, count: object):
    """A catalogue's settings give both sides their numbers; its instrumentals have one side."""
    plan = plan_sampling(subject(), sides, Settings(n_samples=(64, 32), **options))
    assert (plan.kind, plan.sampling.n_samples) == (kind, count)


def test_an_instrumental_among_songs_is_explained_with_the_sounds_masks(track: Track):
    explanation = explain(Late(), replace(track, lyrics=None), n_samples=(48, 32), segments=4)
    assert explanation.n_variants == 48
    assert "only the sound can be explained here: of n_samples (48, 32) it gets its own 48." in explanation.warnings


def test_weights_that_forgo_crossing_say_so():
    assert "uniform weights would cross them" in plan_sampling(subject(), (4, 6), Settings(weights="lime")).notes[0]
    assert plan_sampling(subject(), (4, 6), Settings(weights="lime", design="joint")).notes == ()


@pytest.mark.parametrize(
    "options",
    [
        {"n_samples": (64, 64)},
        {"design": "crossed"},
        {"evidence": True, "output_kind": "regression"},
        {"weights": "shapley", "until": "top 5"},
    ],
)
def test_settings_are_refused_before_the_model_is_asked(track: Track, options: dict):
    asked = []

    def model(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
        asked.append(audio)
        return audio.mean((1, 2))[:, None]

    with pytest.raises(InputError):
        explain(model, track, sample_rate=8000, **options)
    assert asked == []


def test_sides_that_turn_out_unseen_are_planned_for_again(track: Track):
    """Silent stems leave the lyrics alone: nothing to cross, though the components are of both sides."""
    silent = replace(track, stems=torch.zeros_like(track.stems))
    explanation = explain(Late(), silent, n_samples=64)
    assert explanation.design.startswith(("joint", "every one"))
    assert len(explanation.unseen) >= explanation.components.n_audio


def test_without_a_number_sampling_ends_once_effects_are_settled(track: Track):
    """Forty components in 2,048 masks, where a block or two tell all that is shown."""
    plain = explain(Additive(), track, segments=20, design="joint")
    given = explain(Additive(), track, segments=20, design="joint", n_samples=2048)
    assert plain.n_variants < given.n_variants / 8
    assert given.n_variants >= 2048
    assert "half widths of at most 10% of the largest attribution settled" in plain.stopped
    assert given.stopped == ""
    widest = plain.half_width[plain.target].max()
    assert bool(widest <= 0.1 * plain.attributions[plain.target].abs().max())


def test_a_song_of_twenty_components_takes_the_masks_it_needs(track: Track):
    """Windows of a tenth of the song: four renderings each, and nothing else is asked."""
    wordless = Track(track.stems, track.stem_names, track.sample_rate)
    asked: list[int] = []

    def model(audio: torch.Tensor) -> torch.Tensor:
        asked.append(len(audio))
        return audio.square().mean((1, 2))[:, None] * torch.tensor([1.0, -1.0])

    model.max_seconds, model.sample_rate, model.modalities = 0.2, 8000, ("audio",)
    explanation = explain(model, wordless, segments=10)
    assert len(explanation.components) == 20
    assert explanation.design == "exact: all renderings of every window were run"
    assert sum(asked) == 40 == explanation.audio_passes


def test_a_number_given_is_kept_and_so_is_a_condition(track: Track):
    settings = Settings(n_samples=512)
    plan = plan_sampling(subject(late=False), (20, 7), settings)
    assert (plan.sampling.n_samples, plan.sampling.every_mask, plan.until) == (512, 512, None)
    own = plan_sampling(subject(late=False), (20, 7), Settings(until="top 3"))
    assert (own.sampling.n_samples, own.sampling.every_mask) == (2048, 2048)
    assert own.until == Until("top", count=3)
    free = plan_sampling(subject(late=False), (20, 7), Settings())
    assert (free.sampling.n_samples, free.sampling.every_mask) == (2048, 256)
    assert free.until == Until("share", width=0.1)


@pytest.mark.parametrize("options", [{"weights": "shapley"}, {"weights": "lime"}, {"ridge": 1.0}])
def test_what_is_solved_without_looks_gets_the_whole_budget(options: dict):
    plan = plan_sampling(subject(late=False), (20, 7), Settings(**options))
    assert (plan.sampling.n_samples, plan.until) == (2048, None)


def test_a_model_of_noise_ends_at_the_budget(track: Track):
    generator = torch.Generator().manual_seed(0)

    def model(audio: torch.Tensor) -> torch.Tensor:
        return torch.randn(len(audio), 2, generator=generator)

    explanation = explain(model, track, segments=8, sample_rate=8000, modalities=("audio",), output_kind="regression")
    assert explanation.n_variants >= 2048
    assert explanation.stopped.startswith("the budget was spent before half widths of at most 10%")


def test_interactions_that_few_masks_cannot_tell_apart_are_not_shown(track: Track):
    """One pair of 780 in one block would appear as a dozen that aren't there."""

    def model(audio: torch.Tensor) -> torch.Tensor:
        return audio.square().mean((1, 2))[:, None] * torch.tensor([1.0, -1.0])

    asked = {"segments": 20, "sample_rate": 8000, "modalities": ("audio",)}
    plain = explain(model, track, **asked)
    assert plain.n_variants < 2 * 780
    assert plain.interactions is None or not len(plain.interactions.columns)
    assert any("too few to tell the interactions of 780 pairs apart: n_samples=1560" in note for note in plain.warnings)
    given = explain(model, track, n_samples=1560, **asked)
    assert len(given.interactions.columns) == 780


def test_masks_that_cost_no_pass_are_not_spared(track: Track):
    """Ten windows of four renderings each, beside lyrics that are there and aren't switched."""

    class Windowed(Late):
        max_seconds = 0.2

    wordless = Track(track.stems, track.stem_names, track.sample_rate)
    explanation = explain(Windowed(), wordless, segments=10)
    assert explanation.n_variants >= 2048
    assert explanation.audio_passes == 40
    assert explanation.stopped == ""
