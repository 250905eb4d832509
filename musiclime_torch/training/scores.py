"""Held-out songs run through a model over their whole length, as explanations run them, and how well it classifies them:
accuracy and F1 of each class, and macro F1, which weighs all classes equally.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from musiclime_torch.basics.progress import open_bar
from musiclime_torch.models.care import evaluating
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.training.songs import ManifestSongs, cut_windows, load_stems


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


def predict(
    model: Any, songs: ManifestSongs, device: torch.device | str, without: str | None = None, name: str = "model"
) -> Float[Tensor, "song class"]:
    """Outputs for every song, the mean over its windows; `without` "audio" replaces the sound by silence, "lyrics" the
    lyrics by nothing. `name` is what a bar calls the model, on standard error if that is a terminal.
    """
    rows = []
    with evaluating(model), open_bar(len(songs), name=f"{name}: test songs", unit="song", shown=True) as bar:
        for number in range(len(songs)):
            inputs: list[Any] = []
            windows = 1
            if songs.hears:
                windows_of_song = _hear(songs, number, without == "audio").to(device)
                inputs.append(windows_of_song)
                windows = len(windows_of_song)
            if songs.reads:
                tokens = model.tokenize("" if without == "lyrics" else songs.texts[number])
                embedded = model.embed_text(tokens.ids.to(device)).expand(windows, -1, -1)
                inputs.append(TokenBatch(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool, device=device)))
            # The mean over windows, as explanations average a song longer than the model's input.
            rows.append(model(*inputs).mean(0).float().cpu())
            bar.update(1)
    return torch.stack(rows)


def _hear(songs: ManifestSongs, number: int, silent: bool) -> Float[Tensor, "window 1 frame"]:
    sound = load_stems(songs.entries[number], songs.rate, songs.max_seconds, None).sum(0)
    windows = cut_windows(sound, songs.rate, songs.longest)
    return torch.zeros_like(windows) if silent else windows
