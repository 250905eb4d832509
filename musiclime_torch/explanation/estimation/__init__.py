"""Coefficients and their errors from one model on one track: a module for each kind of design."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.explanation.estimation.crossed import estimate_crossed as estimate_crossed
    from musiclime_torch.explanation.estimation.joint import estimate_joint as estimate_joint
    from musiclime_torch.explanation.estimation.loop import Estimate as Estimate
    from musiclime_torch.explanation.estimation.shapley import estimate_shapley as estimate_shapley

__getattr__, __dir__, __all__ = lazy(__name__)
