"""Which proxies are taken for which model, and what becomes of those that are of no use."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from models import Additive, Late
from smooth import SEGMENTS, Smooth, make_song

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.guides import _answer_columns
from musiclime_torch.models.care import hash_weights
from musiclime_torch.models.student_parts import answer
from musiclime_torch.models.students import Recipe, Student
from musiclime_torch.song.lyrics.lyrics import parse_lyrics

RECIPE = Recipe("smooth", "", 8000, "logits", ("loud", "even"), 2, mels=8, width=8)


def make_student(model: torch.nn.Module, **changes: Any) -> Student:
    torch.manual_seed(0)
    return Student(replace(RECIPE, **{"weights": hash_weights(model)} | changes)).eval()


def test_a_weaker_copy_of_a_late_fusion_model_guides_both_sides():
    model, copy = Late().eval(), Late().eval()
    with torch.no_grad():
        copy.head.mul_(0.8)
        copy.ear.add_(0.02)
    words = "hold me now love is my song dear they sing at dawn\nwe fall so cold in rain you zip by each queen"
    track = replace(make_song(3), lyrics=parse_lyrics(words))
    asked: dict[str, Any] = {"segments": SEGMENTS, "seed": 2}
    truth = explain(model, track, **asked, n_samples=(2048, 2048))
    plain, guided = (explain(model, track, **asked, n_samples=(96, 192), proxy=proxy) for proxy in (None, copy))
    before, after = ((one.attributions - truth.attributions).square() for one in (plain, guided))
    sound = plain.components.n_audio
    assert float(before[:, :sound].sum() / after[:, :sound].sum()) > 3
    assert float(before[:, sound:].sum() / after[:, sound:].sum()) > 2
    assert (guided.audio_passes, guided.lyrics_passes) == (plain.audio_passes, plain.lyrics_passes)
    torch.testing.assert_close(guided.interactions.values, plain.interactions.values, atol=0, rtol=0)
    assert guided.provenance["proxy"]["weights"] == hash_weights(copy)


def test_sampling_ends_earlier_with_a_proxy():
    model, copy, track = Smooth().eval(), Smooth(0.9).eval(), make_song(3)
    asked: dict[str, Any] = {"segments": SEGMENTS, "design": "joint", "n_samples": 1024, "until": "width 5%", "seed": 0}
    plain, guided = (explain(model, track, **asked, proxy=proxy) for proxy in (None, copy))
    assert guided.n_variants < plain.n_variants


def test_an_untrained_student_changes_next_to_nothing():
    model, track = Smooth().eval(), make_song(3)
    asked: dict[str, Any] = {"segments": SEGMENTS, "design": "joint", "n_samples": 192, "seed": 0}
    plain, guided = (explain(model, track, **asked, proxy=proxy) for proxy in (None, make_student(model)))
    moved = (guided.attributions - plain.attributions).abs() / plain.standard_errors
    assert float(moved.max()) < 0.5


def test_a_student_stands_where_the_model_puts_the_song():
    listener, song = make_student(Smooth()).listener, torch.tensor([5.0, -2.0])
    assert listener is not None
    cells, seen = torch.randn(4, 8, RECIPE.features), (0, 1, 2, 5, 7, 11)
    say = _answer_columns(listener, cells, seen, 12, song)
    masks = torch.rand(20, len(seen)) < 0.5
    torch.testing.assert_close(say(torch.ones(1, len(seen), dtype=torch.bool))[0], song)
    full = torch.ones(20, 12, dtype=torch.bool)
    full[:, seen] = masks
    torch.testing.assert_close(say(masks).diff(dim=0), answer(listener, cells, full).diff(dim=0))


def explain_quickly(model: Any = None, **given: Any) -> Explanation:
    return explain(model or Smooth().eval(), make_song(0), segments=SEGMENTS, n_samples=64, **given)


class Spectral(Smooth):
    """The same with other declarations."""

    def __init__(self, **declared: Any) -> None:
        super().__init__()
        for name, value in declared.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"proxy": Additive()}, "takes audio and lyrics, and smooth takes audio"),
        ({"proxy": Spectral(output_kind="multilabel")}, "gives multilabel, and smooth gives logits"),
        ({"proxy": Spectral(classes=("a", "b"))}, "has other classes than smooth"),
        ({"proxy": Spectral(sample_rate=16_000)}, "takes sound at 16000 Hz, and smooth at 8000 Hz"),
        ({"proxy": make_student(Smooth(), weights="other")}, "its weights differ"),
        ({"proxy": make_student(Smooth(), sample_rate=16_000)}, "its sample rate differ"),
        ({"proxy": make_student(Smooth(), classes=("a", "b"))}, "its classes differ"),
        ({"proxy": make_student(Smooth(), output_kind="multilabel")}, "its outputs differ"),
        ({"proxy": Smooth(), "weights": "shapley"}, "a proxy needs uniform weights"),
        ({"proxy": Smooth(), "ridge": 1.0}, "a proxy needs uniform weights"),
        ({"proxy": Smooth(), "proxy_samples": 0}, "proxy_samples must be positive, got 0"),
        ({"proxy_samples": 10}, "proxy_samples 10 needs a proxy"),
    ],
)
def test_what_cannot_guide_is_one_sentence(given: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message) as raised:
        explain_quickly(**given)
    assert "\n" not in str(raised.value)


def test_a_design_that_leaves_nothing_to_chance_asks_no_proxy():
    explained = explain(Smooth().eval(), make_song(0), segments=2, n_samples=64, proxy=Smooth().eval())
    assert explained.design.startswith("every one of")
    assert any("no use for one" in note for note in explained.warnings)
    assert "gain" not in explained.provenance["proxy"]
