"""The torch module behind a callable, in every way that one can be held; and what a run leaves behind."""

import functools
import random

import numpy as np
import pytest
import torch

from musiclime_torch import explain
from musiclime_torch.models.care import evaluating, keeping_random_states, module_behind
from musiclime_torch.song.track import Track

NET = torch.nn.Linear(2, 2)
OTHER = torch.nn.Linear(3, 3)
OTHER.inner = torch.nn.Dropout()


class Holder:
    """A callable with a module under a name of its own choice."""

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net

    def __call__(self, audio: torch.Tensor) -> torch.Tensor:
        return self.net(audio)

    def predict(self, audio: torch.Tensor) -> torch.Tensor:
        return self.net(audio)


def call_net(audio: torch.Tensor) -> torch.Tensor:
    return NET(audio)


def call_with(net: torch.nn.Module, audio: torch.Tensor) -> torch.Tensor:
    return net(audio)


def call_attribute(audio: torch.Tensor) -> torch.Tensor:
    """It has an attribute that is called as a module of this file."""
    return audio.NET(audio)


def close_over(net: torch.nn.Module):
    return lambda audio: net(audio)


@pytest.mark.parametrize(
    "call",
    [
        NET,
        NET.forward,
        call_net,
        close_over(NET),
        Holder(NET),
        Holder(NET).predict,
        functools.partial(call_net),
        functools.partial(call_with, NET),
        functools.partial(call_with, net=NET),
    ],
)
def test_a_module_is_found_wherever_the_callable_holds_it(call):
    assert module_behind(call) is NET


@pytest.mark.parametrize("call", [len, torch.relu, call_attribute, lambda audio: audio, functools.partial(call_with)])
def test_where_there_is_none_none_is_found(call):
    assert module_behind(call) is None


def test_what_a_callable_declares_goes_before_what_it_holds():
    def declared(audio: torch.Tensor) -> torch.Tensor:
        return NET(audio)

    declared.module = OTHER
    assert module_behind(declared) is OTHER
    holder = Holder(NET)
    holder.module = OTHER
    assert module_behind(holder) is OTHER


def test_of_several_modules_none_is_left_out():
    def both(audio: torch.Tensor) -> torch.Tensor:
        return NET(OTHER(audio))

    found = module_behind(both)
    assert set(found) == {NET, OTHER}
    assert {id(part) for part in found.parameters()} == {id(part) for part in (*NET.parameters(), *OTHER.parameters())}


def test_a_module_inside_of_another_is_not_counted_twice():
    inner = OTHER.inner

    def nested(audio: torch.Tensor) -> torch.Tensor:
        return inner(OTHER(audio))

    assert module_behind(nested) is OTHER


def test_a_function_over_two_models_is_explained_with_both_in_eval_mode(track: Track):
    first, second = torch.nn.Dropout(0.5), torch.nn.Dropout(0.5)

    def model(audio: torch.Tensor) -> torch.Tensor:
        return second(first(audio.mean((1, 2))[:, None]))

    given = {"sample_rate": 8000, "modalities": ("audio",), "output_kind": "regression", "segments": 2, "n_samples": 16}
    one, other = explain(model, track, **given), explain(model, track, **given)
    assert torch.equal(one.attributions, other.attributions)
    assert float(one.fidelity) == pytest.approx(1)
    assert first.training
    assert second.training


def test_every_part_gets_its_own_flag_back():
    net = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    net[1].eval()
    with evaluating(net):
        assert not net[0].training
    assert (net.training, net[0].training, net[1].training) == (True, True, False)


def test_random_states_are_given_back():
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    with keeping_random_states():
        inside = draw()
    assert draw() == inside
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
