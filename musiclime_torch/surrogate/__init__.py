"""Masks drawn and fits solved, with their errors: tensors only, no audio."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.basics.arguments import Until as Until, read_until as read_until
    from musiclime_torch.basics.choices import DesignName as DesignName, WeightsName as WeightsName
    from musiclime_torch.surrogate.blocks import (
        draw_blocks as draw_blocks,
        draw_foldover as draw_foldover,
        draw_half_folded as draw_half_folded,
        draw_kerdock as draw_kerdock,
        draw_unfolded as draw_unfolded,
        is_better_unfolded as is_better_unfolded,
    )
    from musiclime_torch.surrogate.crossed import CrossedFit as CrossedFit, solve_crossed as solve_crossed
    from musiclime_torch.surrogate.crossed_errors import split_errors as split_errors
    from musiclime_torch.surrogate.design import (
        CrossedDesign as CrossedDesign,
        Design as Design,
        draw_bernoulli as draw_bernoulli,
        enumerate_masks as enumerate_masks,
        mask_ends as mask_ends,
    )
    from musiclime_torch.surrogate.fit import Fit as Fit, Known as Known
    from musiclime_torch.surrogate.intervals import bound_share as bound_share, discover as discover, quantile as quantile
    from musiclime_torch.surrogate.pairs import PairFit as PairFit, solve_pairs as solve_pairs
    from musiclime_torch.surrogate.sampling import (
        Sampling as Sampling,
        allocate as allocate,
        draw_shared as draw_shared,
        pick_repeats as pick_repeats,
    )
    from musiclime_torch.surrogate.shapley.level_fit import solve_levels as solve_levels
    from musiclime_torch.surrogate.shapley.levels import (
        LevelDesign as LevelDesign,
        draw_levels as draw_levels,
        solve_exact as solve_exact,
    )
    from musiclime_torch.surrogate.shapley.leverage import (
        LeverageDesign as LeverageDesign,
        draw_leverage as draw_leverage,
        solve_leverage as solve_leverage,
    )
    from musiclime_torch.surrogate.sides import lay_side as lay_side, turn as turn
    from musiclime_torch.surrogate.solver import solve as solve
    from musiclime_torch.surrogate.variance import split_variance as split_variance

__getattr__, __dir__, __all__ = lazy(__name__)
