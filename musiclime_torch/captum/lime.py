"""`Lime` in the place of `captum.attr.Lime`: the same call, solved in closed form for all examples and outputs at once.

With a surrogate given, everything is exactly as in Captum, masks and random numbers included. Without one, the fit
differs on purpose: weighted least squares in place of a lasso, whose penalty sets small attributions to zero; a
kernel on masks (`MaskKernel`) in place of one on the values of inputs; and the inputs themselves as the first sample.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, SupportsIndex

import torch
from captum._utils.models.model import Model
from captum.attr import Lime as CaptumLime
from captum.attr._core.lime import default_perturb_func
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from musiclime_torch.captum.coalitions import draw_masks, pick_chance, skip_fit_draws
from musiclime_torch.captum.least_squares import fit_lines
from musiclime_torch.captum.request import (
    Baselines,
    Explained,
    Inputs,
    Lines,
    Request,
    Target,
    hand_back,
    join,
    log_call,
    read_request,
    refuse_infinite,
    report,
)
from musiclime_torch.captum.rows import Plan, evaluate, plan_rows
from musiclime_torch.captum.surrogates import (
    Kernel,
    LeastSquares,
    MaskKernel,
    Samples,
    find_ridge,
    hand_over,
    leave_fitted,
    mask_inputs,
    recognise,
    sample_by_calls,
    weigh,
)
from musiclime_torch.surrogate.design import send


class Lime(CaptumLime):
    """Captum's `Lime`, batched. Arguments before `seed` are Captum's.

    Args:
        forward_func: Any callable Captum takes.
        interpretable_model: A surrogate of Captum's. Least squares and ridge regressions are solved here, for all examples
            and outputs; any other is fitted by itself, to the data Captum would give it. None: least squares.
        similarity_func: The weight of a sample. Captum's exponential kernels and `MaskKernel` are computed for all
            samples at once, others are called sample by sample. None: Captum's default where a surrogate is given,
            else `MaskKernel()`.
        perturb_func: Captum's way to draw samples; one of your own is called sample by sample.
        seed: Draw the same masks in every call and for every example, and leave the global random state alone. With common
            random numbers two calls differ by their inputs only.
        generator: Draw from this CPU generator, in turn. With neither, from the global random state, as Captum.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        interpretable_model: Model | None = None,
        similarity_func: Callable[..., Any] | None = None,
        perturb_func: Callable[..., Any] | None = None,
        *,
        seed: SupportsIndex | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        # Captum's default surrogate is a lasso with alpha 0.01, which has no closed form and sets small attributions to zero
        # in the units of the output. Ours is least squares, unless a surrogate is given.
        if interpretable_model is None:
            interpretable_model = LeastSquares()
            similarity_func = similarity_func or MaskKernel()
        CaptumLime.__init__(self, forward_func, interpretable_model, similarity_func, perturb_func)
        self.from_interp_rep_transform = mask_inputs
        self.chance = pick_chance(seed, generator)

    # Captum's own wrapper, outside of no_grad: its NoiseTunnel calls `attribute.__wrapped__`, which must still be without
    # gradients.
    @log_call(part_of_slo=True)
    @torch.no_grad()
    def attribute(
        self,
        inputs: Inputs,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object | None = None,
        feature_mask: Tensor | tuple[Tensor, ...] | None = None,
        n_samples: int = 25,
        perturbations_per_eval: int = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
    ) -> Inputs:
        """Attribute outputs to components; arguments and shapes are those of `captum.attr.Lime`.

        All examples go through the model together: a forward has `perturbations_per_eval` rows, or one of each example
        where that is more. Where no target is given for several outputs, all are attributed at once: rows are examples ×
        outputs, example-major, as `FeatureAblation` gives them.

        Raises:
            InputError: `n_samples` is not a whole number of at least 1, or an output or a weight was NaN or infinite.
            AssertionError: as from Captum: the number of targets or outputs differs from that of the examples, or several
                rows a forward were requested of a function that gives one number per batch.
        """
        request = read_request(inputs, baselines, target, additional_forward_args, feature_mask)
        lines = self._explain(request, n_samples, perturbations_per_eval, show_progress, judged=False)
        refuse_infinite(lines.coefficients)
        return hand_back(lines.coefficients, request, return_input_shape)

    @torch.no_grad()
    def attribute_with_fit(
        self,
        inputs: Inputs,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object | None = None,
        feature_mask: Tensor | tuple[Tensor, ...] | None = None,
        n_samples: int = 25,
        perturbations_per_eval: int = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
    ) -> Explained:
        """The attributions with their standard errors, intercept and fidelity; nothing is kept on the object.

        Raises:
            InputError: as `attribute`.
            AssertionError: as `attribute`.
        """
        request = read_request(inputs, baselines, target, additional_forward_args, feature_mask)
        lines = self._explain(request, n_samples, perturbations_per_eval, show_progress, judged=True)
        return report(lines, request, return_input_shape)

    def _explain(self, request: Request, n_samples: int, per_eval: int, show_progress: bool, judged: bool) -> Lines:
        progress = f"{self.get_name()} attribution" if show_progress else None
        plan = plan_rows(self.forward_func, request, n_samples, per_eval, progress)
        if plan.n_samples <= request.components:
            warn_of_few(plan.n_samples, request.components + 1, request.components)
        # Two paths: what is known in closed form goes through shared forwards and one solve; anything that only calling it
        # can reveal (a similarity, a surrogate, a way to draw) is treated example by example, as Captum does.
        kernel, ridge = recognise(self.similarity_func), find_ridge(self.interpretable_model)
        if kernel is not None and ridge is not None and not self._is_customised():
            return self._explain_together(plan, kernel, ridge, judged)
        parts = []
        for part in [request] if plan.summed else request.split():
            with self.chance.governing():
                parts.append(self._explain_apart(replace(plan, request=part), kernel, ridge, judged))
        return join(parts)

    def _explain_together(self, plan: Plan, kernel: Kernel, ridge: float, judged: bool) -> Lines:
        """All examples, in shared forwards and one solve."""
        request, generator = plan.request, self.chance.start()
        drawn = []
        for _ in range(1 if plan.summed or self.chance.shared else request.examples):
            drawn.append(self._draw(plan, generator))
            # Captum's surrogates draw from the global generator while they are fitted. Skipping as many draws keeps the
            # samples of the next example, and whatever the caller draws later, the same as with Captum.
            if self.chance.is_global:
                skip_fit_draws(request.components)
        masks = send(torch.stack(drawn) if len(drawn) > 1 else drawn[0][None], request.device)
        outputs = evaluate(self.forward_func, widen(plan), masks)
        lines = fit_lines(*match_designs(masks, weigh(kernel, request, masks, plan.summed), outputs), ridge, judged)
        leave_fitted(self.interpretable_model, lines, outputs.shape[2])
        return lines

    def _explain_apart(self, plan: Plan, kernel: Kernel | None, ridge: float | None, judged: bool) -> Lines:
        """One example, for surrogates and callables that take no more."""
        if kernel is None or self._is_customised():
            samples = sample_by_calls(self, plan, self._arguments(plan.request.components))
        else:
            masks = send(self._draw(plan, self.chance.start()), plan.request.device)
            outputs = evaluate(self.forward_func, plan, masks[None])[:, 0]
            samples = Samples(masks, weigh(kernel, plan.request, masks[None], plan.summed)[0], outputs)
        if ridge is None or not samples.are_masks():
            return hand_over(self.interpretable_model, samples)
        if self.chance.is_global:
            skip_fit_draws(plan.request.components)
        masks, weights, outputs = (part[None] for part in (samples.rows > 0, samples.weights, samples.outputs))
        lines = fit_lines(*gather(masks, weights, outputs), ridge, judged)
        leave_fitted(self.interpretable_model, lines, outputs.shape[2])
        return lines

    def _draw(self, plan: Plan, generator: torch.Generator | None) -> Bool[Tensor, "n component"]:
        masks = draw_masks(plan.n_samples, plan.request.components, generator)
        # The inputs themselves are the first sample of our default: LIME weighs its samples by their distance from them.
        # With a surrogate of the caller's, samples are Captum's to the letter.
        if type(self.interpretable_model) is LeastSquares:
            masks[0] = True
        return masks

    def _is_customised(self) -> bool:
        """Whether samples are drawn or made in a way that is known only by calling it."""
        return (
            self.perturb_func is not default_perturb_func
            or self.from_interp_rep_transform is not mask_inputs
            or not self.perturb_interpretable_space
        )

    def _arguments(self, components: int) -> dict[str, object]:
        """Arguments of callables besides Captum's usual ones."""
        return {}


