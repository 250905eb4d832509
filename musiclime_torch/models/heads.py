"""A head that late fusion often has, over all pairs at once: LayerNorm and a linear layer on both encodings together."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def fuse_layer_norm_pairs(
    norm: nn.LayerNorm, linear: nn.Linear, audio: Float[Tensor, "na fa"], text: Float[Tensor, "nt ft"]
) -> Float[Tensor, "na nt class"]:
    """``linear(norm(cat([audio, text])))`` of every pair, exactly, without ever joining two encodings.

    LayerNorm needs a pair's mean and mean square only, and both are sums over the sides: with the classes' own products
    that is class + 2 numbers a mask. Encodings are centred first, or the variance would drown in the mean's square.

    >>> _ = torch.manual_seed(0)
    >>> norm, linear, a, t = nn.LayerNorm(5), nn.Linear(5, 2), torch.randn(3, 2), torch.randn(4, 3)
    >>> pair = linear(norm(torch.cat([a[1], t[2]])))
    >>> bool(torch.allclose(fuse_layer_norm_pairs(norm, linear, a, t)[1, 2], pair, atol=1e-6))
    True
    """
    # LayerNorm and the linear layer of a joined encoding x = [a, t] of width m give, for class k,
    #     Σ_j w_kj (γ_j (x_j − μ) / √(σ² + ε) + β_j) + c_k
    #     = (Σ_j w_kj γ_j x_j − μ Σ_j w_kj γ_j) / √(σ² + ε) + Σ_j w_kj β_j + c_k,
    # with μ = (Σ a + Σ t) / m and σ² = (Σ a² + Σ t²) / m − μ². Every sum over x is a sum over a plus a sum over t, so each
    # side is reduced on its own, and a pair only adds two numbers per class, one for μ and one for σ².
    split, width = audio.shape[1], audio.shape[1] + text.shape[1]
    # A shift of all features changes neither side of the formula, and keeps Σ x² from cancelling against m μ².
    middle = (audio.mean() * split + text.mean() * (width - split)) / width
    audio, text = audio - middle, text - middle
    weight = linear.weight * (1 if norm.weight is None else norm.weight)
    offset = 0 if norm.bias is None else linear.weight @ norm.bias
    offset = offset + (0 if linear.bias is None else linear.bias)
    mean = (audio.sum(1)[:, None] + text.sum(1)) / width
    square = (audio.square().sum(1)[:, None] + text.square().sum(1)) / width
    scale = torch.rsqrt(square - mean.square() + norm.eps)[..., None]
    products = (audio @ weight[:, :split].T)[:, None] + text @ weight[:, split:].T
    return (products - mean[..., None] * weight.sum(1)) * scale + offset
