"""A proxy's answers beside the model's: known on very many masks, they correct what the model answers on few."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.explanation.estimation.loop import Guidance
from musiclime_torch.surrogate.blocks import draw_blocks
from musiclime_torch.surrogate.control import Corrected, correct
from musiclime_torch.surrogate.crossed import solve_crossed
from musiclime_torch.surrogate.design import CrossedDesign, Design
from musiclime_torch.surrogate.fit import Fit, Known
from musiclime_torch.surrogate.solver import solve
from musiclime_torch.variants.scale import Scale, to_values

#: Added to the seed of the model's masks: the proxy's are others.
APART = 7_919

#: Masks on some columns -> the proxy's outputs.
Run = Callable[[Bool[Tensor, "n d"]], Float[Tensor, "n class"]]


@dataclass(frozen=True)
class Control:
    """A proxy on some columns: what it says of any masks, and its main effects from very many, on one scale."""

    run: Run
    scale: Scale
    reference: Fit
    #: What it said of a design's first masks, which are asked about again at every look.
    said: list[Tensor] = field(default_factory=list)

    def correct(self, design: Design, values: Float[Tensor, "n value"]) -> Corrected:
        """The values without what the proxy errs by on the same masks."""
        known = sum(map(len, self.said))
        if known < design.n_samples:
            self.said.append(self.run(design.masks[known:].cpu()).to(values.device))
        answers = to_values(self.scale, torch.cat(self.said)[: design.n_samples]).to(values.dtype)
        slopes = self.reference.coefficients.values.to(values)
        fitted = self.reference.intercept.to(values) + design.masks.to(values) @ slopes.T
        return correct(design.to(values.device), values, answers, fitted)

    def widen(self, known: Known, alpha: Float[Tensor, " value"]) -> Known:
        """Errors with those of the proxy's own main effects."""
        own = alpha[:, None].to(known.errors) * self.reference.coefficients.errors.to(known.errors)
        return replace(known, errors=(known.errors.square() + own.square()).sqrt())


def learn_reference(run: Run, scale: Scale, columns: int, masks: int, seed: int) -> Control:
    """A proxy's main effects from as many masks as given, in whole blocks."""
    design = draw_blocks(columns, masks, seed + APART)
    return Control(run, scale, solve(design, to_values(scale, run(design.masks)), 0.0))


@dataclass(frozen=True)
class Guide:
    """A proxy as a design needs it: on all columns together, or on those of each side, the other one being whole.

    Any function of the masks will do as a correction, so that a side of a crossed design gets the proxy on that side alone.
    """

    joint: Control | None = None
    audio: Control | None = None
    lyrics: Control | None = None

    def correct_rows(self, design: Design, values: Float[Tensor, "n value"]) -> Float[Tensor, "n value"]:
        """Values of joint masks, corrected."""
        return self._take_joint().correct(design, values).values

    def refine_rows(self, design: Design, values: Float[Tensor, "n value"], plain: Known) -> tuple[Known, Guidance]:
        """Main effects of joint masks, corrected, and what that did to the `plain` ones."""
        control = self._take_joint()
        corrected = control.correct(design, values)
        known = control.widen(solve(design, corrected.values, 0.0).coefficients, corrected.alpha)
        return known, Guidance(corrected.alpha, compare_errors(plain, known))

    def correct_grid(self, design: CrossedDesign, grid: Float[Tensor, "value na nt"]) -> Float[Tensor, "value na nt"]:
        """Values of all pairs of masks, corrected on both sides."""
        return self._correct_sides(design, grid)[0]

    def refine_grid(self, design: CrossedDesign, grid: Float[Tensor, "value na nt"], plain: Known) -> tuple[Known, Guidance]:
        """Main effects of both sides, corrected, and what that did to the `plain` ones."""
        corrected, alphas = self._correct_sides(design, grid)
        known, counts = (
            solve_crossed(design, corrected, ()).main,
            (design.audio.masks.shape[1], design.lyrics.masks.shape[1]),
        )
        sides = []
        for part, control, alpha in zip(_split(known, counts), (self.audio, self.lyrics), alphas, strict=True):
            sides.append(part if control is None else control.widen(part, alpha))
        joined = Known(*(torch.cat([getattr(side, name) for side in sides], 1) for name in ("values", "errors", "freedom")))
        before, after = _split(plain, counts), _split(joined, counts)
        gains = compare_errors(before[0], after[0]), compare_errors(before[1], after[1])
        return joined, Guidance(alphas[0], compare_errors(plain, joined), alphas[1], gains)

    def _take_joint(self) -> Control:
        assert self.joint is not None, "a joint design is guided by a joint control"
        return self.joint

    def _correct_sides(self, design: CrossedDesign, grid: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What depends on one side alone moves no interaction, so that each side is corrected by its means."""
        corrected, alphas = grid, []
        for control, side, dim in ((self.audio, design.audio, 2), (self.lyrics, design.lyrics, 1)):
            if control is None:
                alphas.append(grid.new_zeros(len(grid)))
                continue
            means = grid.mean(dim, dtype=torch.float64).T
            found = control.correct(side, means)
            corrected = corrected + (found.values - means).T.to(grid.dtype).unsqueeze(dim)
            alphas.append(found.alpha)
        return corrected, alphas


def compare_errors(plain: Known, guided: Known) -> Float[Tensor, " class"]:
    """How many times lower squared errors are, in their mean over components."""
    before, after = plain.errors.square().mean(1), guided.errors.square().mean(1)
    return torch.where(after > 0, before / after, torch.ones_like(after))


def _split(known: Known, counts: tuple[int, int]) -> list[Known]:
    parts = [getattr(known, name).split(counts, 1) for name in ("values", "errors", "freedom")]
    return [Known(*(part[side] for part in parts)) for side in range(2)]
