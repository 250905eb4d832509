"""What Captum's surrogates learn from, and how they are solved.

Surrogates with a closed form are solved on the device, others get the data that Captum gives them. Where the caller's
own callables draw or weigh samples, they are called one sample at a time, as Captum calls them: the slower path.
Similarity functions, which say how much a sample counts, are here too; the usual ones are known as formulas.
"""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from captum._utils.common import _format_output, _is_tuple, _reduce_list
from captum._utils.models.linear_model import SkLearnLinearRegression, SkLearnRidge
from captum._utils.models.linear_model.model import LinearModel, SkLearnLinearModel
from captum._utils.models.linear_model.train import sklearn_train_linear_model
from captum._utils.models.model import Model
from captum.attr import Lime as CaptumLime
from captum.attr._core import lime as captum_lime
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from musiclime_torch.captum.least_squares import score_fit
from musiclime_torch.captum.request import Inputs, Lines, Request, join, unknown
from musiclime_torch.captum.rows import Plan, Rows, run_rows, watch
from musiclime_torch.surrogate.sampling import weigh_by_proximity

#: Arguments of scikit-learn's classes that say how a solution is found, not which.
HOW = {"copy_X", "n_jobs", "tol", "solver", "max_iter", "random_state"}


class LeastSquares(SkLearnLinearRegression):
    """What `Lime` fits by default: weighted least squares, without scikit-learn."""


@dataclass(frozen=True)
class Samples:
    """What a surrogate learns from: rows of components (1 = kept), the weight of each, and what the model gave."""

    rows: Shaped[Tensor, "n component"]
    weights: Shaped[Tensor, " n"]
    outputs: Shaped[Tensor, "n output"]

    def are_masks(self) -> bool:
        """Whether components are only on or off, as the closed form takes them."""
        return bool(((self.rows == 0) | (self.rows == 1)).all())


def find_ridge(surrogate: Model) -> float | None:
    """The penalty of a ridge regression, 0 for least squares; None for a surrogate without a closed form."""
    known = (SkLearnLinearModel, SkLearnRidge, SkLearnLinearRegression, LeastSquares)
    if type(surrogate) not in known or surrogate.train_fn is not sklearn_train_linear_model:
        return None
    # Least squares and ridge with an intercept have a closed form. Arguments that only say how a solution is found don't
    # matter; any other may change the solution.
    given = {name: value for name, value in surrogate.construct_kwargs.items() if name not in HOW}
    if given.pop("positive", False) or not given.pop("fit_intercept", True):
        return None
    if surrogate.sklearn_module == "linear_model.LinearRegression":
        return None if given else 0.0
    if surrogate.sklearn_module == "linear_model.Ridge":
        alpha = given.pop("alpha", 1.0)
        return float(alpha) if not given and isinstance(alpha, int | float) and alpha >= 0 else None
    return None


def leave_fitted(surrogate: Model, lines: Lines, outputs: int) -> None:
    """Leave a surrogate as its own `fit` to the last example would, for code that reads it afterwards.

    Making its layer draws from the global random state, which is given back.
    """
    assert isinstance(surrogate, LinearModel), "all closed forms are of this class"
    weight, bias = lines.coefficients[-outputs:].float().contiguous(), lines.intercept[-outputs:].float()
    with torch.random.fork_rng(devices=[]):
        surrogate._construct_model_params(norm_type=None, weight_values=weight, bias_value=bias)


def hand_over(surrogate: Model, samples: Samples) -> Lines:
    """Fit a surrogate of any kind, output by output, to what Captum would give it: float32, in one batch."""
    return join([_fit_one(surrogate, samples, output[:, None]) for output in samples.outputs.T])


def _fit_one(surrogate: Model, samples: Samples, output: Float[Tensor, "n 1"]) -> Lines:
    rows, weights = samples.rows.float(), samples.weights.float()
    data = TensorDataset(rows, output[:, 0].float(), weights)
    surrogate.fit(DataLoader(data, batch_size=len(rows)))
    # A classifier of several classes has more: Captum reads the first.
    coefficients = surrogate.representation().reshape(1, -1)[:, : rows.shape[1]].to(output.device)
    intercept = fidelity = unknown(coefficients[:, 0]).double()
    if isinstance(surrogate, LinearModel) and coefficients.shape[1] == rows.shape[1]:
        bias = surrogate.bias()
        intercept = coefficients.new_zeros(1) if bias is None else bias.reshape(-1)[:1].to(output.device)
        fitted = surrogate(rows.to(surrogate.representation().device)).detach().reshape(-1, 1).to(output.device)
        fidelity = score_fit(weights[:, None].double(), output.double(), fitted.double())
    return Lines(coefficients, intercept, fidelity, unknown(coefficients), unknown(coefficients))


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
    rows = Rows(0, count, request.examples, request.device, plan.summed)
    return run_rows(explainer.forward_func, request, altered if request.as_tuple else (altered,), rows)


# Captum's own kernel measures its distance on the values of the inputs, where a loud passage or a large token id decides.
# `MaskKernel` measures on masks. Both are evaluated for all rows at once; anything else is called as Captum calls it, row by
# row.

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
