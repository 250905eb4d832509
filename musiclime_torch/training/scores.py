"""How well a model classifies: accuracy and F1 of each class, and macro F1, which weighs all classes equally."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """`songs` counts those with the class. `class_accuracy` is the share of these that get it, or for independent classes
    the share of right decisions over all songs. `accuracy` is the share of songs with every decision right; `macro_f1` is
    the mean of `f1` over classes that some song has.
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
    # F1 = 2 TP / (2 TP + FP + FN), and the denominator is the number of true plus the number of decided songs. A class
    # without either gets 0 and, having no songs, stays out of the mean.
    f1 = 2 * hits / (songs + decided.sum(0)).clamp(min=1)
    right = (decided == truth).double().mean(0) if kind == "multilabel" else hits / songs.clamp(min=1)
    has_songs = songs > 0
    return Scores(
        songs=songs,
        class_accuracy=right.double(),
        f1=f1.double(),
        accuracy=float((decided == truth).all(1).double().mean()),
        macro_f1=float(f1[has_songs].double().mean()) if has_songs.any() else 0.0,
    )


def _take_largest(outputs: Tensor) -> Bool[Tensor, "song class"]:
    return torch.nn.functional.one_hot(outputs.argmax(1), outputs.shape[1]).bool()
