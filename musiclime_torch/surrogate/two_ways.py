"""Squared errors that are clustered two ways, added up: Cameron, Gelbach & Miller (2011), section 2.2."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Variances:
    """Squared errors of a table from sampling audio masks and from sampling lyric masks, and what both of them count."""

    audio: Float[Tensor, "class audio lyric"]
    lyrics: Float[Tensor, "class audio lyric"]
    twice: Float[Tensor, "class audio lyric"]

    @property
    def total(self) -> Float[Tensor, "class audio lyric"]:
        """Their sum less the overlap. A difference of estimates may come out too small: it is never below the larger one."""
        return torch.maximum(self.audio + self.lyrics - self.twice, torch.maximum(self.audio, self.lyrics))


def combine_freedom(
    variances: Variances,
    total: Float[Tensor, "class audio lyric"],
    audio: Float[Tensor, " audio"],
    lyrics: Float[Tensor, " lyric"],
) -> Float[Tensor, "class audio lyric"]:
    """Satterthwaite's (1946) degrees of freedom of the sum, at least the smaller of both sides'."""
    spent = variances.audio.square() / audio[:, None] + variances.lyrics.square() / lyrics
    least = torch.minimum(audio[:, None], lyrics)
    return torch.where(spent > 0, total.square() / spent, least).clamp_min(least)
