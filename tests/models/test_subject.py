"""What a model declares, what the caller gives instead, and what neither may say."""

from typing import Any

import pytest
import torch
from models import Additive, ById, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.models.subject import describe_model, is_late_fusion, name_model

NOTHING = {"sample_rate": None, "classes": None, "output_kind": None, "modalities": None}


def test_declarations_are_read_and_what_is_given_goes_before_them():
    subject = describe_model(Additive(), **NOTHING)
    assert (subject.sample_rate, subject.channels, subject.classes) == (8000, 1, ("calm", "wild", "sad"))
    assert (subject.output_kind, subject.modalities, subject.text_form) == ("logits", ("audio", "lyrics"), "embeddings")
    given = {"sample_rate": 16000, "classes": ["a"], "output_kind": "multilabel", "modalities": ["audio"]}
    subject = describe_model(Additive(), **given)
    assert (subject.sample_rate, subject.classes) == (16000, ("a",))
    assert (subject.output_kind, subject.modalities) == ("multilabel", ("audio",))


def test_the_form_of_the_text_is_what_the_model_offers():
    bare = describe_model(lambda text: torch.zeros(len(text)), **{**NOTHING, "modalities": ("lyrics",)})
    assert (bare.text_form, describe_model(ById(), **NOTHING).text_form) == ("strings", "ids")


def test_late_fusion_needs_three_parts_and_two_modalities():
    assert is_late_fusion(Late())
    assert not is_late_fusion(Additive())
    assert describe_model(Late(), **NOTHING).late_fusion
    assert not describe_model(Late(), **{**NOTHING, "modalities": ("audio",)}).late_fusion


def test_tokens_are_left_out_for_a_model_that_reads_places_and_wasnt_compiled():
    model = Late()
    assert not describe_model(model, **NOTHING).takes_positions
    model.takes_positions = True
    assert describe_model(model, **NOTHING).takes_positions
    assert not describe_model(torch.compile(model, backend="eager"), **NOTHING).takes_positions


def test_a_model_is_called_what_it_calls_itself():
    named = Additive()
    named.name = "my tagger"
    assert (name_model(named), name_model(Late()), name_model(len)) == ("my tagger", "Late", "len")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sample_rate": 0}, "sample_rate must be between 100 and 384000 Hz, got 0: give the rate that the model takes"),
        ({"sample_rate": -1}, "got -1"),
        ({"modalities": ("sound",)}, r"modalities \('sound',\) are not known: use"),
        ({"modalities": "audio"}, "modalities 'audio' are not known"),
        ({"output_kind": "odds"}, "outputs of kind 'odds' are not known"),
        ({"classes": "ab"}, "expected a list of class names, got 'ab'"),
        ({"classes": ["a", "a", "b"]}, "the class names a, a, b are not all different"),
    ],
)
def test_arguments_that_make_no_sense_are_named(given: dict, said: str):
    with pytest.raises(InputError, match=said) as raised:
        describe_model(Additive(), **{**NOTHING, **given})
    assert raised.value.argument == next(iter(given))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_seconds", 0.05, "declares max_seconds=0.05: it must be a tenth of a second or more"),
        ("shortest_seconds", 0, "declares shortest_seconds=0: it must be positive"),
        ("sample_rate", None, "which sample rate it takes: give sample_rate"),
    ],
)
def test_declarations_that_make_no_sense_are_named(name: str, value: object, said: str):
    model = Additive()
    setattr(model, name, value)
    with pytest.raises(InputError, match=said):
        describe_model(model, **NOTHING)


class Listener(torch.nn.Module):
    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        return audio.mean((1, 2))


@pytest.mark.parametrize("model", [Listener(), lambda audio: audio.mean((1, 2))], ids=["a module", "a function"])
def test_a_model_of_one_argument_is_told_before_it_is_called(model: Any):
    given = {"sample_rate": 8000, "classes": None, "output_kind": None}
    with pytest.raises(InputError, match=r"can't be called with two arguments.*modalities=\(\"audio\",\)"):
        describe_model(model, modalities=None, **given)
    assert describe_model(model, modalities=("audio",), **given).modalities == ("audio",)
    assert describe_model(lambda *inputs: inputs[0], modalities=None, **given).modalities == ("audio", "lyrics")
