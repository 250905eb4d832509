"""The scale on which a decision is explained: the same outputs serve logits, log-odds and probabilities."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.failures import InputError

Space = Literal["logit", "log-odds", "probability", "raw"]

#: Which spaces each kind of output can be shown in; the first is used when none is asked for.
OFFERED: dict[str, tuple[Space, ...]] = {
    "logits": ("logit", "log-odds", "probability"),
    "multilabel": ("logit", "log-odds", "probability"),
    "probabilities": ("probability", "log-odds"),
    "regression": ("raw",),
    "embedding": ("raw",),
}


def pick_space(asked: Space | None, output_kind: str) -> Space:
    """The asked space where the outputs have it, InputError where they don't; the kind's first one by default.

    >>> pick_space(None, "logits")
    'logit'
    """
    offered = OFFERED[output_kind]
    if asked is not None and asked not in offered:
        raise InputError(f"outputs that are {output_kind} can't be shown as {asked}: use {' or '.join(offered)}.")
    return asked or offered[0]


def to_space(
    outputs: Float[Tensor, "n class"], output_kind: str, space: Space, song: Float[Tensor, " class"]
) -> Float[Tensor, "n value"]:
    """Outputs on the chosen scale, float64; embeddings become one column, their cosine with the `song`'s own."""
    values = outputs.double()
    if output_kind == "logits" and space != "logit" and values.shape[1] == 1:
        raise InputError("one logit has no softmax to compete in: its output_kind is multilabel (--output-kind multilabel).")
    if output_kind == "embedding":
        return torch.nn.functional.cosine_similarity(values, song.double(), dim=1)[:, None]
    if space == "probability" and output_kind != "probabilities":
        return values.softmax(1) if output_kind == "logits" else values.sigmoid()
    if space == "log-odds" and output_kind == "logits":
        return _log_odds(values)
    if space == "log-odds" and output_kind == "probabilities":
        return torch.logit(values, eps=torch.finfo(outputs.dtype).eps)
    return values


def _log_odds(logits: Float[Tensor, "n class"]) -> Float[Tensor, "n class"]:
    """Log p / (1 − p) of a softmax; the winner's from the others' sum, for its 1 − p may be too small for a float."""
    log_share = logits.log_softmax(1)
    odds = log_share - torch.log(-torch.expm1(log_share))
    winner = logits.argmax(1, keepdim=True)
    others = logits.scatter(1, winner, float("-inf")).logsumexp(1, keepdim=True)
    return odds.scatter(1, winner, logits.gather(1, winner) - others)
