"""Attributions with the fits they come from, and how well both are known."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.captum.request import Inputs, Request


@dataclass(frozen=True)
class Lines:
    """Straight surrogates, one a row (examples × outputs, example-major), in float64 where they were solved in closed form.

    `standard_errors` and `degrees_of_freedom` are NaN where they are unknown: for surrogates without a closed form, with no
    more masks than components, or if they weren't asked for.
    """

    coefficients: Float[Tensor, "row component"]
    intercept: Float[Tensor, " row"]
    fidelity: Float[Tensor, " row"]
    standard_errors: Float[Tensor, "row component"]
    degrees_of_freedom: Float[Tensor, "row component"]


@dataclass(frozen=True)
class Explained:
    """What `attribute_with_fit` returns: the attributions as `attribute` gives them, and the fit they come from.

    `standard_errors` and `degrees_of_freedom` have the form of the attributions; a 95% interval is attribution ± t ·
    standard error with the t quantile of the degrees of freedom. `intercept` is the surrogate's value with every component
    off, `fidelity` its weighted R² over the variants, both one a row of the attributions. NaN stands for what isn't known.
    """

    attributions: Inputs
    standard_errors: Inputs
    degrees_of_freedom: Inputs
    intercept: Float[Tensor, " row"]
    fidelity: Float[Tensor, " row"]


def unknown(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """NaN in the shape of `values`."""
    return torch.full_like(values, torch.nan)


def join(parts: list[Lines]) -> Lines:
    """The rows of several fits, one after another."""
    names = ("coefficients", "intercept", "fidelity", "standard_errors", "degrees_of_freedom")
    return parts[0] if len(parts) == 1 else Lines(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def report(lines: Lines, request: Request, return_input_shape: bool) -> Explained:
    """Lines in the form of the inputs, in float32 and on their device; InputError if a coefficient is NaN or infinite."""
    refuse_infinite(lines.coefficients)

    def give(values: Float[Tensor, "row component"]) -> Inputs:
        # Solved in float64; given in float32, which is what Captum's attributions have.
        values = values.to(request.device, torch.float32).contiguous()
        return request.spread(values) if return_input_shape else values

    return Explained(
        give(lines.coefficients),
        give(lines.standard_errors),
        give(lines.degrees_of_freedom),
        lines.intercept.to(request.device),
        lines.fidelity.to(request.device),
    )


def refuse_infinite(coefficients: Float[Tensor, "*shape"]) -> None:
    """InputError if the model, or a similarity, gave NaN or infinity."""
    if not bool(torch.isfinite(coefficients).all()):
        raise InputError(
            "the forward function, or a similarity of values, was NaN or infinity for some perturbed inputs: choose "
            "baselines that it is finite for (the similarity MaskKernel() looks at no values)."
        )
