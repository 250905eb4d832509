"""Whether an explanation stays where it should, and changes where it should.

It should stay under other seeds for its masks. Noise that stands in for removed stems is the same for all seeds: it is
part of the question, not of the draw of masks. It should change when the model's weights are shuffled (the
model-randomisation test of Adebayo et al. 2018): one that doesn't shows the architecture, or the song, and not what was
learned. Ladders are a model's outputs while components go or come one by one, in given orders; and what chance would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.progress import Stages
from musiclime_torch.faithfulness.question import Question
from musiclime_torch.models.care import module_behind, shuffling
from musiclime_torch.surrogate.intervals import rank_correlation
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


#: Number of largest components that are compared.
TOP = 5


@dataclass(frozen=True)
class Stability:
    """Means over pairs of seeds: the share of the largest `top` components (by size) that both have, and Spearman's rank
    correlation. `sensitivity` is the largest change from the first seed, relative to the length of its attributions, with
    the largest among as many random ones.
    """

    seeds: int
    top: int
    overlap: Figure
    correlation: Figure
    sensitivity: Figure


def measure_stability(
    runs: Float[Tensor, "seed d"], dealt: Float[Tensor, "row d"], several: Float[Tensor, "chance other d"]
) -> Stability:
    """Compare the attributions of several seeds with each other, and the first with random ones.

    The largest of several changes exceeds a single one. So `several` has, for every chance, as many random attributions as
    there are seeds after the first.
    """
    top = min(TOP, runs.shape[1])
    pairs = list(combinations(runs, 2))
    chance = [(runs[0], row) for row in dealt]
    sizes = torch.stack([measure_sensitivity(runs[0], others) for others in several])
    return Stability(
        seeds=len(runs),
        top=top,
        overlap=_compare([overlap_top(*pair, top) for pair in pairs], [overlap_top(*pair, top) for pair in chance]),
        correlation=_compare([rank_correlation(*pair) for pair in pairs], [rank_correlation(*pair) for pair in chance]),
        sensitivity=Figure(float(measure_sensitivity(runs[0], runs[1:])), float(sizes.mean()), float(sizes.std())),
    )


def overlap_top(first: Float[Tensor, " d"], second: Float[Tensor, " d"], k: int) -> float:
    """Share of the k largest by size that both have.

    >>> overlap_top(torch.tensor([3.0, -2.0, 1.0]), torch.tensor([-5.0, 0.0, 1.0]), 2)
    0.5
    """
    largest = [set(values.abs().argsort(descending=True, stable=True)[:k].tolist()) for values in (first, second)]
    return len(largest[0] & largest[1]) / k


def measure_sensitivity(attributions: Float[Tensor, " d"], others: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """The largest ‖other − attributions‖ / ‖attributions‖, as Captum's `sensitivity_max` (Yeh et al. 2019, eq. 2).

    `others` are attributions of the same question under other seeds, or of a slightly changed input.

    >>> float(measure_sensitivity(torch.tensor([3.0, 4.0]), torch.tensor([[3.0, 4.0], [3.0, 5.0]])))
    0.2...
    """
    # Eq. 2 takes the maximum over a ball around the input; here it is over the draws that were made, with the other
    # explanation in place of that of a perturbed input. Relative to the length, so that scales don't matter.
    length = attributions.norm()
    return (others - attributions).norm(dim=1).amax() / torch.where(length > 0, length, 1.0)


def _compare(measured: list[float], random: list[float]) -> Figure:
    table = torch.tensor(random, dtype=torch.float64)
    return Figure(sum(measured) / len(measured), float(table.mean()), float(table.std()))


@dataclass(frozen=True)
class Randomisation:
    """Spearman's rank correlation of the attributions with those of the model shuffled from its output down, by the share of
    weight tensors that are shuffled; `correlation` is that of the last share.
    """

    shares: tuple[float, ...]
    correlations: tuple[float, ...]
    correlation: Figure


def measure_randomisation(
    question: Question,
    columns: Sequence[int],
    attributions: Float[Tensor, " d"],
    dealt: Float[Tensor, "row d"],
    shares: Sequence[float],
    seed: int,
    progress: bool | Stages = False,
) -> Randomisation | None:
    """Shuffle the weights, explain again, compare over `columns`; None without shares or accessible weights.

    `dealt` are random attributions. The model gets its own weights back, whatever happens.
    """
    module = module_behind(question.model)
    if not shares or module is None or next(module.parameters(), None) is None:
        return None
    # The cascade of Adebayo et al.: the shuffled share grows from the output down to the input. A faithful explanation loses
    # its rank correlation on the way.
    correlations = []
    for share in shares:
        try:
            with shuffling(module, share, seed):
                again = question.explain_again(progress=progress)
        except InputError as error:
            raise InputError(
                f"with its weights shuffled the model can't be explained ({str(error).rstrip('.')}): leave that out "
                f"with shuffled=().",
                argument="shuffled",
            ) from error
        correlations.append(rank_correlation(attributions, again.attributions[again.target, list(columns)]))
    chance = torch.tensor([rank_correlation(attributions, row) for row in dealt], dtype=torch.float64)
    return Randomisation(
        tuple(shares), tuple(correlations), Figure(correlations[-1], float(chance.mean()), float(chance.std()))
    )
