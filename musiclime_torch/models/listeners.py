"""The part of a student that hears: every combination of stems in every segment of a song, of which a mask picks some."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from musiclime_torch.models.parts import HEADS, add_scales, make_judge, pool


class Listener(nn.Module):
    """Cells to outputs. Weights are plain tensors."""

    mean: Float[Tensor, " feature"]
    spread: Float[Tensor, " feature"]
    output_spread: Float[Tensor, " class"]

    def __init__(self, features: int, width: int, n_outputs: int) -> None:
        super().__init__()
        add_scales(self, features, n_outputs)
        self.hear = nn.Sequential(nn.Linear(features, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        #: Where a segment lies in the song, as a share of it.
        self.place = nn.Linear(2, width)
        self.near = nn.Conv1d(width, width, 3, padding=1)
        self.nearer = nn.Conv1d(width, width, 3, padding=1)
        self.weigh = nn.Linear(width, HEADS)
        self.judge = make_judge(width, n_outputs)

    def embed(self, source: Float[Tensor, "segment combination feature"]) -> Float[Tensor, "segment combination width"]:
        """Every combination of stems in every segment, once a song."""
        heard: Tensor = self.hear((source - self.mean) / self.spread)
        place = torch.linspace(0, 1, len(source), device=source.device)
        return heard + self.place(torch.stack([place, 1 - place], 1))[:, None]

    def forward(
        self, embedded: Float[Tensor, "segment combination width"], masks: Bool[Tensor, "n column"]
    ) -> Float[Tensor, "n class"]:
        """Outputs under masks of stems × segments, stem-major, in units of their own spread."""
        chosen = choose(masks, len(embedded))
        picked = embedded[torch.arange(len(embedded), device=chosen.device), chosen].transpose(1, 2)
        picked = picked + self.nearer(nn.functional.gelu(self.near(picked)))
        outputs: Tensor = self.judge(pool(self.weigh, picked.mT))
        return outputs


def choose(masks: Bool[Tensor, "n column"], segments: int) -> Int[Tensor, "n segment"]:
    """The combination of stems in each segment, as a number: bit s is stem s.

    >>> choose(torch.tensor([[True, False, True, True]]), 2).tolist()
    [[3, 2]]
    """
    stems = masks.unflatten(1, (-1, segments)).long()
    return (stems << torch.arange(stems.shape[1], device=masks.device)[:, None]).sum(1)
