"""Games whose Shapley values are known: products of components, and a saturating model small enough to enumerate."""

from collections.abc import Callable

import torch
from torch import Tensor

from musiclime_torch.surrogate.shapley.levels import solve_exact

CLASSES = 3

Game = Callable[[Tensor], Tensor]


def enumerate_masks(d: int) -> torch.Tensor:
    """All coalitions; bit i of the row number says whether component i is on, so the last row is the song."""
    return (torch.arange(2**d)[:, None] >> torch.arange(d)) & 1 == 1


def multiply(d: int, orders: dict[int, int], seed: int) -> tuple[Game, Tensor]:
    """A sum of `orders[k]` products of k distinct components, and its values (class, d): members share a product equally."""
    generator = torch.Generator().manual_seed(seed)
    terms = [
        (torch.randperm(d, generator=generator)[:k], torch.randn(CLASSES, generator=generator, dtype=torch.float64))
        for k, count in orders.items()
        for _ in range(count)
    ]
    truth = torch.zeros(d, CLASSES, dtype=torch.float64)
    for members, strength in terms:
        truth[members] += strength / len(members)

    def play(masks: Tensor) -> Tensor:
        products = torch.stack([masks[..., members].all(-1) for members, _ in terms], -1).double()
        return products @ torch.stack([strength for _, strength in terms]) - 2

    return play, truth.T


def saturate(d: int, seed: int) -> tuple[Game, Tensor]:
    """A softmax over bounded hidden units, and its values by enumeration."""
    generator = torch.Generator().manual_seed(seed)
    inner = 4 / d**0.5 * torch.randn(d, 6, generator=generator, dtype=torch.float64)
    outer = 2 * torch.randn(6, CLASSES, generator=generator, dtype=torch.float64)

    def play(masks: Tensor) -> Tensor:
        return ((masks.double() - 0.5) @ inner).tanh() @ outer

    def squash(masks: Tensor) -> Tensor:
        return play(masks).softmax(-1)

    everything = enumerate_masks(d)
    return squash, solve_exact(everything, squash(everything)).values


def ends(game: Game, d: int) -> tuple[Tensor, Tensor]:
    """The game with everything on, and with everything off."""
    return game(torch.ones(d, dtype=torch.bool)), game(torch.zeros(d, dtype=torch.bool))


def covers(fit, truth: Tensor) -> Tensor:
    """Which nominal 95% intervals hold the truth."""
    from scipy.special import stdtrit

    quantiles = torch.from_numpy(stdtrit(fit.freedom.numpy(), 0.975))
    return (fit.values - truth).abs() <= quantiles * fit.errors
