"""Whose interactions are solved, what is said where they aren't, and that nothing else depends on it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation import interactions as module
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.explanation.interactions import choose_classes
from musiclime_torch.song.track import Track
from musiclime_torch.variants.scale import Scale
from musiclime_torch.views.exports.files import to_record
from musiclime_torch.views.page.packing import order_classes, pack_classes
from musiclime_torch.views.terminal import to_text

CROSSED = {"segments": 2, "design": "crossed", "n_samples": (64, 64)}
TENSORS = ("values", "standard_errors", "degrees_of_freedom", "explained", "parts", "part_errors")


def make_scale(classes: int, target: int = 0, foil: int | None = None) -> Scale:
    names = tuple(f"c{number}" for number in range(classes))
    more = () if foil is None else ("contrast",)
    return Scale("logits", "logit", torch.zeros(classes), (*names, *more), target, foil)


def test_the_target_the_foil_and_the_largest_are_chosen_and_what_is_asked():
    song = torch.arange(30.0)
    assert choose_classes("all", make_scale(30), song) == tuple(range(30))
    assert choose_classes("target", make_scale(30, target=3), song) == (3, *range(21, 30))
    assert choose_classes("target", make_scale(4), song[:4]) == (0, 1, 2, 3)
    contrast = choose_classes("target", make_scale(30, 3, 5), torch.cat([song, torch.zeros(1)]))
    assert contrast == (3, 5, *range(23, 30), 30)
    assert choose_classes(("c1", 2, "C0"), make_scale(30, target=3), song) == (0, 1, 2, 3, *range(24, 30))
    with pytest.raises(InputError, match="no class 'c99'"):
        choose_classes(("c99",), make_scale(30), song)


@pytest.fixture
def few(monkeypatch):
    """Two classes of three."""
    monkeypatch.setattr(module, "FEW", 1)


@pytest.mark.parametrize("options", [CROSSED, {"segments": 2, "design": "joint", "n_samples": 256}, {"segments": 1}])
def test_what_is_left_out_changes_no_other_number(options, track: Track, few):
    some, every = (explain(Late(), track, interactions=asked, **options) for asked in ("target", "all"))
    assert every.interactions.classes == (0, 1, 2)
    assert some.interactions.classes == (some.target,)
    for name in ("attributions", "standard_errors", "degrees_of_freedom", "fidelity", "intercept"):
        assert torch.equal(getattr(some, name), getattr(every, name))
    for name in TENSORS:
        whole, part = getattr(every.interactions, name), getattr(some.interactions, name)
        torch.testing.assert_close(part, whole[:, [some.target]] if len(whole) else whole[:, :1], rtol=1e-4, atol=1e-6)
    assert [pair[:2] for pair in some.top_pairs(3)] == [pair[:2] for pair in every.top_pairs(3)]


def test_a_foil_and_names_are_solved_too(track: Track, few):
    contrast = explain(Late(), track, foil=0, target=1, **CROSSED)
    assert contrast.interactions.classes == (0, 1, 3)
    assert contrast.shares()
    values = contrast.interactions.values[contrast.interactions.find_space("probability")]
    torch.testing.assert_close(values[2], values[1] - values[0], rtol=1e-5, atol=1e-6)
    named = explain(Late(), track, target=1, interactions=[2], **CROSSED)
    assert named.interactions.classes == (1, 2)
    assert named.provenance["settings"]["interactions"] == [2]
    with pytest.raises(InputError, match="no class 'blue'"):
        explain(Late(), track, interactions=["blue"], **CROSSED)


def test_views_say_what_was_left_out_and_how_to_get_it(track: Track, few):
    explanation = explain(Late(), track, target=1, **CROSSED)
    other = explanation.classes[2]
    said = f"interactions of {other!r} were left out: explain with interactions='all', or with interactions=[{other!r}]"
    assert explanation.find_left_out() is None
    assert explanation.find_left_out(2) == said
    for ask in (lambda: explanation.top_pairs(3, 2), lambda: explanation.shares(2)):
        with pytest.raises(InputError, match="were left out"):
            ask()
    with pytest.raises(InputError, match="class 2"):
        explanation.interactions.rank(2)
    assert f"I{said[1:]}" in to_text(explanation, 2, 10, False).replace("\n", " ")
    assert to_record(explanation, 2)["interactions"] == {"left_out": said}
    packed = dict(zip(order_classes(explanation), pack_classes(explanation).classes, strict=True))
    assert ["pairs" in packed[row] for row in range(3)] == [False, True, False]


def test_explanations_are_saved_as_they_are_and_older_files_have_all_classes(track: Track, few, tmp_path: Path, monkeypatch):
    explanation = explain(Late(), track, target=1, **CROSSED)
    explanation.save(tmp_path / "new")
    assert Explanation.load(tmp_path / "new").interactions.classes == (1,)
    every = explain(Late(), track, interactions="all", **CROSSED)
    fields = {name: value for name, value in every.interactions.fields().items() if name != "classes"}
    assert module.read_interactions(fields, every.interactions.tensors()).classes == (0, 1, 2)
    assert replace(every.interactions, classes=(5,)).covers(5)
