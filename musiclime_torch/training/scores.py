"""Held-out songs run through a model over their whole length, as explanations run them, and how well it classifies them:
accuracy and F1 of each class, and macro F1, which weighs all classes equally. What a trainer needs is here too: a batch in,
loss and logits out.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from musiclime_torch.basics.progress import open_bar
from musiclime_torch.models.care import evaluating, in_float32, widen
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


class Learner(nn.Module):
    """Any model of `musiclime_torch.models.contract` that takes token embeddings; `weights` are weights of the classes."""

    weights: Float[Tensor, " class"] | None

    def __init__(self, model: Any, weights: Float[Tensor, " class"] | None, smoothing: float) -> None:
        super().__init__()
        self.model, self.smoothing = model, smoothing
        self.register_buffer("weights", weights, persistent=False)

    def forward(
        self,
        audio: Float[Tensor, "row channel frame"],
        ids: Int[Tensor, "row token"],
        attended: Bool[Tensor, "row token"],
        labels: Float[Tensor, "row class"],
        known: Bool[Tensor, "row class"],
    ) -> dict[str, Tensor]:
        """Mean loss over the known labels, and the logits."""
        logits = self._decide(audio, ids, attended)
        with in_float32(logits.device):
            measure = _measure_independent if self.model.output_kind == "multilabel" else _measure_competing
            return {"loss": measure(logits, labels, known, self.weights, self.smoothing), "logits": logits}

    def _decide(self, audio: Tensor, ids: Tensor, attended: Tensor) -> Float[Tensor, "row class"]:
        """Run encoders in the surrounding precision, and heads in float32 where they are separate."""
        model, takes = self.model, self.model.modalities
        if takes == ("audio",):
            logits: Tensor = model(audio)
        elif takes == ("lyrics",):
            logits = model(TokenBatch(model.embed_text(ids), attended))
        elif hasattr(model, "fuse"):
            encoded_audio, encoded_text = (
                model.encode_audio(audio),
                model.encode_text(TokenBatch(model.embed_text(ids), attended)),
            )
            # Under autocast encoders give bfloat16; widened first, the head and the loss run in float32.
            with in_float32(encoded_audio.device):
                logits = model.fuse(widen(encoded_audio), widen(encoded_text))
        else:
            logits = model(audio, TokenBatch(model.embed_text(ids), attended))
        return widen(logits)


def _measure_independent(
    logits: Tensor, labels: Tensor, known: Tensor, weights: Tensor | None, smoothing: float
) -> Float[Tensor, ""]:
    """Binary cross-entropy; a class's weight applies where the class is present."""
    # Smoothed targets lie in [smoothing, 1 − smoothing]: the logits have a finite optimum, ±log((1 − s) / s).
    targets = labels * (1 - 2 * smoothing) + smoothing
    losses = nn.functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def _measure_competing(
    logits: Tensor, labels: Tensor, known: Tensor, weights: Tensor | None, smoothing: float
) -> Float[Tensor, ""]:
    """Cross-entropy, a song's loss weighted by its class."""
    targets = labels * (1 - smoothing) + smoothing / labels.shape[1]
    # A song counts only if all its labels are known: a softmax over an unknown one would train against it.
    each = labels.new_ones(len(labels)) if weights is None else labels @ weights
    each = each * known.all(1)
    return -((targets * logits.log_softmax(1)).sum(1) * each).sum() / each.sum().clamp(min=torch.finfo(each.dtype).tiny)
