"""Worlds whose answer is known in closed form: main effects and products of signs."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.worlds.world import World


@dataclass(frozen=True)
class Polynomial:
    """Products of one to three columns' signs, columns of the sound first, and their weights (term, class)."""

    d_audio: int
    d_lyrics: int
    terms: tuple[tuple[int, ...], ...]
    weights: Tensor


def draw_polynomial(seed: int, d_audio: int, d_lyrics: int, products: int) -> Polynomial:
    """Main effects and as many products of two as of three columns, each column of either side with equal chances.

    Products carry a third of the variance.
    """
    generator = torch.Generator().manual_seed(seed)
    width = d_audio + d_lyrics
    terms = [(column,) for column in range(width)]
    for number in range(products):
        chosen: set[int] = set()
        while len(chosen) < 2 + number % 2:
            side = int(torch.randint(2, (1,), generator=generator))
            low, high = (0, d_audio) if side == 0 else (d_audio, width)
            chosen.add(int(torch.randint(low, high, (1,), generator=generator)))
        terms.append(tuple(sorted(chosen)))
    weights = torch.randn(len(terms), 4, generator=generator, dtype=torch.float64)
    weights[width:] *= math.sqrt(width / products / 2)
    return Polynomial(d_audio, d_lyrics, tuple(terms), weights * 2 / weights.square().sum(0).sqrt())


def tell_truth(polynomial: Polynomial) -> Tensor:
    """The table (class, 1 + d_audio, 1 + d_lyrics) of its logits: signs go from −1 to 1, so a column alone counts twice
    its weight, a product of two four times; products of three aren't in it.
    """
    table = torch.zeros(4, 1 + polynomial.d_audio, 1 + polynomial.d_lyrics, dtype=torch.float64)
    for term, weight in zip(polynomial.terms, polynomial.weights, strict=True):
        audio = [1 + column for column in term if column < polynomial.d_audio]
        lyrics = [1 + column - polynomial.d_audio for column in term if column >= polynomial.d_audio]
        if len(audio) <= 1 and len(lyrics) <= 1:
            table[:, audio[0] if audio else 0, lyrics[0] if lyrics else 0] += 2 ** len(term) * weight
    return table


def turn_interactions_up(polynomial: Polynomial, share: float) -> Polynomial:
    """The same polynomial, rescaled so that products across the sides carry a `share` of every class's variance."""
    audio, lyrics = (
        torch.tensor([any((column < polynomial.d_audio) == side for column in term) for term in polynomial.terms])
        for side in (True, False)
    )
    together = (audio & lyrics)[:, None]
    apart, both = (polynomial.weights.where(mask, 0).square().sum(0) for mask in (~together, together))
    weights = polynomial.weights * torch.where(together, (share / both).sqrt(), ((1 - share) / apart).sqrt())
    return Polynomial(polynomial.d_audio, polynomial.d_lyrics, polynomial.terms, 2 * weights)


def make_analytic(polynomial: Polynomial, name: str = "analytic") -> World:
    """Four logits of a polynomial: an encoding is the products of a side's signs, one for each term."""
    ears = [[column for column in term if column < polynomial.d_audio] for term in polynomial.terms]
    eyes = [[column - polynomial.d_audio for column in term if column >= polynomial.d_audio] for term in polynomial.terms]

    def multiply(masks: Tensor, parts: list[list[int]]) -> Tensor:
        signs = torch.cat([2 * masks.double() - 1, torch.ones(len(masks), 1, dtype=torch.float64)], 1)
        padded = torch.tensor([part + [-1] * (3 - len(part)) for part in parts])
        return signs[:, padded].prod(2)

    def join(sounds: tuple[Tensor, ...], texts: Tensor) -> Tensor:
        return torch.stack([(sounds[0] * weight) @ texts.T for weight in polynomial.weights.T], 2)

    return World(
        name, polynomial.d_audio, polynomial.d_lyrics, 4, "logits",
        lambda masks: (multiply(masks, ears),), lambda masks: multiply(masks, eyes), join,
        # As if its columns were ten segments of a song: its terms know nothing of that.
        neighbourhoods=tuple(tuple(range(segment, polynomial.d_audio, 10)) for segment in range(10)),
    )  # fmt: skip
