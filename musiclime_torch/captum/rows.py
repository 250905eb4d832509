"""Rows: an example of a request under a mask. Making its inputs, and asking the forward function for many at once.

Row r is example r % examples under the mask number r // examples. Where a forward function sums its batch up (`summed`), all
examples under one mask are what gives an output.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from typing import Any

import numpy as np
import torch
from captum._utils.common import _expand_additional_forward_args, _run_forward, _select_targets
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from musiclime_torch.basics.arguments import read_integer
from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Bar, open_bar
from musiclime_torch.captum.request import Request
from musiclime_torch.models.batches import Room, fill, in_batches

Forward = Callable[..., Any]

#: Elements of altered inputs made, and of outputs kept to be picked from, at a time, where a forward takes or gives fewer.
CELLS = 2**18

#: Integers as wide as the elements of a tensor, by their bytes.
WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

#: Bytes: where torch's own tensors begin, and the fastest products.
ALIGNED = 64

#: Answers of single forwards that are kept until they are picked from. Python looks for cycles whenever there are 700
#: objects more than before; with an input's view and an answer each, these are fewer.
ALIVE = 300


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of so many examples, from number `first` on; `summed` where together they give one output."""

    first: int
    count: int
    examples: int
    device: torch.device
    summed: bool

    def __len__(self) -> int:
        return self.count

    @cached_property
    def number(self) -> Int[Tensor, " row"]:
        """Their numbers."""
        return torch.arange(self.first, self.first + self.count, device=self.device)

    @cached_property
    def example(self) -> Int[Tensor, " row"]:
        """The example of each."""
        return self.number % self.examples

    def part(self, start: int, end: int) -> "Rows":
        """Some of them."""
        return Rows(self.first + start, end - start, self.examples, self.device, self.summed)


