"""Whether an explanation stays where it should, and changes where it should.

It should stay under other seeds for its masks. Noise that stands in for removed stems is the same for all seeds: it is
part of the question, not of the draw of masks. It should change when the model's weights are shuffled (the
model-randomisation test of Adebayo et al. 2018): one that doesn't shows the architecture, or the song, and not what was
learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.faithfulness.ladder import Figure
from musiclime_torch.faithfulness.question import Question
from musiclime_torch.models.care import module_behind
from musiclime_torch.models.hashing import shuffling
from musiclime_torch.surrogate.intervals import rank_correlation

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
                again = question.explain_again()
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
