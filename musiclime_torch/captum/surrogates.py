"""Captum's surrogates: those with a closed form are solved on the device, others get the data that Captum gives them."""

from dataclasses import dataclass

import torch
from captum._utils.models.linear_model import SkLearnLinearRegression, SkLearnRidge
from captum._utils.models.linear_model.model import LinearModel, SkLearnLinearModel
from captum._utils.models.linear_model.train import sklearn_train_linear_model
from captum._utils.models.model import Model
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from musiclime_torch.captum.explained import Lines, join, unknown
from musiclime_torch.captum.least_squares import score_fit

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
