"""Rows: an example of a request under a mask. Making its inputs, and asking the forward function for many at once.

Row r is example r % examples under the mask number r // examples. Where a forward function sums its batch up (`whole`), all
examples under one mask are what gives an output.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import signature
from itertools import islice, repeat, starmap
from typing import Any

import torch
from captum._utils.common import _expand_additional_forward_args, _run_forward, _select_targets
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.arguments import read_integer
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Bar, open_bar
from musiclime_torch.captum.request import Request
from musiclime_torch.models.batches import Room, in_batches

Forward = Callable[..., Any]

#: Elements of altered inputs made, and of outputs kept to be picked from, at a time, where a forward takes or gives fewer.
CELLS = 2**20


@dataclass(frozen=True)
class Rows:
    """Consecutive rows: the first one's number, and the example of each; `whole` where together they give one output."""

    first: int
    example: Int[Tensor, " row"]
    whole: bool

    def __len__(self) -> int:
        return self.example.shape[0]

    def part(self, start: int, end: int) -> "Rows":
        """Some of them."""
        return Rows(self.first + start, self.example[start:end], self.whole)


@dataclass(frozen=True)
class Plan:
    """How a request is to be sampled: the number of masks, of rows in a forward, and what a progress bar says, if any."""

    request: Request
    n_samples: int
    per_eval: int
    whole: bool
    progress: str | None


def plan_rows(forward: Forward, request: Request, n_samples: int, perturbations_per_eval: int, progress: str | None) -> Plan:
    """Asks the forward function once, on the inputs themselves, whether it sums a batch of examples up.

    InputError for fewer samples than one, before it is asked: Captum's own fail on an empty list. AssertionError, as from
    Captum, where a batch is summed up and more than one row a forward are wanted: they couldn't be told apart.
    """
    n_samples = read_integer(n_samples, "n_samples")
    if n_samples < 1:
        raise InputError(f"n_samples={n_samples} draws nothing: give 1 or more.")
    whole = False
    if request.examples > 1:
        output = _run_forward(forward, request.inputs, None, request.extra)
        whole = not isinstance(output, Tensor) or output.dim() == 0 or output.shape[0] == 1
    if whole and perturbations_per_eval > 1:
        raise AssertionError(
            f"perturbations_per_eval={perturbations_per_eval} must be 1 for a forward function that gives one number per "
            f"batch."
        )
    return Plan(request, n_samples, max(perturbations_per_eval, 1), whole, progress)