def widen(plan: Plan) -> Plan:
    """A forward gets at least one row of each example: the inputs themselves had as many rows."""
    return replace(plan, per_eval=max(plan.per_eval, plan.request.examples))


def gather(
    masks: Bool[Tensor, "design n component"], weights: Float[Tensor, "design n"], outputs: Shaped[Tensor, "design n output"]
) -> tuple[Bool[Tensor, "design n component"], Float[Tensor, "design n"], Shaped[Tensor, "design n output"]]:
    """All three on the device of the outputs, which is the model's."""
    return masks.to(outputs.device), weights.to(outputs.device), outputs


def match_designs(
    masks: Bool[Tensor, "design n component"], weights: Float[Tensor, "some n"], outputs: Float[Tensor, "n example output"]
) -> tuple[Bool[Tensor, "one n component"], Float[Tensor, "one n"], Float[Tensor, "one n out"]]:
    """Designs with their weights and outputs: examples with the same masks and weights become outputs of one design."""
    # One design with one set of weights has one factorisation: examples × outputs become its right-hand sides.
    if len(masks) == len(weights) == 1:
        return gather(masks, weights, outputs.flatten(1)[None])
    examples = outputs.shape[1]
    return gather(masks.expand(examples, -1, -1), weights.expand(examples, -1), outputs.transpose(0, 1))


def warn_of_few(n_samples: int, least: int, components: int) -> None:
    """Warn of fewer samples than unknowns: infinitely many attributions fit, and one of them is returned."""
    warnings.warn(
        f"n_samples={n_samples} can't tell {components} components apart: of all attributions that fit, the smallest are "
        f"given; ask for at least {least}, or group elements with feature_mask.",
        stacklevel=6,
    )
