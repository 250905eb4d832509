"""`KernelShap` in the place of `captum.attr.KernelShap`: all coalitions where they fit the budget, else some in pairs.

Attributions sum to the difference between the outputs on inputs and baselines by construction, up to rounding.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, SupportsIndex

import torch
from captum.attr import KernelShap as CaptumKernelShap
from torch.distributions import Categorical

from musiclime_torch.captum.coalitions import draw_coalitions, draw_seed, pick_chance, solve_coalitions, solve_every
from musiclime_torch.captum.lime import Lime, warn_of_few, widen
from musiclime_torch.captum.request import Lines, Request, join
from musiclime_torch.captum.rows import Plan, evaluate, plan_rows
from musiclime_torch.captum.surrogates import find_ridge, leave_fitted, mask_inputs
from musiclime_torch.surrogate.design import MOST_ENUMERATED, enumerate_masks, mask_ends, send


class KernelShap(Lime, CaptumKernelShap):
    """Captum's `KernelShap`, batched; `attribute` and `attribute_with_fit` are those of `Lime`.

    If all 2^components coalitions fit into `n_samples`, the values are exact and their standard errors zero. Otherwise the
    inputs, the baselines and pairs of complements are evaluated: enough of them make a second-order model exact. One sample
    counts as 2.

    Args:
        forward_func: Any callable Captum takes.
        seed: Draw the same coalitions in every call and for every example, and leave the global random state alone.
        generator: Draw from this CPU generator, in turn. With neither, from the global random state.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        *,
        seed: SupportsIndex | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        CaptumKernelShap.__init__(self, forward_func)
        self.from_interp_rep_transform = mask_inputs
        self.chance = pick_chance(seed, generator)

    def _explain(self, request: Request, n_samples: int, per_eval: int, show_progress: bool, judged: bool) -> Lines:
        if self._is_customised():
            return super()._explain(request, n_samples, per_eval, show_progress, judged)
        progress = f"{self.get_name()} attribution" if show_progress else None
        plan = plan_rows(self.forward_func, request, n_samples, per_eval, progress)
        plan = replace(plan, n_samples=max(plan.n_samples, 2))
        # With every coalition at hand the values are exact, and cheaper than any sample of that size.
        few = request.components <= MOST_ENUMERATED and 2**request.components <= plan.n_samples
        lines, outputs = self._explain_every(plan, judged) if few else self._explain_drawn(plan, judged)
        leave_fitted(self.interpretable_model, lines, outputs)
        return lines

    def _explain_every(self, plan: Plan, judged: bool) -> tuple[Lines, int]:
        masks = send(enumerate_masks(plan.request.components).masks, plan.request.device)
        outputs = evaluate(self.forward_func, widen(plan), masks[None])
        return solve_every(masks.to(outputs.device), outputs.flatten(1), judged), outputs.shape[2]

    def _explain_drawn(self, plan: Plan, judged: bool) -> tuple[Lines, int]:
        # Two of the samples are the inputs and the baselines: they fix intercept and sum. The rest are pairs of complements.
        components, pairs = plan.request.components, (plan.n_samples - 2) // 2
        if pairs < components - 1:
            warn_of_few(plan.n_samples, 2 * components, components)
        generator = self.chance.start()
        designs = [
            draw_coalitions(components, pairs, torch.Generator().manual_seed(draw_seed(generator)))
            for _ in range(1 if plan.summed or self.chance.shared else plan.request.examples)
        ]
        # The two ends come first, so that `solve_coalitions` finds them in every design.
        ends = mask_ends(components)
        drawn = [torch.cat([ends, design.masks]) for design in designs]
        masks = send(torch.stack(drawn) if len(drawn) > 1 else drawn[0][None], plan.request.device)
        outputs = evaluate(self.forward_func, widen(plan), masks)
        by_design = outputs.flatten(1)[None] if len(designs) == 1 else outputs.transpose(0, 1)
        solved = [
            solve_coalitions(design.to(outputs.device), answers, judged)
            for design, answers in zip(designs, by_design, strict=True)
        ]
        return join(solved), outputs.shape[2]

    def _is_customised(self) -> bool:
        """Whether anything but coalitions under Shapley's kernel and least squares was put in."""
        return (
            getattr(self.perturb_func, "__func__", None) is not CaptumKernelShap.kernel_shap_perturb_generator
            or getattr(self.similarity_func, "__func__", None) is not CaptumKernelShap.kernel_shap_similarity_kernel
            or self.from_interp_rep_transform is not mask_inputs
            or not self.perturb_interpretable_space
            or find_ridge(self.interpretable_model) != 0.0
        )

    def _arguments(self, components: int) -> dict[str, object]:
        # Captum draws a size s with weight (d − 1) / (s (d − s)), and then a coalition of that size.
        sizes = torch.arange(components, dtype=torch.float)
        chances = (components - 1) / (sizes * (components - sizes))
        chances[0] = 0.0
        return {"num_select_distribution": Categorical(chances)}
