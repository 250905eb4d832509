"""Rows against a plain loop over examples and masks; the fast path against the general one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.captum import rows
from musiclime_torch.captum.request import read_request
from musiclime_torch.captum.rows import evaluate, plan_rows
from musiclime_torch.models.batches import fill_each

INPUTS = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
MASKS = torch.rand(1, 7, 5, generator=torch.Generator().manual_seed(1)) < 0.5
WEIGHT = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))


def forward(inputs: Tensor) -> Tensor:
    return torch.tanh(inputs @ WEIGHT)


def total(inputs: Tensor) -> Tensor:
    return forward(inputs).sum()


def run(call: Callable[..., Any], target: Any = None, per_eval: int = 1, masks: Tensor = MASKS, extra: Any = None) -> Tensor:
    request = read_request(INPUTS, None, target, extra, None)
    return evaluate(call, plan_rows(call, request, masks.shape[1], per_eval, None), masks)


@pytest.mark.parametrize("per_eval", [1, 2, 6, 100])
@pytest.mark.parametrize("target", [None, 2, [0, 1, 3]])
@pytest.mark.parametrize("own_masks", [False, True])
def test_rows_are_every_example_under_every_mask(per_eval: int, target: Any, own_masks: bool):
    masks = torch.stack([MASKS[0], ~MASKS[0], MASKS[0].flip(0)]) if own_masks else MASKS
    outputs = run(forward, target, per_eval, masks)
    for example in range(3):
        expected = forward(torch.where(masks[example if own_masks else 0], INPUTS[example], 0.0))
        if target is not None:
            column = target if isinstance(target, int) else target[example]
            expected = expected[:, column : column + 1]
        torch.testing.assert_close(outputs[:, example], expected)


def test_a_batch_that_is_summed_up_gives_one_line_a_mask():
    expected = torch.stack([total(torch.where(mask, INPUTS, 0.0)) for mask in MASKS[0]])
    torch.testing.assert_close(run(total)[:, 0, 0], expected)
    with pytest.raises(AssertionError, match="perturbations_per_eval=2 must be 1"):
        run(total, per_eval=2)


@pytest.mark.parametrize("cells", [1, 8, 2**20])
@pytest.mark.parametrize(("call", "target"), [(forward, None), (forward, 1), (total, None)])
def test_the_fast_path_gives_what_the_general_one_gives(call: Callable[..., Any], target: Any, cells: int, monkeypatch):
    monkeypatch.setattr(rows, "CELLS", cells)
    fast = run(call, target)
    singly = rows._run_singly

    def in_turn(call, request, altered, some, step):
        return rows._run_in_turn(call, request, altered, some, step, rows.open_bar(shown=False), rows.Room())

    monkeypatch.setattr(rows, "_run_singly", in_turn)
    assert torch.equal(run(call, target), fast)
    assert singly is not rows._run_singly


def test_further_arguments_follow_their_example():
    scale = torch.tensor([[1.0], [2.0], [3.0]])
    outputs = run(lambda inputs, gain: forward(inputs) * gain, extra=scale)
    torch.testing.assert_close(outputs, run(forward) * scale)


def test_half_precision_is_kept_in_single_precision_and_no_masks_are_refused():
    assert run(lambda inputs: forward(inputs).half()).dtype == torch.float32
    with pytest.raises(InputError, match="n_samples must be at least 1, got 0") as raised:
        plan_rows(forward, read_request(INPUTS, None, None, None, None), 0, 1, None)
    assert raised.value.argument == "n_samples"


def test_a_forward_that_loses_rows_is_refused():
    with pytest.raises(AssertionError, match=r"returned shape \(1, 4\) for 2 rows"):
        run(lambda inputs: forward(inputs)[: 3 if len(inputs) == 3 else 1], per_eval=2)


def test_batches_of_several_tensors_fill_as_many():
    batches = [(slice(0, 2), (torch.ones(2, 3), torch.zeros(2))), (slice(2, 3), (torch.full((1, 3), 5.0), torch.ones(1)))]
    wide, flat = fill_each(iter(batches), 3)
    assert wide[:, 0].tolist() == [1, 1, 5]
    assert flat.tolist() == [0, 0, 1]


ODD = torch.tensor([[torch.inf, -0.0, torch.nan, 1.5, -3.0]])
NUMBERS = {
    "zero": (ODD, 0),
    "minus zero": (ODD, -0.0),
    "one number": (ODD, 2.5),
    "infinite": (ODD, ODD.flip(1)),
    "baselines in another precision": (ODD, ODD.flip(1).double()),
    "float64": (ODD.double(), ODD.flip(1).double()),
    "half precision": (ODD.bfloat16(), 0.5),
    "whole numbers": (torch.tensor([[3, -4, 5, 2**40, 0]]), 7),
    "whole numbers, a fraction": (torch.tensor([[3, -4, 5, 9, 0]]), 0.5),
    "flags": (torch.tensor([[True, False, True, True, False]]), False),
    "bytes": (torch.tensor([[1, 0, 255, 128, 7]], dtype=torch.uint8), torch.tensor([[9, 8, 7, 6, 5]], dtype=torch.uint8)),
    "complex": (torch.complex(ODD, ODD.flip(1)), 0),
}


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("owner", [None, torch.tensor([[0, 1, 1, 2, 0]])])
def test_elements_are_chosen_bit_by_bit_as_where_chooses(numbers: str, owner: Tensor | None):
    own, baseline = NUMBERS[numbers]
    request = read_request(own, baseline, None, None, owner)
    kept = torch.rand(9, request.components, generator=torch.Generator().manual_seed(3)) < 0.5
    altered = rows.alter(request, kept, rows.Rows(0, 9, 1, torch.device("cpu"), False))[0]
    expected = torch.where(kept if owner is None else kept[:, owner[0]], own, request.baselines[0])
    assert altered.dtype == expected.dtype
    torch.testing.assert_close(altered, expected, rtol=0, atol=0, equal_nan=True)
    if expected.is_floating_point():
        assert torch.equal(altered.signbit() | altered.isnan(), expected.signbit() | expected.isnan())


@pytest.mark.parametrize("per_eval", [1, 4, 100])
@pytest.mark.parametrize("cells", [1, 2**18])
def test_a_forward_may_keep_what_it_is_given(per_eval: int, cells: int, monkeypatch):
    """Nothing is written to inputs afterwards: what a forward stores is what it was asked of."""
    monkeypatch.setattr(rows, "CELLS", cells)
    kept: list[Tensor] = []

    def store(inputs: Tensor) -> Tensor:
        kept.append(inputs[:, :])
        return forward(inputs)

    outputs = run(store, None, per_eval)
    given = (
        torch.cat(kept).unflatten(0, (-1, 3)) if len(torch.cat(kept)) == 21 else torch.cat(kept)[3:].unflatten(0, (-1, 3))
    )
    expected = torch.where(MASKS[0][:, None], INPUTS, 0.0)
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(outputs, forward(expected.flatten(0, 1)).unflatten(0, (7, 3)))


def test_answers_of_several_kinds_are_lined_up_too():
    """Numbers and tensors of other precisions in turn: what can't be stacked is looked at one by one."""
    turns = iter(range(10_000))

    def answer(inputs: Tensor) -> Any:
        value = forward(inputs).sum()
        return [float(value), value, value.double()[None]][next(turns) % 3]

    request = read_request(INPUTS[:1], None, None, None, None)
    outputs = evaluate(answer, plan_rows(answer, request, 7, 1, None), MASKS)
    expected = forward(torch.where(MASKS[0], INPUTS[0], 0.0)).sum(1)
    torch.testing.assert_close(outputs[:, 0, 0].double(), expected.double())


def test_batches_that_nobody_keeps_lie_in_the_same_memory():
    places = []

    def note(inputs: Tensor) -> Tensor:
        places.append(inputs.untyped_storage().data_ptr())
        return inputs.sum(1, keepdim=True)

    mask = torch.arange(5).repeat_interleave(rows.CELLS)[None]
    request = read_request(torch.ones(1, 5 * rows.CELLS), None, None, None, mask)
    outputs = evaluate(note, plan_rows(note, request, 7, 1, None), MASKS)
    assert len(places) == 7
    assert places == places[:1] * 7
    assert torch.equal(outputs[:, 0, 0], rows.CELLS * MASKS[0].sum(1).float())
