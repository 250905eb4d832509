"""A model as a trainer needs it: a batch in, loss and logits out."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from musiclime_torch.models.care import in_float32, widen
from musiclime_torch.models.contract import TokenBatch


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
