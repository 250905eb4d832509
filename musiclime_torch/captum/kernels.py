"""Similarity functions: how much a variant counts. The usual ones are known as formulas, others are called row by row.

Captum's own kernel measures its distance on the values of the inputs, where a loud passage or a large token id decides.
`MaskKernel` measures on masks. Both are evaluated for all rows at once; anything else is called as Captum calls it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from captum.attr._core import lime as captum_lime
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.captum.request import Request
from musiclime_torch.surrogate.sampling import weigh_by_proximity

#: Of an element's own value and its baseline's.
Element = Callable[[Tensor, Tensor], Tensor]

#: torch's cosine similarity keeps norms above this.
SMALLEST_NORM = 1e-8


@dataclass(frozen=True)
class MaskKernel:
    """exp(−distance² / (2 · kernel_width²)) with the cosine distance of a mask from the all-on one; a `similarity_func`.

    >>> MaskKernel()(None, None, torch.tensor([[1, 1, 0, 0]]))
    0.958...
    """

    kernel_width: float = 1.0

    def __call__(self, original: object, perturbed: object, mask: Tensor, **rest: object) -> float:
        """The weight of one sample, as Captum asks for it."""
        return float(self.weigh(mask > 0)[0])

    def weigh(self, masks: Bool[Tensor, "n component"]) -> Float[Tensor, " n"]:
        """Weights of many masks."""
        return weigh_by_proximity(masks, self.kernel_width)


@dataclass(frozen=True)
class ValueKernel:
    """What `captum.attr.lime.get_exp_kernel_similarity_function(distance_mode, kernel_width)` computes."""

    distance_mode: str
    kernel_width: float

    def weigh(self, request: Request, masks: Bool[Tensor, "design n component"], summed: bool) -> Float[Tensor, "example n"]:
        """Weights of every example's masks, from sums over each component's elements: n × components, never n × elements.

        A squared distance, a squared norm and a product of a variant with the inputs are each a sum over the components
        that are on and one over those that are off. Float64 throughout; Captum's float32 differs in the seventh digit.
        """
        # An element of a variant is its own value x where its component's z is 1, and the baseline's y where it is 0. Any
        # sum over elements of g(variant) therefore splits by component c:
        #     Σ_e g = Σ_c z_c Σ_{e in c} g(x_e) + (1 − z_c) Σ_{e in c} g(y_e),
        # and the inner sums don't depend on the mask. Squared distance, squared norm and dot product have this form.
        on = masks.view(torch.int8).double()

        def add(kept: Element, replaced: Element) -> Float[Tensor, "example n"]:
            own, other = (_sum_up(request, element, summed)[:, :, None] for element in (kept, replaced))
            return (on @ own + (1 - on) @ other)[..., 0]

        if self.distance_mode == "euclidean":
            square = add(lambda x, y: torch.zeros_like(x), lambda x, y: (x - y).square())
        else:
            norm = add(lambda x, y: x * x, lambda x, y: y * y).sqrt().clamp_min(SMALLEST_NORM)
            own = _sum_up(request, lambda x, y: x * x, summed).sum(1, keepdim=True).sqrt().clamp_min(SMALLEST_NORM)
            square = (1 - add(lambda x, y: x * x, lambda x, y: x * y) / (own * norm)).square()
        return torch.exp(-square / (2 * self.kernel_width**2))


Kernel = MaskKernel | ValueKernel


def recognise(similarity: Callable[..., Any]) -> Kernel | None:
    """The formula behind a similarity function; None for one that isn't recognised."""
    if isinstance(similarity, MaskKernel):
        return similarity
    made_by = captum_lime.get_exp_kernel_similarity_function
    if getattr(similarity, "__qualname__", "") != f"{made_by.__qualname__}.<locals>.default_exp_kernel":
        return None
    if getattr(similarity, "__module__", "") != made_by.__module__:
        return None
    # Captum makes its kernels as closures, without a class or attributes to recognise them by: name, module and variables
    # of the closure are all there is.
    held = inspect.getclosurevars(similarity).nonlocals
    mode, width = held.get("distance_mode"), held.get("kernel_width")
    return ValueKernel(mode, float(width)) if mode in ("cosine", "euclidean") and width else None


def weigh(
    kernel: Kernel, request: Request, masks: Bool[Tensor, "design n component"], summed: bool
) -> Float[Tensor, "example n"]:
    """One weight a row of each example; of a single "example" where all weigh alike or a batch is `summed`."""
    if isinstance(kernel, MaskKernel):
        return kernel.weigh(masks.flatten(0, 1)).unflatten(0, (len(masks), -1))
    return kernel.weigh(request, masks, summed)


def _sum_up(request: Request, element: Element, summed: bool) -> Float[Tensor, "example component"]:
    """Σ of a function of own value and baseline over the elements of each component."""
    sums = torch.zeros(request.examples, request.components, dtype=torch.float64, device=request.device)
    for tensor, baseline, owner in zip(request.inputs, request.baselines, request.owners, strict=True):
        own = tensor.double()
        other = baseline.double() if isinstance(baseline, Tensor) else torch.full_like(own, baseline)
        values = element(own, other).expand_as(own).flatten(1)
        sums.scatter_add_(1, owner.to(own.device).expand_as(own).flatten(1), values)
    return sums.sum(0, keepdim=True) if summed else sums
