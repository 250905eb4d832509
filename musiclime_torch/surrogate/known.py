"""Estimated numbers, and how well they are known: the one result type of every solver."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Known:
    """Estimates of every class with their standard errors and degrees of freedom. The class is always the first axis.

    The confidence interval of an entry is value ± t · error, with Student's t quantile for `freedom`. Where nothing was
    left to chance the error is zero and the degrees of freedom are infinite.
    """

    values: Float[Tensor, "class *entry"]
    errors: Float[Tensor, "class *entry"]
    freedom: Float[Tensor, "class *entry"]


def know_exactly(values: Float[Tensor, "class *entry"]) -> Known:
    """Values that no sampling was needed for."""
    return Known(values, torch.zeros_like(values), torch.full_like(values, torch.inf))
