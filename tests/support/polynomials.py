"""Polynomials over masks of two sides, with their exact coefficients: what crossed designs are tested on."""

import torch
from torch import Tensor


def draw_terms(d_audio: int, d_lyrics: int, orders: tuple[int, ...], count: int, seed: int) -> list[tuple[list[int], float]]:
    """Main effects of all columns, and `count` products of columns' signs of the given orders."""
    generator = torch.Generator().manual_seed(seed)
    width = d_audio + d_lyrics
    terms = [([column], float(torch.randn(1, generator=generator))) for column in range(width)]
    for number in range(count):
        columns = torch.randperm(width, generator=generator)[: orders[number % len(orders)]].tolist()
        terms.append((columns, 0.6 * float(torch.randn(1, generator=generator))))
    return terms


def cross(terms: list[tuple[list[int], float]], audio: Tensor, lyrics: Tensor) -> Tensor:
    """Values (1, N_a, N_t) of every pair of masks."""
    signs = [2 * masks.double() - 1 for masks in (audio, lyrics)]
    d_audio = audio.shape[1]
    grid = torch.zeros(1, len(audio), len(lyrics), dtype=torch.float64)
    for columns, weight in terms:
        heard = signs[0][:, [column for column in columns if column < d_audio]].prod(1)
        read = signs[1][:, [column - d_audio for column in columns if column >= d_audio]].prod(1)
        grid[0] += weight * heard[:, None] * read
    return grid


def join(terms: list[tuple[list[int], float]], masks: Tensor) -> Tensor:
    """Values (n, 1) of joint masks."""
    signs = 2 * masks.double() - 1
    return sum((weight * signs[:, columns].prod(1) for columns, weight in terms), torch.zeros(len(masks)))[:, None]
