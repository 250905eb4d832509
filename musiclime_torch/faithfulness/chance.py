"""What chance would give: the same attributions dealt out to the components at random, and measured alike."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Figure:
    """One measure of the attributions, with its mean and standard deviation over random ones."""

    value: float
    random: float
    spread: float


@dataclass(frozen=True)
class Deal:
    """Attributions in the first row, dealt out at random in the others; `orders` lists columns, largest first."""

    attributions: Float[Tensor, "row d"]
    orders: Int[Tensor, "row d"]


def deal(attributions: Float[Tensor, " d"], rows: int, seed: int) -> Deal:
    """The attributions, and `rows` random ones of the same sizes.

    >>> dealt = deal(torch.tensor([0.5, 2.0, -1.0]), 2, seed=0)
    >>> dealt.orders[0].tolist(), dealt.attributions.sort(1).values[2].tolist()
    ([1, 0, 2], [-1.0, 0.5, 2.0])
    """
    generator = torch.Generator().manual_seed(seed)
    values, order = attributions.double().cpu().sort(descending=True, stable=True)
    # Every order is equally likely, also where attributions are equal.
    orders = torch.stack([order, *(torch.randperm(len(order), generator=generator) for _ in range(rows))])
    return Deal(torch.zeros(orders.shape, dtype=torch.float64).scatter_(1, orders, values.expand_as(orders)), orders)


def beside_chance(values: Float[Tensor, " row"]) -> Figure:
    """The first row's value beside the others'.

    >>> beside_chance(torch.tensor([5.0, 1.0, 3.0]))
    Figure(value=5.0, random=2.0, spread=1.4142...)
    """
    found = values.double().cpu()
    return Figure(float(found[0]), float(found[1:].mean()), float(found[1:].std()))
