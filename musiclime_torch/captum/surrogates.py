"""What Captum's surrogates learn from, and how they are solved.

Surrogates with a closed form are solved on the device, others get the data that Captum gives them. Where the caller's
own callables draw or weigh samples, they are called one sample at a time, as Captum calls them: the slower path.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from captum._utils.common import _format_output, _is_tuple, _reduce_list
from captum._utils.models.linear_model import SkLearnLinearRegression, SkLearnRidge
from captum._utils.models.linear_model.model import LinearModel, SkLearnLinearModel
from captum._utils.models.linear_model.train import sklearn_train_linear_model
from captum._utils.models.model import Model
from captum.attr import Lime as CaptumLime
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from musiclime_torch.captum.least_squares import score_fit
from musiclime_torch.captum.request import Inputs, Lines, join, unknown
from musiclime_torch.captum.rows import Plan, Rows, run_rows, watch

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
