"""The model-randomisation test (Adebayo et al. 2018): an explanation of a model whose weights were shuffled must be another.

One that stays shows the architecture, or the song, and not what was learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.faithfulness.chance import Figure
from musiclime_torch.faithfulness.question import Question
from musiclime_torch.models.care import module_behind
from musiclime_torch.models.shuffling import shuffling
from musiclime_torch.surrogate.ranks import rank_correlation


@dataclass(frozen=True)
class Randomisation:
    """Spearman's rank correlation of the attributions with those of the model shuffled from its output down, by the share of
    weight tensors that are; `correlation` is that of the last share.
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
    """Shuffle the weights, explain again, compare over `columns`; None without shares or weights in reach.

    `dealt` are random attributions. The model gets its own weights back, whatever happens.
    """
    module = module_behind(question.model)
    if not shares or module is None or next(module.parameters(), None) is None:
        return None
    found = []
    for share in shares:
        try:
            with shuffling(module, share, seed):
                again = question.explain_again()
        except InputError as error:
            raise InputError(
                f"with its weights shuffled the model can't be explained ({str(error).rstrip('.')}): leave that out "
                f"(--no-shuffle)."
            ) from error
        found.append(rank_correlation(attributions, again.attributions[again.target, list(columns)]))
    chance = torch.tensor([rank_correlation(attributions, row) for row in dealt], dtype=torch.float64)
    return Randomisation(tuple(shares), tuple(found), Figure(found[-1], float(chance.mean()), float(chance.std())))
