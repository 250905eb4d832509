"""Sectors of a grid against sums and differences of its rows and columns."""

import pytest
import torch

from musiclime_torch.surrogate import halves
from musiclime_torch.surrogate.blocks import draw_foldover, draw_unfolded
from musiclime_torch.surrogate.halves import cut_grid, list_parts, make_room


def halve(values: torch.Tensor, dim: int) -> list[torch.Tensor]:
    pairs = values.unflatten(dim, (-1, 2))
    return [pairs.sum(dim + 1), pairs.select(dim + 1, 0) - pairs.select(dim + 1, 1)]


@pytest.mark.parametrize("strip", [1, halves.STRIP])
@pytest.mark.parametrize("lyrics", [draw_foldover(5, 40, 1), draw_unfolded(5, 40, 1)])
@pytest.mark.parametrize("audio", [draw_foldover(7, 64, 0), draw_unfolded(7, 64, 0)])
def test_sectors_are_sums_and_differences_of_pairs(audio, lyrics, strip, monkeypatch):
    monkeypatch.setattr(halves, "STRIP", strip)
    monkeypatch.setattr(halves, "FEWEST", 3)
    values = torch.randn(3, audio.n_samples, lyrics.n_samples)
    parts = [list_parts(side, values, torch.float32) for side in (audio, lyrics)]
    room = make_room(values, *parts)
    for count in (3, 2):  # the last classes may be fewer
        some = values[:count]
        rows = halve(some, 1) if audio.folded else [some]
        expected = [one for row in rows for one in (halve(row, 2) if lyrics.folded else [row])]
        sectors = cut_grid(some, *parts, room)
        assert len(sectors) == len(expected)
        for (i, j, sector), truth in zip(sectors, expected, strict=True):
            assert torch.allclose(sector, truth, atol=1e-6)
            assert (parts[0][i].rows, parts[1][j].rows) == tuple(sector.shape[1:])


def test_parts_hold_the_constant_or_slopes_or_both():
    values = torch.zeros(1, 2, 2)
    kinds = [(part.constant, part.signs is not None) for part in list_parts(draw_foldover(7, 64, 0), values, torch.float32)]
    assert kinds == [(True, False), (False, True)]
    (part,) = list_parts(draw_unfolded(7, 64, 0), values, torch.float32)
    assert part.constant
    assert part.signs is not None