class Block:
    """Memory on the CPU that one batch of altered inputs after another lies in, unless somebody still holds the last one.

    Blocks that are freed and asked for again leave holes in the heap, which grows with every batch.
    """

    def __init__(self) -> None:
        self._held, self._alone = np.empty(0, dtype=np.uint8), 0

    def take(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """A tensor with anything in it."""
        size = math.prod(shape) * kind.itemsize
        # A tensor refers to the array that it was made from until its own last view is gone.
        if len(self._held) < size + ALIGNED or self._count() > self._alone:
            self._held = np.empty(size + ALIGNED, dtype=np.uint8)
            self._alone = self._count()
        start = -self._held.ctypes.data % ALIGNED
        return torch.from_numpy(self._held[start : start + size]).view(kind).view(shape)

    def _count(self) -> int:
        return sys.getrefcount(self._held)


@dataclass(frozen=True)
class Plan:
    """How a request is to be sampled: the number of masks, of rows in a forward, and what a progress bar says, if any."""

    request: Request
    n_samples: int
    per_eval: int
    summed: bool
    progress: str | None


def plan_rows(forward: Forward, request: Request, n_samples: int, perturbations_per_eval: int, progress: str | None) -> Plan:
    """Run the forward function once, on the inputs themselves, to see whether it sums a batch of examples up.

    InputError for fewer than one sample, before it is run: Captum's own fail on an empty list. AssertionError, as from
    Captum, if a batch is summed up and several rows a forward are requested: their outputs couldn't be separated.
    """
    n_samples = read_integer(n_samples, "n_samples")
    if n_samples < 1:
        raise InputError(f"n_samples must be at least 1, got {n_samples}.", argument="n_samples")
    summed = False
    # One forward tells what no signature does: whether a batch comes back as one row per example or as one number.
    if request.examples > 1:
        output = _run_forward(forward, request.inputs, None, request.extra)
        summed = not isinstance(output, Tensor) or output.dim() == 0 or output.shape[0] == 1
    if summed and perturbations_per_eval > 1:
        raise AssertionError(
            f"perturbations_per_eval={perturbations_per_eval} must be 1 for a forward function that gives one number per "
            f"batch."
        )
    return Plan(request, n_samples, max(perturbations_per_eval, 1), summed, progress)


def evaluate(forward: Forward, plan: Plan, masks: Bool[Tensor, "design n component"]) -> Float[Tensor, "n example output"]:
    """Outputs of every example under its masks; of one "example" where the forward function sums a batch up.

    `masks` are one design for all examples, or one each.
    """
    examples = plan.request.examples
    # A function that sums a batch must see each example once per forward, under one mask each.
    step = examples if plan.summed else plan.per_eval
    total = masks.shape[1] * examples
    with watch(plan, total, step) as bar:
        batches = _place(_run_all(forward, plan, masks, step, bar))
        return fill(batches, total // examples if plan.summed else total).unflatten(0, (masks.shape[1], -1))


def _run_all(
    forward: Forward, plan: Plan, masks: Bool[Tensor, "design n component"], step: int, bar: Bar
) -> Iterator[Float[Tensor, "answer output"]]:
    """Outputs of all rows in their order. Where rows are small, the inputs of many forwards are made at once."""
    request, room = plan.request, Room()
    blocks = tuple(Block() for _ in request.inputs)
    total = masks.shape[1] * request.examples
    # Altered inputs take `size` elements a row: as many forwards' worth at once as fit, at least one.
    size = sum(tensor[0].numel() for tensor in request.inputs)
    stride = max(CELLS // max(size * step, 1), 1) * step
    # Captum looks the signature up in every forward, which takes longer than a small model.
    call = forward if signature(forward).parameters else lambda *inputs: forward()
    for start in range(0, total, stride):
        # Rows are numbered mask-major: row r is mask r // examples of example r % examples. The first rows then show every
        # example once, and a design is used up evenly if the run is interrupted.
        rows = Rows(start, min(stride, total - start), request.examples, request.device, plan.summed)
        singly = (plan.summed or step == 1) and request.extra is None and bar.disable
        run = _run_singly if singly else partial(_run_in_turn, bar=bar, room=room)
        # Held by nothing here: the next batch lies where this one did.
        yield from run(call, request, alter(request, _pick(masks, rows), rows, blocks), rows, step)


def _run_singly(
    call: Forward, request: Request, altered: tuple[Tensor, ...], rows: Rows, step: int
) -> Iterator[Float[Tensor, "answer output"]]:
    """As `_run_in_turn`, for forwards that give one line each and take no further arguments: only the call is made row by
    row, and the outputs of many rows are picked at once.

    Measured with a linear layer of 100 inputs and 4,000 rows on one CPU core: 13 µs a row, of which the layer takes 9;
    `_run_in_turn` takes 54 µs.
    """
    first, most = 0, 1
    while first < len(rows):
        last = min(first + most * step, len(rows))
        # Unbinding makes views in half the time of splitting.
        batch = list(map(call, *(tensor[first:last].unflatten(0, (-1, step)).unbind() for tensor in altered)))
        lines = _line_up(batch, request, [1] * len(batch))
        del batch
        yield _pick_outputs(request, lines, rows.part(first, last))
        # The first forward alone shows how many outputs there are to keep until they are picked from.
        first, most = last, min(max(CELLS // lines[0].numel(), 1), ALIVE)


def _run_in_turn(
    call: Forward, request: Request, altered: tuple[Tensor, ...], rows: Rows, step: int, bar: Bar, room: Room
) -> Iterator[Float[Tensor, "answer output"]]:
    """Outputs of `step` rows at a time, halved when memory runs out; a batch that is summed up can't be halved."""

    def run(some: slice) -> Any:
        extra = None if request.extra is None else _pick_extra(request, rows.part(some.start, some.stop))
        return call(*(tensor[some] for tensor in altered), *(extra or ()))

    if rows.summed:
        batches = [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
        answers: Iterator[tuple[slice, Any]] = ((some, run(some)) for some in batches)
    else:
        answers = in_batches(room, "rows", len(rows), step, run)
    for some, answer in answers:
        lines = _line_up([answer], request, [1 if rows.summed else some.stop - some.start])
        yield _pick_outputs(request, lines, rows.part(some.start, some.stop))
        bar.update()


def _place(batches: Iterator[Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Each batch with the place of its rows, in float32 at least."""
    done = 0
    for batch in batches:
        yield slice(done, done + len(batch)), batch.to(torch.promote_types(batch.dtype, torch.float32))
        done += len(batch)


def run_rows(forward: Forward, request: Request, altered: tuple[Tensor, ...], rows: Rows) -> Float[Tensor, "answer output"]:
    """Outputs of some rows in one forward; a single line where they are summed up."""
    answer = _run_forward(forward, altered, None, _pick_extra(request, rows))
    return _pick_outputs(request, _line_up([answer], request, [1 if rows.summed else len(rows)]), rows)


def _line_up(answers: list[Any], request: Request, counts: list[int]) -> Tensor:
    """What forwards returned, under each other; AssertionError where one has another number of lines than its count."""
    if len(answers) > 1 and (lines := _stack(answers)) is not None and lines.shape[1] == counts[0]:
        return lines.flatten(0, 1)
    outputs = [answer if isinstance(answer, Tensor) and answer.dim() else _make_line(answer, request) for answer in answers]
    lengths = [output.shape[0] for output in outputs]
    if lengths != counts or not outputs[0].numel():
        wrong = next((place for place, count in enumerate(counts) if lengths[place] != count), 0)
        raise AssertionError(
            f"the forward function returned shape {tuple(outputs[wrong].shape)} for {counts[wrong]} rows: it must give one "
            f"row of outputs per example, or one number per batch (with perturbations_per_eval=1)."
        )
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def _stack(answers: list[Any]) -> Tensor | None:
    """Answers of one shape above each other; None where they aren't such tensors. Nothing is looked at one by one."""
    try:
        lines = torch.stack(answers)
    except (TypeError, RuntimeError):
        return None
    return lines if lines.dim() > 1 and lines.numel() else None


def _make_line(answer: Any, request: Request) -> Tensor:
    output = answer if isinstance(answer, Tensor) else torch.tensor(answer, dtype=torch.float64, device=request.device)
    return output if output.dim() else output[None]


def watch(plan: Plan, total: int, step: int) -> Bar:
    """A bar on standard error that counts forwards."""
    return open_bar(math.ceil(total / step), name=plan.progress, shown=plan.progress is not None, piped=True)


def alter(
    request: Request, kept: Bool[Tensor, "row component"], rows: Rows, blocks: tuple[Block, ...] = ()
) -> tuple[Tensor, ...]:
    """Inputs of the rows: each element its own, or its baseline's where its component is off; in the inputs' blocks."""
    blocks = blocks or tuple(Block() for _ in request.inputs)
    parts = zip(request.inputs, request.baselines, request.owners, blocks, strict=True)
    return tuple(_replace(*part, kept, request.plain, rows) for part in parts)


def _pick(masks: Bool[Tensor, "design n component"], rows: Rows) -> Bool[Tensor, "row component"]:
    if rows.examples == 1:
        return masks[0, rows.first : rows.first + len(rows)]
    mask = rows.number // rows.examples
    if len(masks) == 1:
        return masks[0].index_select(0, mask)
    return masks.flatten(0, 1).index_select(0, rows.example * masks.shape[1] + mask)


def _replace(
    tensor: Tensor,
    baseline: Tensor | float,
    owner: Int[Tensor, "..."],
    block: Block,
    kept: Bool[Tensor, "row component"],
    plain: bool,
    rows: Rows,
) -> Tensor:
    """Each element its own or its baseline's: `where`, so that an infinite baseline stays harmless."""
    own = tensor if tensor.shape[0] == 1 else tensor.index_select(0, rows.example)
    if isinstance(baseline, Tensor) and baseline.shape[0] > 1:
        baseline = baseline.index_select(0, rows.example)
    kind = torch.result_type(own, baseline)
    word = WORDS.get(kind.itemsize)
    if kept.device.type != "cpu" or kind.is_complex or word is None:
        return torch.where(_look_up(kept, owner, plain, rows), own, baseline)
    # On the CPU torch's `where` branches on every element, which a random mask makes the processor mispredict: 4 to 12 ns
    # each. A tenth of that takes baseline ^ kept · (own ^ baseline), of the bits as integers: no arithmetic touches values
    # themselves, so that infinity, NaN and −0 stay what they are.
    off, bits = torch.as_tensor(baseline, dtype=kind).view(word), own.to(kind).view(word)
    # A baseline of zero, the default, has no bits to put back.
    some = bool(off.dim() or off)
    bits = bits ^ off if some else bits
    # As bytes, for torch takes six times as long to widen booleans.
    on, chosen = kept.view(torch.int8), block.take((len(rows), *bits.shape[1:]), word)
    if plain or owner.shape[1:] != bits.shape[1:]:
        chosen.copy_(_look_up(on, owner, plain, rows))
    else:
        _look_up(on.to(word), owner, plain, rows, chosen.view(len(rows), -1))
    chosen.mul_(bits)
    return (chosen.bitwise_xor_(off) if some else chosen).view(kind)


def _look_up(
    kept: Shaped[Tensor, "row component"],
    owner: Int[Tensor, "..."],
    plain: bool,
    rows: Rows,
    out: Shaped[Tensor, "row element"] | None = None,
) -> Tensor:
    """Which elements of each row keep their own value: row-major, shaped like the feature mask of one example."""
    owner = owner.to(kept.device)
    if plain:
        keep = kept
    elif owner.shape[0] == 1:
        keep = torch.index_select(kept, 1, owner.flatten(), out=out)
    else:
        keep = torch.gather(kept, 1, owner.flatten(1).index_select(0, rows.example), out=out)
    return keep.reshape(len(kept), *owner.shape[1:])


def _pick_extra(request: Request, rows: Rows) -> tuple[Any, ...] | None:
    """Additional arguments with one row per example follow their example, others are handed on (Captum's rule)."""
    if request.extra is None or request.examples == 1:
        return _expand_additional_forward_args(request.extra, len(rows))
    return tuple(_follow(arg, request.examples, rows) for arg in request.extra)


def _follow(arg: Any, examples: int, rows: Rows) -> Any:
    if not isinstance(arg, Tensor) or not arg.dim() or rows.summed:
        return arg
    if len(arg) == examples:
        return arg.index_select(0, rows.example.to(arg.device))
    return arg.expand(len(rows), *arg.shape[1:]) if len(arg) == 1 else arg


def _pick_outputs(request: Request, output: Tensor, rows: Rows) -> Float[Tensor, "answer output"]:
    """The target of each line, or all its outputs, flattened. A batch summed up to one number has nothing to pick from."""
    target = None if rows.summed and output.dim() == 1 else request.target
    if isinstance(target, Tensor):
        if output.dim() != 2:
            raise AssertionError(f"a tensor of targets needs outputs (example, class), not {tuple(output.shape)}.")
        return output.gather(1, target.to(output.device).index_select(0, rows.example.to(output.device))[:, None])
    if isinstance(target, list):
        chosen = [target[number % request.examples] for number in range(rows.first, rows.first + len(rows))]
        return _select_targets(output, chosen).reshape(len(output), -1)
    return _select_targets(output, target).reshape(len(output), -1)
