"""`MusicLIME` as one more of Captum's attributions: same call, same shapes back, all examples and targets in one pass.

Where Captum's `Lime` fits a lasso to one target of one example at a time, this fits least squares to all of them, with
fold-over masks that every example shares. Custom distances, kernels and surrogates belong to `Lime`.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex

import torch
from captum.attr import PerturbationAttribution
from torch import Tensor

from musiclime_torch.basics.arguments import read_integer
from musiclime_torch.captum.request import Baselines, Inputs, Target, hand_back, log_call, read_request, refuse_infinite
from musiclime_torch.captum.rows import evaluate, plan_rows
from musiclime_torch.models.care import evaluating, keeping_random_states, module_behind
from musiclime_torch.surrogate.blocks import draw_foldover
from musiclime_torch.surrogate.solver import solve


class MusicLIME(PerturbationAttribution):
    """Least-squares attributions of the parts of any inputs, for any callable that Captum takes.

    `seed` draws the masks; Python's, numpy's and torch's global random states are left as they were.
    """

    def __init__(self, forward_func: Callable[..., Any], seed: SupportsIndex = 0) -> None:
        super().__init__(forward_func)
        self.seed = read_integer(seed, "seed")

    # Outside of no_grad, as in `Lime`.
    @log_call()
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

        Raises:
            InputError: `n_samples` is not a whole number of at least 1, or an output was NaN or infinite.
            AssertionError: as from Captum: the number of targets or outputs differs from that of the examples, or several
                rows a forward were requested of a function that gives one number per batch.
        """
        # Models may draw (dropout that is always on, say): the caller's states are theirs again afterwards.
        with keeping_random_states(), evaluating(module_behind(self.forward_func)):
            request = read_request(inputs, baselines, target, additional_forward_args, feature_mask)
            progress = f"{self.get_name()} attribution" if show_progress else None
            plan = plan_rows(self.forward_func, request, n_samples, perturbations_per_eval, progress)
            design = draw_foldover(request.components, plan.n_samples, self.seed).to(request.device)
            outputs = evaluate(self.forward_func, plan, design.masks[None])
            fit = solve(design, outputs.flatten(1), ridge=0.0)
        refuse_infinite(fit.coefficients.values)
        return hand_back(fit.coefficients.values, request, return_input_shape)

    def attribute_future(self) -> None:
        """Not offered, as with Captum's own Lime."""
        # Captum's base class declares the name and defines nothing; this is what its own Lime raises, and its contract.
        raise NotImplementedError("MusicLIME does not support attribution of future samples.")

    def has_convergence_delta(self) -> bool:
        """False: there is no convergence delta."""
        return False

    @property
    def multiplies_by_inputs(self) -> bool:
        """False, as with Captum's own Lime: there is nothing to switch."""
        return False

    @classmethod
    def get_name(cls) -> str:
        """The name progress bars show."""
        return cls.__name__
