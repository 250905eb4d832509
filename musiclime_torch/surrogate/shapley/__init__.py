"""Shapley values of the components: exactly, from sampled coalitions of all of them, or from two sides crossed."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
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

__getattr__, __dir__, __all__ = lazy(__name__)
