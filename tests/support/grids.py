"""Grids of crossed designs for the tests of signed sums, and what every way to solve them must keep."""

from dataclasses import replace

import torch
from torch import Tensor

from musiclime_torch.surrogate.crossed import solve_crossed
from musiclime_torch.surrogate.design import CrossedDesign, Design


def forget(design: CrossedDesign) -> CrossedDesign:
    """The same masks, not known to be orthogonal."""
    return CrossedDesign(replace(design.audio, balanced=0), replace(design.lyrics, balanced=0))


def make_grid(design: CrossedDesign, classes: int = 3) -> Tensor:
    """Values of main effects, interactions and noise."""
    generator = torch.Generator().manual_seed(0)

    def add_up(side: Design) -> Tensor:
        slopes = torch.randn(side.masks.shape[1], classes, generator=generator)
        return (side.masks.float() @ slopes).T.double()

    audio, lyrics = add_up(design.audio)[:, :, None], add_up(design.lyrics)[:, None]
    noise = torch.randn(classes, design.audio.n_samples, design.lyrics.n_samples, generator=generator)
    return 3 + audio + lyrics + (audio * lyrics).sin() / 2 + noise / 5


def assert_six_digits(design: CrossedDesign, values: Tensor) -> None:
    """Single precision keeps six digits of coefficients, by block, and five of errors."""
    known, expected = (solve_crossed(one, values).coefficients for one in (design, forget(design)))
    assert known.values.dtype == torch.float64
    for block in (slice(1, None), 0), (0, slice(1, None)), (slice(1, None), slice(1, None)):
        found, truth = known.values[:, *block], expected.values[:, *block]
        assert (found - truth).abs().max() < 1e-6 * truth.abs().max()
    assert (known.errors / expected.errors - 1).abs().max() < 1e-5
