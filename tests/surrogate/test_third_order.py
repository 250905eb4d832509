"""How much of a residual is of third order."""

import pytest
import torch

from musiclime_torch.surrogate.kerdock import share_third_order, spare


def test_the_share_of_third_order_terms_is_found():
    generator = torch.Generator().manual_seed(0)
    signs = 2 * (torch.rand(1500, 24, generator=generator) < 0.5).double() - 1
    triples = torch.stack([torch.randperm(24, generator=generator)[:3] for _ in range(60)])
    fives = torch.stack([torch.randperm(24, generator=generator)[:5] for _ in range(60)])
    third, fifth = signs[:, triples].prod(2).sum(1), signs[:, fives].prod(2).sum(1)
    found = share_third_order(signs, torch.stack([third, fifth, third + fifth, torch.zeros(1500).double()], 1))
    assert found.tolist() == pytest.approx([1.0, 0.0, 0.5, 0.0], abs=0.12)
    assert spare(0.25, torch.tensor([1.0, 0.0, 0.5])).tolist() == pytest.approx([0.25, 1.0, 0.625])