def evaluate(forward: Forward, plan: Plan, masks: Bool[Tensor, "design n component"]) -> Float[Tensor, "n example output"]:
    """Outputs of every example under its masks; of one "example" where a batch is `whole`.

    `masks` are one design for all examples, or one each. Inputs are made for many forwards at once where they are small, and
    outputs picked for as many: with one row a forward what remains of the cost is the call.
    """
    request, n, examples = plan.request, masks.shape[1], plan.request.examples
    room = Room()
    total, step = n * examples, examples if plan.whole else plan.per_eval
    size = sum(tensor[0].numel() for tensor in request.inputs)
    stride = max(CELLS // max(size * step, 1), 1) * step
    outputs: Tensor | None = None
    done = 0
    with watch(plan, total, step) as bar:
        for start in range(0, total, stride):
            number = torch.arange(start, min(start + stride, total), device=request.device)
            rows = Rows(start, number % examples, plan.whole)
            altered = alter(request, _pick(masks, rows, number, examples), rows)
            for batch in _ask_in_turn(forward, request, altered, rows, step, bar, room):
                if outputs is None:
                    kind = torch.promote_types(batch.dtype, torch.float32)
                    outputs = batch.new_empty(n * (1 if plan.whole else examples), batch.shape[1], dtype=kind)
                outputs[done : done + len(batch)] = batch
                done += len(batch)
    assert outputs is not None, "a design has at least one row"
    return outputs.unflatten(0, (n, -1))


def ask(forward: Forward, request: Request, altered: tuple[Tensor, ...], rows: Rows) -> Float[Tensor, "answer output"]:
    """Outputs of some rows in one forward; a single one where they are `whole`."""
    answer = _run_forward(forward, altered, None, _pick_extra(request, rows))
    return _pick_outputs(request, _line_up([answer], request, [1 if rows.whole else len(rows)]), rows)


def _ask_in_turn(
    forward: Forward, request: Request, altered: tuple[Tensor, ...], rows: Rows, step: int, bar: Bar, room: Room
) -> Iterator[Float[Tensor, "answer output"]]:
    # Captum looks this up anew in every forward, which takes longer than a small model.
    call = forward if signature(forward).parameters else lambda *inputs: forward()
    single = rows.whole or step == 1  # what gives one line can't be halved: where memory is too small for it, it raises
    sized: Iterator[tuple[int, Any]]
    if single:
        sized = zip(repeat(1), _call_each(call, request, altered, rows, step), strict=False)
    else:
        halving = in_batches(room, "rows", len(rows), step, partial(_call, call, request, altered, rows))
        sized = ((some.stop - some.start, answer) for some, answer in halving)
    watched = sized if bar.disable else _watch_each(sized, bar)
    first, most = 0, 1
    while batch := list(islice(watched, most)):
        counts, answers = (list(part) for part in zip(*batch, strict=True))
        last = first + sum(counts) * (step if rows.whole else 1)
        lines = _line_up(answers, request, counts)
        yield _pick_outputs(request, lines, rows.part(first, last))
        # The first forward alone tells how many outputs there are to keep.
        first, most = last, max(CELLS * len(lines) // (lines.numel() * counts[0]), 1)


def _call(forward: Forward, request: Request, altered: tuple[Tensor, ...], rows: Rows, some: slice) -> Any:
    """What the forward function returns for some rows."""
    extra = None if request.extra is None else _pick_extra(request, rows.part(some.start, some.stop))
    return forward(*(tensor[some] for tensor in altered), *(extra or ()))


def _call_each(forward: Forward, request: Request, altered: tuple[Tensor, ...], rows: Rows, step: int) -> Iterator[Any]:
    """The same for all rows in turn, with nothing done row by row that could be done for all."""
    if request.extra is not None:
        return (
            _call(forward, request, altered, rows, slice(start, min(start + step, len(rows))))
            for start in range(0, len(rows), step)
        )
    batches = zip(*(tensor.split(step) for tensor in altered), strict=True)
    return starmap(forward, batches)


def _watch_each(calls: Iterator[tuple[int, Any]], bar: Bar) -> Iterator[tuple[int, Any]]:
    for call in calls:
        bar.update()
        yield call


def _line_up(answers: list[Any], request: Request, counts: list[int]) -> Tensor:
    """What forwards returned, under each other; AssertionError where one has another number of lines than its count."""
    outputs = [answer if isinstance(answer, Tensor) and answer.dim() else _make_line(answer, request) for answer in answers]
    lengths = [output.shape[0] for output in outputs]
    if lengths != counts or not outputs[0].numel():
        wrong = next((place for place, count in enumerate(counts) if lengths[place] != count), 0)
        raise AssertionError(
            f"the forward function returned shape {tuple(outputs[wrong].shape)} for {counts[wrong]} rows: it must give one "
            f"row of outputs per example, or one number per batch (with perturbations_per_eval=1)."
        )
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def _make_line(answer: Any, request: Request) -> Tensor:
    output = answer if isinstance(answer, Tensor) else torch.tensor(answer, dtype=torch.float64, device=request.device)
    return output if output.dim() else output[None]


def watch(plan: Plan, total: int, step: int) -> Bar:
    """A bar on standard error that counts forwards."""
    return open_bar(math.ceil(total / step), name=plan.progress, shown=plan.progress is not None, piped=True)


def alter(request: Request, kept: Bool[Tensor, "row component"], rows: Rows) -> tuple[Tensor, ...]:
    """Inputs of the rows: each element its own, or its baseline's where its component is off."""
    parts = zip(request.inputs, request.baselines, request.owners, strict=True)
    return tuple(
        _replace(tensor, baseline, _look_up(kept, owner, request.plain, rows), rows) for tensor, baseline, owner in parts
    )


def _pick(
    masks: Bool[Tensor, "design n component"], rows: Rows, number: Int[Tensor, " row"], examples: int
) -> Bool[Tensor, "row component"]:
    n = masks.shape[1]
    if examples == 1:
        return masks[0, rows.first : rows.first + len(rows)]
    if len(masks) == 1:
        return masks[0].index_select(0, number // examples)
    return masks.flatten(0, 1).index_select(0, rows.example * n + number // examples)


def _look_up(kept: Bool[Tensor, "row component"], owner: Int[Tensor, "..."], plain: bool, rows: Rows) -> Bool[Tensor, "..."]:
    """Which elements of each row keep their own value: row-major, shaped like the feature mask of one example."""
    owner = owner.to(kept.device)
    if plain:
        keep = kept
    elif owner.shape[0] == 1:
        keep = kept.index_select(1, owner.flatten())
    else:
        keep = kept.gather(1, owner.flatten(1).index_select(0, rows.example))
    return keep.reshape(len(kept), *owner.shape[1:])


def _replace(tensor: Tensor, baseline: Tensor | float, keep: Bool[Tensor, "..."], rows: Rows) -> Tensor:
    """Each element its own or its baseline's: `where`, so that an infinite baseline stays harmless."""
    own = tensor if tensor.shape[0] == 1 else tensor.index_select(0, rows.example)
    if isinstance(baseline, Tensor) and baseline.shape[0] > 1:
        baseline = baseline.index_select(0, rows.example)
    return torch.where(keep, own, baseline)


def _pick_extra(request: Request, rows: Rows) -> tuple[Any, ...] | None:
    """Additional arguments with one row per example follow their example, others are handed on (Captum's rule)."""
    if request.extra is None or request.examples == 1:
        return _expand_additional_forward_args(request.extra, len(rows))
    return tuple(_follow(arg, request.examples, rows) for arg in request.extra)


def _follow(arg: Any, examples: int, rows: Rows) -> Any:
    if not isinstance(arg, Tensor) or not arg.dim() or rows.whole:
        return arg
    if len(arg) == examples:
        return arg.index_select(0, rows.example.to(arg.device))
    return arg.expand(len(rows), *arg.shape[1:]) if len(arg) == 1 else arg


def _pick_outputs(request: Request, output: Tensor, rows: Rows) -> Float[Tensor, "answer output"]:
    """The target of each line, or all its outputs, flattened. A batch summed up to one number has nothing to pick from."""
    target = None if rows.whole and output.dim() == 1 else request.target
    if isinstance(target, Tensor):
        if output.dim() != 2:
            raise AssertionError(f"a tensor of targets needs outputs (example, class), not {tuple(output.shape)}.")
        return output.gather(1, target.to(output.device).index_select(0, rows.example.to(output.device))[:, None])
    if isinstance(target, list):
        chosen = [target[number % request.examples] for number in range(rows.first, rows.first + len(rows))]
        return _select_targets(output, chosen).reshape(len(output), -1)
    return _select_targets(output, target).reshape(len(output), -1)
