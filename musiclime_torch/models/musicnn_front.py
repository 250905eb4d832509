"""MusiCNN's front end in eval mode on a CPU: the same features, in under half the time.

A filter's response is rectified, normalised, and only its maximum over bands is kept. Nine tenths of the network's time go
into responses that lose. Here they never leave the cache: maxima are taken as they come, what is monotonic is done after
them, and tall filters are products in the frequency domain of the band axis.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: Frames of responses at a time: 98 × 32 × 204 numbers stay in a core's cache.
FRAMES_AT_ONCE = 32


# The layers compute max_f (g · relu(w ∗ x + c) + h), g and h being batch norm's scale and shift. Where g is positive, relu
# and scale keep the order of the responses w ∗ x: the maximum is g · relu(max + c) + h. Where it is negative, the smallest
# response wins, and min(w ∗ x) = −max(−w ∗ x). So filters are multiplied by the sign s of g, and one maximum m of these
# responses serves both:  g · relu(s (m + s c)) + h.
def pool_bands(
    shown: Float[Tensor, "batch 1 time mel"], convolution: nn.Conv2d, norm: nn.BatchNorm2d
) -> Float[Tensor, "batch filter time"]:
    """What the layers pad, convolve, rectify, normalise and take the largest over bands give, for one size of filters."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    assert convolution.bias is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    sign = torch.where(scale < 0, -1.0, 1.0)
    filters = convolution.weight[:, 0] * sign[:, None, None]
    reach, bands = filters.shape[1:]
    padded = nn.functional.pad(shown[:, 0], (0, 0, (reach - 1) // 2, reach // 2))
    largest = _respond_over_time(padded, filters[:, :, 0]) if bands == 1 else _respond_over_bands(padded, filters)
    rectified = ((largest + (sign * convolution.bias)[:, None]) * sign[:, None]).relu()
    return rectified * scale[:, None] + shift[:, None]


def _respond_over_time(
    padded: Float[Tensor, "batch frame mel"], filters: Float[Tensor, "filter reach"]
) -> Float[Tensor, "batch filter time"]:
    """The largest responses of filters one band high: every band is a signal of its own."""
    rows = []
    for row in padded:
        signals = row.T[:, None].contiguous()
        rows.append(nn.functional.conv1d(signals, filters[:, None]).amax(0))
    return torch.stack(rows)


# A correlation along the bands is a product of Fourier coefficients: with X_k(t) the coefficients of frame t over its 96
# bands and W_k(l) those of a filter's row of lag l, the response at frame t and band f is
#     (1 / 96) Σ_k e^{2πi k f / 96} Σ_l X_k(t + l) conj(W_k(l)).
# Bands wrap around, but a filter of b bands is wanted at f ≤ 96 − b alone, where it never reaches the edge. The inner sum is
# one small product of matrices for each k; the outer is one with a matrix of cosines and sines, for the signal is real and k
# and −k are conjugates. Both together take a fifth of the operations of the convolution.
def _respond_over_bands(
    padded: Float[Tensor, "batch frame mel"], filters: Float[Tensor, "filter reach band"]
) -> Float[Tensor, "batch filter time"]:
    """The largest responses of filters several bands high."""
    count, reach, bands = filters.shape
    mels = padded.shape[2]
    spectrum = torch.fft.rfft(filters, n=mels).conj()
    # Real arithmetic: the real part of X W is (Re X, Im X) · (Re W, −Im W), the imaginary one (Re X, Im X) · (Im W, Re W).
    real = torch.cat([spectrum.real, -spectrum.imag], 1)
    imaginary = torch.cat([spectrum.imag, spectrum.real], 1)
    products = torch.stack([real, imaginary], -1).permute(2, 3, 1, 0).reshape(-1, 2 * reach, count).contiguous()
    inverse = _invert(mels, mels - bands + 1).to(padded)
    rows = []
    for row in padded:
        lagged = torch.fft.rfft(row).unfold(0, reach, 1).permute(1, 0, 2)
        parts = torch.cat([lagged.real, lagged.imag], 2).repeat_interleave(2, 0)
        largest = [
            (inverse @ torch.bmm(piece, products).flatten(1)).amax(0).view(-1, count)
            for piece in parts.split(FRAMES_AT_ONCE, 1)
        ]
        rows.append(torch.cat(largest).T)
    return torch.stack(rows)


def _invert(n: int, kept: int) -> Float[Tensor, "kept part"]:
    """The first values of a real signal of even length n from its coefficients, real and imaginary parts in turn."""
    place, frequency = torch.arange(kept, dtype=torch.float64), torch.arange(n // 2 + 1, dtype=torch.float64)
    angle = 2 * torch.pi * frequency * place[:, None] / n
    # Every frequency but the first and the last stands for its conjugate too.
    twice = torch.full((n // 2 + 1,), 2.0, dtype=torch.float64)
    twice[0] = twice[-1] = 1.0
    return torch.stack([twice * angle.cos(), -twice * angle.sin()], -1).flatten(1) / n
