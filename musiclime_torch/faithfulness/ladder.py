"""A model's outputs while components go or come one by one, in given orders; and what chance would give.

One stack of masks serves all orders. Chance means the same attributions dealt out to the components at random, and
measured alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.variants.asking import run_checked
from musiclime_torch.variants.probe import Probe
from musiclime_torch.variants.scale import Scale


@dataclass(frozen=True)
class Ladder:
    """Outputs with the first `counts` components of each order removed, and with only these kept."""

    counts: tuple[int, ...]
    removed: Float[Tensor, "order count class"]
    kept: Float[Tensor, "order count class"]


def climb(probe: Probe, scale: Scale, orders: Int[Tensor, "order d"], counts: Sequence[int]) -> Ladder:
    """Run every order and count at once; masks that occur twice, such as the song itself, are run once.

    InputError where an output isn't finite on the scale.
    """
    first = take_first(orders, counts)
    masks = torch.stack([~first, first])
    rows, places = masks.flatten(0, 2).unique(dim=0, return_inverse=True)
    removed, kept = run_checked(probe, scale, rows)[places.to(probe.device)].unflatten(0, masks.shape[:3])
    return Ladder(tuple(counts), removed, kept)


def take_first(orders: Int[Tensor, "order d"], counts: Sequence[int]) -> Bool[Tensor, "order count d"]:
    """Masks of the first so many components of each order.

    >>> take_first(torch.tensor([[2, 0, 1]]), (0, 1, 2)).int().tolist()
    [[[0, 0, 0], [0, 0, 1], [1, 0, 1]]]
    """
    return orders.argsort(1)[:, None] < torch.tensor(counts)[:, None]


def count_steps(d: int, most: int) -> tuple[int, ...]:
    """At most `most` counts from 0 to d, symmetric about the middle.

    >>> count_steps(3, 33), count_steps(140, 5), count_steps(141, 5)
    ((0, 1, 2, 3), (0, 35, 70, 105, 140), (0, 47, 94, 141))
    """
    steps = min(d, most - 1)
    # An even number of steps needs a middle, which an odd d doesn't have.
    steps -= steps < d and d % 2 == 1 and steps % 2 == 0
    near = [round(d * step / steps) for step in range(steps // 2 + 1)] if steps else [0]
    return tuple(sorted({*near, *(d - count for count in near)}))


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
    # Orders are drawn, not values: each is equally likely even where attributions are equal. Row r gives its k-th column in
    # the order the k-th largest value.
    orders = torch.stack([order, *(torch.randperm(len(order), generator=generator) for _ in range(rows))])
    return Deal(torch.zeros(orders.shape, dtype=torch.float64).scatter_(1, orders, values.expand_as(orders)), orders)


def beside_chance(values: Float[Tensor, " row"]) -> Figure:
    """The first row's value, with mean and standard deviation of the others.

    >>> beside_chance(torch.tensor([5.0, 1.0, 3.0]))
    Figure(value=5.0, random=2.0, spread=1.4142...)
    """
    figures = values.double().cpu()
    return Figure(float(figures[0]), float(figures[1:].mean()), float(figures[1:].std()))
