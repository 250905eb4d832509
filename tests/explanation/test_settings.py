"""One home of the defaults: what `explain` takes, what it records, and what the record gives back."""

import inspect
import json
from dataclasses import fields

import pytest
from hypothesis import given, strategies as st
from models import Additive

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.settings import PAPER, SETTINGS, Settings, read_settings
from musiclime_torch.song.track import Track


def test_explain_takes_every_setting_with_its_default():
    parameters = inspect.signature(explain).parameters
    assert [
        name for name in parameters if name not in ("model", "track", "answers", "proxy", "proxy_samples", "progress")
    ] == list(SETTINGS)
    assert {name: parameters[name].default for name in SETTINGS} == {one.name: one.default for one in fields(Settings)}


def test_explain_documents_every_setting():
    for name in SETTINGS:
        assert f"\n        {name}: " in explain.__doc__, name


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "target": st.sampled_from(["sad", 1, None]),
            "segments": st.sampled_from([3, "3s", [1.0, 2.5], None]),
            "units": st.sampled_from(["word", "type"]),
            "n_samples": st.sampled_from([64, (64, 32)]),
            "until": st.sampled_from([None, "top 5"]),
            "kernel_width": st.floats(0.1, 2),
            "seed": st.integers(0, 2**62),
            "classes": st.sampled_from([None, ("a", "b")]),
            "device": st.sampled_from([None, "cpu", "cuda:1"]),
        },
    )
)
def test_a_record_gives_the_settings_back_through_json(options: dict):
    settings = read_settings(options)
    again = read_settings(json.loads(json.dumps(settings.to_record())))
    assert again.to_record() == settings.to_record()
    assert {type(value) for value in vars(again).values()} <= {int, float, str, bool, tuple, list, type(None)}


def test_an_explanation_keeps_all_of_its_settings(track: Track):
    explanation = explain(Additive(), track, n_samples=60, confidence=0.9, seed=3)
    record = explanation.provenance["settings"]
    assert tuple(record) == SETTINGS
    assert (record["n_samples"], record["confidence"], record["seed"]) == (60, 0.9, 3)
    # None is replaced by what it came to mean.
    assert (record["space"], record["target"]) == (explanation.space, explanation.target)
    assert record["segments"] == explanation.components.n_segments


def test_the_paper_preset_holds_settings():
    assert Settings(**PAPER).weights == "paper"


@pytest.mark.parametrize(("name", "value"), [("n_samples", 0), ("batch_size", 0), ("seed", -1), ("confidence", 1.0)])
def test_an_error_names_its_argument(name: str, value: object):
    with pytest.raises(InputError, match=f"^{name} must be ") as caught:
        Settings(**{name: value})
    assert caught.value.argument == name


def test_what_was_given_is_named_whatever_it_is_resolved_to():
    assert Settings().list_given() == []
    assert Settings(target="pop", segments=10, seed=0, ridge=0.5).list_given() == ["target", "segments", "ridge"]


@pytest.mark.parametrize("asked", [(), [], [None], 0.5, True, [["sad"]]])
def test_interactions_are_target_all_or_classes(asked):
    with pytest.raises(InputError, match=r"interactions|class"):
        Settings(interactions=asked)
