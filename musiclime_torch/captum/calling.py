"""Samples drawn and weighed by callables of the caller's own, one at a time, as Captum calls them; the slower path."""

import warnings
from typing import Any

import torch
from captum._utils.common import _format_output, _is_tuple, _reduce_list
from captum.attr import Lime as CaptumLime
from torch import Tensor

from musiclime_torch.captum.request import Inputs
from musiclime_torch.captum.rows import Plan, Rows, run_rows, watch
from musiclime_torch.captum.surrogates import Samples


def mask_inputs(curr_sample: Tensor, original_inputs: Inputs, **given: Any) -> Inputs:
    """Captum's `from_interp_rep_transform`, by `where`: an infinite baseline doesn't spoil what it isn't used for."""
    parts = (original_inputs, given["feature_mask"], given["baselines"])
    columns = zip(*(part if _is_tuple(original_inputs) else (part,) for part in parts), strict=True)
    altered = tuple(torch.where(curr_sample[0][owner].bool(), own, baseline) for own, owner, baseline in columns)
    return _format_output(_is_tuple(original_inputs), altered)


def sample_by_calls(explainer: CaptumLime, plan: Plan, more: dict[str, object]) -> Samples:
    """Samples of one example (of all, where a batch is `summed`) from an explainer's own `perturb_func`, `similarity_func`
    and transforms, which are called in Captum's order and with its arguments; `more` are further ones.
    """
    request = plan.request
    parts = (request.inputs, request.baselines, request.owners)
    inputs, baselines, owners = (part if request.as_tuple else part[0] for part in parts)
    given = {"baselines": baselines, "feature_mask": owners, "num_interp_features": request.components, **more}
    draw = explainer._get_perturb_generator_func(inputs, **given)
    rows: list[Tensor] = []
    weights: list[Tensor] = []
    outputs: list[Tensor] = []
    waiting: list[Inputs] = []
    with watch(plan, plan.n_samples, plan.per_eval) as bar:
        for number in range(plan.n_samples):
            try:
                row, altered = draw()
            except StopIteration:
                warnings.warn(f"the samples ended after {number} of {plan.n_samples}.", stacklevel=6)
                break
            rows.append(row)
            weight = explainer.similarity_func(inputs, altered, row, **given)
            weights.append(torch.as_tensor(weight, device=request.device).flatten())
            waiting.append(altered)
            if len(waiting) == plan.per_eval:
                outputs.append(_ask_waiting(explainer, plan, waiting))
                waiting = []
                bar.update()
        if waiting:
            outputs.append(_ask_waiting(explainer, plan, waiting))
            bar.update()
    return Samples(torch.cat(rows), torch.cat(weights), torch.cat(outputs))


def _ask_waiting(explainer: CaptumLime, plan: Plan, waiting: list[Inputs]) -> Tensor:
    request, altered = plan.request, _reduce_list(waiting)
    count = request.examples if plan.summed else len(waiting)
    rows = Rows(0, torch.arange(count, device=request.device) % request.examples, plan.summed)
    return run_rows(explainer.forward_func, request, altered if request.as_tuple else (altered,), rows)
