"""`MusicLIME` as one more of Captum's attributions: same call, same shapes back, all examples and targets in one pass.

Where Captum's `Lime` fits a lasso to one target of one example at a time, this fits least squares to all of them, with
fold-over masks that every example shares. Distances, kernels and surrogates of one's own belong to Captum's class.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from captum._utils.common import (
    _expand_additional_forward_args,
    _format_additional_forward_args,
    _format_output,
    _is_tuple,
    _run_forward,
    _select_targets,
)
from captum.attr import PerturbationAttribution
from captum.attr._core.lime import construct_feature_mask
from captum.attr._utils.common import _format_input_baseline
from captum.log import log_usage
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from musiclime_torch.design import draw_foldover
from musiclime_torch.failures import InputError
from musiclime_torch.models.care import evaluating, keeping_random_states, module_behind
from musiclime_torch.solver import solve

Inputs = Tensor | tuple[Tensor, ...]
Baselines = Tensor | float | tuple[Tensor | float, ...] | None
#: One for all examples (number, or tuple into more dimensions), or one an example.
Target = int | tuple[int, ...] | Tensor | list[int] | list[tuple[int, ...]] | None


class MusicLIME(PerturbationAttribution):
    """Least-squares attributions of the parts of any inputs, for any callable that Captum takes.

    `seed` draws the masks; Python's, numpy's and torch's global random states are left as they were.
    """

    def __init__(self, forward_func: Callable[..., Any], seed: int = 0) -> None:
        super().__init__(forward_func)
        self.seed = seed

    @log_usage()  # type: ignore[untyped-decorator]  # Captum's decorator has no annotations
    @torch.no_grad()
    def attribute(
        self,
        inputs: Inputs,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object | None = None,
        feature_mask: Tensor | tuple[Tensor, ...] | None = None,
        n_samples: int = 1024,
        perturbations_per_eval: int = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
    ) -> Inputs:
        """Attribute the forward function's outputs to the components that `feature_mask` names.

        Arguments are those of `captum.attr.Lime`. `n_samples` is rounded up to whole fold-over blocks;
        `perturbations_per_eval` is the number of rows in one forward. On an additive model the result is
        coefficient × (input − baseline), up to rounding.

        Returns:
            Tensors shaped like the inputs (one row for a forward that gives one number per batch), or
            (example, component) with `return_input_shape=False`. Where no target is given for several outputs, all are
            attributed at once: rows are examples × outputs, example-major, as `FeatureAblation` gives them.
        """
        with keeping_random_states(), evaluating(module_behind(self.forward_func)):
            tensors, stand_ins = _format_input_baseline(inputs, baselines)
            owners, count = construct_feature_mask(feature_mask, tensors)
            pairs = zip(owners, tensors, strict=True)
            owners = tuple(owner[None] if owner.dim() == tensor.dim() - 1 else owner for owner, tensor in pairs)
            extra = _format_additional_forward_args(additional_forward_args)
            rows = _Rows(self.forward_func, tensors, stand_ins, owners, count, _settle_target(target, tensors[0]), extra)
            design = draw_foldover(count, n_samples, self.seed).to(tensors[0].device)
            outputs = self._evaluate(rows, design.masks, perturbations_per_eval, show_progress)
            fit = solve(design, outputs.flatten(1), ridge=0.0)
        if not bool(torch.isfinite(fit.coefficients).all()):
            raise InputError(
                "the forward function returned NaN or infinity for some perturbed inputs: choose baselines that it "
                "has finite outputs for."
            )
        # (examples × outputs, component)
        slopes = fit.coefficients.T.contiguous().to(torch.float32)
        if not return_input_shape:
            return slopes
        shaped = tuple(_spread(slopes, owner, tensor) for owner, tensor in zip(owners, tensors, strict=True))
        return _format_output(_is_tuple(inputs), shaped)

    def _evaluate(
        self, rows: "_Rows", masks: Bool[Tensor, "n component"], per_eval: int, show_progress: bool
    ) -> Float[Tensor, "n example output"]:
        """Every example under every mask, `per_eval` rows a forward; one "example" for a scalar per batch."""
        n, examples = len(masks), rows.tensors[0].shape[0]
        whole = examples > 1 and rows.gives_one_number()
        if whole and per_eval > 1:
            raise AssertionError(
                f"perturbations_per_eval={per_eval} must be 1 for a forward function that gives one number per batch."
            )
        step, total = (examples, n * examples) if whole else (max(per_eval, 1), n * examples)
        outputs: Tensor | None = None
        done = 0
        with tqdm(
            total=math.ceil(total / step), desc=f"{self.get_name()} attribution", disable=not show_progress, file=sys.stderr
        ) as bar:
            for start in range(0, total, step):
                batch = rows.forward(masks, start, min(start + step, total), whole)
                if outputs is None:
                    kind = torch.promote_types(batch.dtype, torch.float32)
                    outputs = batch.new_empty(n * (1 if whole else examples), batch.shape[1], dtype=kind)
                outputs[done : done + len(batch)] = batch
                done += len(batch)
                bar.update()
        assert outputs is not None, "a design has at least one block"
        return outputs.unflatten(0, (n, -1))

    def attribute_future(self) -> None:
        """Not offered, as with Captum's own Lime."""
        raise NotImplementedError("MusicLIME does not support attribution of future samples.")

    def has_convergence_delta(self) -> bool:
        """There is none."""
        return False

    @property
    def multiplies_by_inputs(self) -> bool:
        """False, as with Captum's own Lime: there is nothing to switch."""
        return False

    @classmethod
    def get_name(cls) -> str:
        """The name progress bars show."""
        return cls.__name__


