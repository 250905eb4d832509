"""Designs and row weights by the names that users give them."""

from typing import Literal

import torch

from musiclime_torch.design import Design, draw_bernoulli, draw_bernoulli_with_song, draw_foldover, weigh
from musiclime_torch.failures import InputError
from musiclime_torch.kernels import PAPER_WIDTH, refuse_shapley, weigh_by_proximity, weigh_uniformly

DesignName = Literal["foldover", "bernoulli", "bernoulli+song"]
WeightsName = Literal["uniform", "lime", "paper", "shapley"]

_DRAWS = {"foldover": draw_foldover, "bernoulli": draw_bernoulli, "bernoulli+song": draw_bernoulli_with_song}

#: More masks than this are a slip of the keyboard: at a millisecond a variant they would take a quarter of an hour to days.
MOST = 1_000_000

#: What the coefficients are called under each row weighting of a half-on design.
VALUES = {"uniform": "Banzhaf value", "lime": "LIME coefficient", "paper": "LIME coefficient (MusicLIME's kernel)"}


def draw_design(design: str, d: int, n_samples: int, seed: int, weights: str, kernel_width: float) -> Design:
    """Masks and row weights; with nothing to switch, an empty design that leaves the song and the empty song alone."""
    kernels = {
        "uniform": weigh_uniformly,
        "lime": lambda masks: weigh_by_proximity(masks, kernel_width),
        "paper": lambda masks: weigh_by_proximity(masks, PAPER_WIDTH),
        "shapley": refuse_shapley,
    }
    if design not in _DRAWS:
        raise InputError(f"design {design!r} is not known: use {', '.join(_DRAWS)}.")
    if weights not in kernels:
        raise InputError(f"row weights {weights!r} are not known: use {', '.join(VALUES)}.")
    if n_samples < 1:
        raise InputError(f"{n_samples} masks are none: give 1 or more.")
    if n_samples > MOST:
        raise InputError(f"{n_samples} masks are more than fit anywhere: give at most {MOST}.")
    if d == 0 and weights == "shapley":
        refuse_shapley(torch.ones(4, 0, dtype=torch.bool))
    if d == 0:
        return Design(torch.ones(4, 0, dtype=torch.bool), torch.ones(4), paired=True, block=4)
    return weigh(_DRAWS[design](d, n_samples, seed), kernels[weights])
