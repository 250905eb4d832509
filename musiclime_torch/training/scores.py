"""How well classes are told apart: accuracy and F1 of each, and macro F1, which counts every class alike."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """`songs` have the class; `class_accuracy` is the share of them found, or, of independent classes, of all decisions
    that are right. `accuracy` is the share of songs with every decision right; `macro_f1` the mean of `f1` over classes
    that a song has.
    """

    songs: Int[Tensor, " class"]
    class_accuracy: Float[Tensor, " class"]
    f1: Float[Tensor, " class"]
    accuracy: float
    macro_f1: float


def score(outputs: Float[Tensor, "song class"], labels: Float[Tensor, "song class"], kind: str) -> Scores:
    """Compare decisions with labels; `kind` is "logits", of which the largest decides, or "multilabel".

    >>> truth = torch.eye(2)[[0, 0, 1]]
    >>> table = score(torch.tensor([[2.0, 1.0], [0.0, 1.0], [0.0, 3.0]]), truth, "logits")
    >>> [round(float(value), 3) for value in table.f1], round(table.accuracy, 3)
    ([0.667, 0.667], 0.667)
    """
    truth = labels > 0.5
    decided = outputs > 0 if kind == "multilabel" else _take_largest(outputs)
    hits = (decided & truth).sum(0)
    songs = truth.sum(0)
    # A class nobody has and nobody was given counts as neither found nor missed.
    f1 = 2 * hits / (songs + decided.sum(0)).clamp(min=1)
    right = (decided == truth).double().mean(0) if kind == "multilabel" else hits / songs.clamp(min=1)
    there = songs > 0
    return Scores(
        songs=songs,
        class_accuracy=right.double(),
        f1=f1.double(),
        accuracy=float((decided == truth).all(1).double().mean()),
        macro_f1=float(f1[there].double().mean()) if there.any() else 0.0,
    )


def _take_largest(outputs: Tensor) -> Bool[Tensor, "song class"]:
    return torch.nn.functional.one_hot(outputs.argmax(1), outputs.shape[1]).bool()
