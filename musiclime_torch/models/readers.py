"""The part of a student that reads: the embeddings of a song's tokens, some of their words removed, to outputs.

It sees what the model sees first: the model's own embeddings of the words, or of what stands in for them. What the model
makes of these is the student's to learn.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from musiclime_torch.models.parts import HEADS, add_scales, make_judge, pool

#: Tokens that have a place of their own; later ones share the last.
PLACES = 512


@dataclass(frozen=True)
class Words:
    """What a student reads of a song: each token's embedding as sung and as removed, and the column that owns it.

    Tokens that no column owns have the number of columns for one.
    """

    sung: Float[Tensor, "token dim"]
    removed: Float[Tensor, "token dim"]
    owner: Int[Tensor, " token"]


#: Tokens as removed and as sung, and who owns them.
Read = tuple[Float[Tensor, "2 token width"], Int[Tensor, " token"]]


class Reader(nn.Module):
    """Tokens to outputs. Weights are plain tensors."""

    mean: Float[Tensor, " dim"]
    spread: Float[Tensor, " dim"]
    output_spread: Float[Tensor, " class"]

    def __init__(self, dim: int, width: int, n_outputs: int) -> None:
        super().__init__()
        add_scales(self, dim, n_outputs)
        self.look = nn.Sequential(nn.Linear(dim, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.place = nn.Embedding(PLACES, width)
        nn.init.normal_(self.place.weight, std=0.3)
        self.weigh = nn.Linear(width, HEADS)
        self.judge = make_judge(width, n_outputs)

    def embed(self, source: Words) -> Read:
        """Every token, once a song."""
        seen: Tensor = self.look((torch.stack([source.removed, source.sung]) - self.mean) / self.spread)
        place = torch.arange(len(source.owner), device=seen.device).clamp(max=PLACES - 1)
        return seen + self.place(place), source.owner

    def forward(self, embedded: Read, masks: Bool[Tensor, "n column"]) -> Float[Tensor, "n class"]:
        """Outputs in units of their own spread."""
        (removed, sung), owner = embedded
        kept = torch.cat([masks, torch.ones_like(masks[:, :1])], 1)[:, owner]
        tokens = torch.where(kept[:, :, None], sung, removed)
        outputs: Tensor = self.judge(pool(self.weigh, tokens))
        return outputs
