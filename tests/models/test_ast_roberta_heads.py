"""The head over all pairs against joining every pair."""

import pytest
import torch
from torch import nn

from musiclime_torch.models.ast_roberta import fuse_layer_norm_pairs


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_every_pair_is_what_joining_it_gives(affine, bias, offset):
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(30, elementwise_affine=affine), nn.Linear(30, 7, bias=bias)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    heard, read = torch.randn(5, 12) + offset, torch.randn(6, 18) + offset
    joined = torch.cat([heard[:, None].expand(-1, 6, -1), read[None].expand(5, -1, -1)], 2)
    expected = linear(norm(joined.double().float()))
    assert torch.allclose(fuse_layer_norm_pairs(norm, linear, heard, read), expected, atol=2e-4 if offset else 1e-5)
