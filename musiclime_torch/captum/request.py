"""What an `attribute` call asks, and what it gets: inputs, components and outputs; attributions with their fits."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from captum._utils.common import _format_additional_forward_args, _format_output, _is_tuple
from captum.attr._core.lime import construct_feature_mask
from captum.attr._utils.batching import _batch_example_iterator
from captum.attr._utils.common import _format_input_baseline
from captum.log import log_usage
from jaxtyping import Float, Int
from torch import Tensor

from musiclime_torch.basics.errors import InputError

Inputs = Tensor | tuple[Tensor, ...]
Baselines = Tensor | float | tuple[Tensor | float, ...] | None
#: One for all examples (a number, or a tuple into more dimensions), or one per example.
Target = int | tuple[int, ...] | Tensor | list[int] | list[tuple[int, ...]] | None

#: The surrogate holds a matrix of components × components in float64: 800 MB here.
MANY = 10_000


Call = TypeVar("Call", bound=Callable[..., Any])


def log_call(part_of_slo: bool = False) -> Callable[[Call], Call]:
    """Captum's own wrapper of its methods, with the annotations that it lacks."""
    wrap: Callable[[Call], Call] = log_usage(part_of_slo=part_of_slo)
    return wrap


@dataclass(frozen=True)
class Request:
    """Inputs, baselines and owners are tuples of the same length, whatever the caller gave; `as_tuple` says what it was.

    An owner holds the component of each element: shaped like its input, with one row for all examples or one each.
    `plain` says that the elements are the components, one by one, so that nothing needs to be looked up.
    """

    inputs: tuple[Tensor, ...]
    baselines: tuple[Tensor | float, ...]
    owners: tuple[Int[Tensor, "..."], ...]
    components: int
    plain: bool
    target: Target
    extra: tuple[Any, ...] | None
    as_tuple: bool

    @property
    def examples(self) -> int:
        """Number of examples."""
        return self.inputs[0].shape[0]

    @property
    def device(self) -> torch.device:
        """Where the inputs are, and where attributions go."""
        return self.inputs[0].device

    def split(self) -> Iterator["Request"]:
        """A request for each example, as Captum cuts them."""
        cut = _batch_example_iterator(self.examples, self.inputs, self.baselines, self.owners, self.target, self.extra)
        for inputs, baselines, owners, target, extra in cut:
            yield replace(
                self, inputs=inputs, baselines=baselines, owners=owners, target=settle_target(target, inputs[0]), extra=extra
            )

    def spread(self, values: Float[Tensor, "row component"]) -> Inputs:
        """Values at the elements of their components, in the form of the inputs."""
        pairs = zip(self.owners, self.inputs, strict=True)
        return _format_output(self.as_tuple, tuple(_spread(values, owner, tensor) for owner, tensor in pairs))


def read_request(
    inputs: Inputs,
    baselines: Baselines,
    target: Target,
    additional_forward_args: object,
    feature_mask: Tensor | tuple[Tensor, ...] | None,
) -> Request:
    """The arguments of an `attribute` call, checked and in one form. What Captum warns of or refuses, this does too."""
    tensors, stand_ins = _format_input_baseline(inputs, baselines)
    owners, components = construct_feature_mask(feature_mask, tensors)
    if components > MANY:
        warnings.warn(
            f"{components} components make a large surrogate: group elements into fewer with feature_mask.", stacklevel=5
        )
    pairs = list(zip(owners, tensors, strict=True))
    # Captum takes masks without the batch axis; here every owner has one, of length 1 where all examples share it.
    owners = tuple(owner[None] if owner.dim() == tensor.dim() - 1 else owner for owner, tensor in pairs)
    plain = len(tensors) == 1 and (feature_mask is None or _counts_up(owners[0], components))
    return Request(
        tensors,
        stand_ins,
        owners,
        components,
        plain,
        settle_target(target, tensors[0]),
        _format_additional_forward_args(additional_forward_args),
        _is_tuple(inputs),
    )


def settle_target(target: Target, tensor: Tensor) -> Target:
    """One number as an int, one a example as a tensor on the device: so nothing is read from the device later."""
    examples = tensor.shape[0]
    # The one read of a device in a call, here at its start: later ones would make the host wait for every batch.
    if isinstance(target, Tensor) and target.numel() == 1:
        return int(target.item())
    if isinstance(target, list) and all(isinstance(item, int) for item in target):
        target = torch.tensor(target)
    if isinstance(target, Tensor | list) and len(target) != examples:
        raise AssertionError(f"{len(target)} targets were given for {examples} examples.")
    return target.to(tensor.device, torch.long) if isinstance(target, Tensor) else target


def _counts_up(owner: Int[Tensor, "..."], components: int) -> bool:
    """Whether a mask only numbers the elements; a mask on a GPU isn't looked at, for that would wait for it."""
    return (
        owner.device.type == "cpu"
        and owner.shape[0] == 1
        and owner.numel() == components
        and torch.equal(owner.flatten(), torch.arange(components))
    )


def _spread(values: Float[Tensor, "row component"], owner: Int[Tensor, "..."], tensor: Tensor) -> Tensor:
    """Values at the elements of their components. Rows are examples × outputs, or fewer where a batch was summed up."""
    # A mask for all examples indexes once. One per example needs a gather for each of its outputs.
    owner = owner.to(values.device)
    examples = tensor.shape[0]
    if owner.shape[0] == 1 or len(values) % examples:
        spread = values[:, owner[0]]
    else:
        each = values.unflatten(0, (examples, -1))
        where = owner.flatten(1)[:, None].expand(-1, each.shape[1], -1)
        spread = each.gather(2, where).flatten(0, 1).unflatten(1, owner.shape[1:])
    return spread.expand(len(values), *tensor.shape[1:]).contiguous()


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


def hand_back(values: Float[Tensor, "row component"], request: Request, return_input_shape: bool) -> Inputs:
    """Values in the form of the inputs, or a column a component; in float32, which Captum's attributions have, and on their
    device.
    """
    values = values.to(request.device, torch.float32).contiguous()
    return request.spread(values) if return_input_shape else values


def report(lines: Lines, request: Request, return_input_shape: bool) -> Explained:
    """Lines in the form of the inputs; InputError if a coefficient is NaN or infinite."""
    refuse_infinite(lines.coefficients)
    return Explained(
        hand_back(lines.coefficients, request, return_input_shape),
        hand_back(lines.standard_errors, request, return_input_shape),
        hand_back(lines.degrees_of_freedom, request, return_input_shape),
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
