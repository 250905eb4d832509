"""Hashes of weights: those of a plain evaluation, and never those of weights that were."""

import hashlib

import pytest
import torch
from torch import nn

from musiclime_torch.models import care
from musiclime_torch.models.care import hash_weights, shuffling


def make() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Linear(5, 3).bfloat16())


def evaluate(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + bytes(tensor.detach().contiguous().flatten().view(torch.uint8).tolist()))
    return digest.hexdigest()


def step(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(module.parameters(), 0.1).step()


def move(module: nn.Module) -> None:
    module[0].weight.data[0, 0] += 1  # which torch doesn't count


CHANGES = {
    "a step of training": step,
    "behind torch's back": move,
    "other weights loaded": lambda module: module.load_state_dict({k: v + 1 for k, v in module.state_dict().items()}),
    "a buffer": lambda module: module[1].running_mean.add_(1),
    "another precision": lambda module: module.half(),
    "another order": lambda module: module[0].weight.copy_(module[0].weight.detach().flip(0).clone()),
}


def test_an_empty_buffer_is_hashed_too():
    module = make()
    module.register_buffer("none", torch.zeros(3, 0))
    assert hash_weights(module) == evaluate(module)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(change: str):
    module = make()
    before = hash_weights(module)
    assert before == evaluate(module)
    with torch.no_grad():
        CHANGES[change](module)
    assert hash_weights(module) == evaluate(module) != before


def test_shuffled_weights_have_a_hash_of_their_own_and_the_old_ones_theirs():
    module = make()
    before = hash_weights(module)
    with shuffling(module, 1.0, 0):
        assert hash_weights(module) == evaluate(module) != before
    assert hash_weights(module) == before


def test_nothing_is_hashed_twice(monkeypatch: pytest.MonkeyPatch):
    module = make()
    first = hash_weights(module)
    monkeypatch.setattr(care, "hashlib", None)
    assert hash_weights(module) == first


def test_weights_that_torch_does_not_watch_are_hashed_each_time():
    with torch.inference_mode():
        module = make()
        first = hash_weights(module)
        module[0].weight.add_(1)
        assert hash_weights(module) == evaluate(module) != first


def test_what_is_no_tensor_is_left_out():
    class Odd(nn.Linear):
        def get_extra_state(self):
            return {"version": 3}

        def set_extra_state(self, state):
            pass

    assert hash_weights(Odd(2, 2)) != hash_weights(None) == ""


@pytest.mark.parametrize("change", [lambda w: w.flip(1).clone(), lambda w: -w, lambda w: w.roll(1, 0).clone()])
def test_weights_in_another_order_or_with_other_signs_have_another_hash(change):
    """Written through `.data`, which torch doesn't count as a change."""
    module = torch.nn.Linear(6, 4, bias=False)
    torch.nn.init.normal_(module.weight)
    before = hash_weights(module)
    module.weight.data.copy_(change(module.weight.data))
    assert hash_weights(module) != before


def test_a_module_whose_weights_are_elsewhere_says_their_hash():
    class Far(torch.nn.Module):
        weights_hash = "abc"

    assert hash_weights(Far()) == "abc"


@pytest.mark.parametrize("size", [0, 1, 7, 2**16, 2**16 + 1, 3 * 2**16 + 5])
def test_pieces_add_up_to_the_sum_of_the_entire_tensor(size):
    weights = torch.randn(size, generator=torch.Generator().manual_seed(0))
    bits = weights.view(torch.int32).tolist()
    total = sum((2 * place + 1) * (bit ^ (bit >> 15)) for place, bit in enumerate(bits)) % 2**32
    assert int(care._sum_bits(weights)) % 2**32 == total


def test_a_change_in_any_piece_is_noticed():
    module = nn.Linear(2**9, 2**9, bias=False)
    seen = {hash_weights(module)}
    for place in range(0, 2**18, 2**16):
        module.weight.data.view(-1)[place] += 1
        seen.add(hash_weights(module))
    module.weight.data.copy_(module.weight.data.view(4, -1).flip(0).reshape(2**9, 2**9))
    seen.add(hash_weights(module))
    assert len(seen) == 6


def test_training_between_two_explanations_gives_another_hash_and_none_the_same(monkeypatch: pytest.MonkeyPatch):
    """Weights are hashed once for each state they are in, however often they are asked for."""
    module, hashed = make(), []
    digest = hashlib.sha256
    monkeypatch.setattr(care.hashlib, "sha256", lambda: hashed.append(1) or digest())
    with torch.no_grad():
        first = [hash_weights(module) for _ in range(3)]
        step(module)
        second = [hash_weights(module) for _ in range(3)]
    assert len(set(first)) == len(set(second)) == 1
    assert (first[0] != second[0], len(hashed)) == (True, 2)