class _Rows:
    """Rows numbered mask-major: row r is example r % examples under mask r // examples."""

    def __init__(
        self,
        forward_func: Callable[..., Any],
        tensors: tuple[Tensor, ...],
        baselines: tuple[Tensor | float, ...],
        owners: tuple[Int[Tensor, "..."], ...],
        count: int,
        target: Target,
        extra: tuple[Any, ...] | None,
    ) -> None:
        self.forward_func, self.tensors, self.baselines = forward_func, tensors, baselines
        self.owners, self.target, self.extra = owners, target, extra
        # Elements that are components one by one need no look-up: the mask is their mask.
        self.plain = [
            owner.shape[0] == 1 and torch.equal(owner.flatten(), torch.arange(count, device=owner.device))
            for owner in owners
        ]

    def gives_one_number(self) -> bool:
        """Whether the forward function sums its batch up; asks it once, on the inputs themselves."""
        output = _run_forward(self.forward_func, self.tensors, None, self.extra)
        return not isinstance(output, Tensor) or output.dim() == 0 or output.shape[0] == 1

    def forward(self, masks: Bool[Tensor, "n component"], start: int, end: int, whole: bool) -> Float[Tensor, "row output"]:
        """Outputs of rows `start` to `end`, flattened; a single row where the forward sums its batch up (`whole`)."""
        examples = self.tensors[0].shape[0]
        numbers = torch.arange(start, end, device=masks.device)
        example = numbers % examples
        kept = masks[start:end] if examples == 1 else masks.index_select(0, numbers // examples)
        altered = tuple(
            _replace(tensor, baseline, _look_up(kept, owner, plain, example), example)
            for tensor, baseline, owner, plain in zip(self.tensors, self.baselines, self.owners, self.plain, strict=True)
        )
        output = _run_forward(self.forward_func, altered, None, self._pick_extra(example, end - start))
        if not isinstance(output, Tensor):
            output = torch.tensor([output], dtype=torch.float64, device=masks.device)
        if not whole or output.dim() > 1:
            output = self._select(output, range(start, end), example)
        count = 1 if whole else end - start
        if output.numel() == 0 or (output.shape[0] if output.dim() else 1) != count:
            raise AssertionError(
                f"the forward function returned shape {tuple(output.shape)} for {end - start} rows: it must give one row "
                f"of outputs per example, or one number per batch (with perturbations_per_eval=1)."
            )
        return output.reshape(count, -1)

    def _pick_extra(self, example: Int[Tensor, " row"], count: int) -> tuple[Any, ...] | None:
        """Additional arguments with one row per example follow their example, others are handed on (Captum's rule)."""
        examples = self.tensors[0].shape[0]
        if self.extra is None or examples == 1:
            return _expand_additional_forward_args(self.extra, count)
        return tuple(
            arg.index_select(0, example) if isinstance(arg, Tensor) and arg.dim() and len(arg) == examples else arg
            for arg in self.extra
        )

    def _select(self, output: Tensor, numbers: range, example: Int[Tensor, " row"]) -> Tensor:
        if isinstance(self.target, Tensor):
            if output.dim() != 2:
                raise AssertionError(f"a tensor of targets needs outputs (example, class), not {tuple(output.shape)}.")
            return output.gather(1, self.target.index_select(0, example)[:, None])
        if isinstance(self.target, list):
            chosen = [self.target[number % self.tensors[0].shape[0]] for number in numbers]
            return _select_targets(output, chosen)
        return _select_targets(output, self.target)


def _settle_target(target: Target, tensor: Tensor) -> Target:
    """One number as an int, one a example as a tensor on the device: nothing is read from the device later."""
    examples = tensor.shape[0]
    if isinstance(target, Tensor) and target.numel() == 1:
        return int(target.item())
    if isinstance(target, list) and all(isinstance(item, int) for item in target):
        target = torch.tensor(target)
    if isinstance(target, Tensor | list) and len(target) != examples:
        raise AssertionError(f"{len(target)} targets were given for {examples} examples.")
    return target.to(tensor.device, torch.long) if isinstance(target, Tensor) else target


def _look_up(
    kept: Bool[Tensor, "row component"], owner: Int[Tensor, "..."], plain: bool, example: Int[Tensor, " row"]
) -> Bool[Tensor, "..."]:
    """Which elements of each row keep their own value: row-major, shaped like the feature mask of one example."""
    owner = owner.to(kept.device)
    if plain:
        keep = kept
    elif owner.shape[0] == 1:
        keep = kept.index_select(1, owner.flatten())
    else:
        keep = kept.gather(1, owner.flatten(1).index_select(0, example))
    return keep.reshape(len(kept), *owner.shape[1:])


def _replace(tensor: Tensor, baseline: Tensor | float, keep: Bool[Tensor, "..."], example: Int[Tensor, " row"]) -> Tensor:
    """Inputs of the rows, each element its own or its baseline's: `where`, so that an infinite baseline stays harmless."""
    own = tensor if tensor.shape[0] == 1 else tensor.index_select(0, example)
    if isinstance(baseline, Tensor) and baseline.shape[0] > 1:
        baseline = baseline.index_select(0, example)
    return torch.where(keep, own, baseline)


def _spread(slopes: Float[Tensor, "row component"], owner: Int[Tensor, "..."], tensor: Tensor) -> Tensor:
    """Slopes at the elements of their components. Rows are examples × outputs, or fewer where a batch was summed up."""
    owner = owner.to(slopes.device)
    examples = tensor.shape[0]
    if owner.shape[0] == 1 or len(slopes) % examples:
        spread = slopes[:, owner[0]]
    else:
        each = slopes.unflatten(0, (examples, -1))
        where = owner.flatten(1)[:, None].expand(-1, each.shape[1], -1)
        spread = each.gather(2, where).flatten(0, 1).unflatten(1, owner.shape[1:])
    return spread.expand(len(slopes), *tensor.shape[1:]).contiguous()
