"""What stems leave of a song, as a stem of its own."""

import torch
from jaxtyping import Float
from torch import Tensor

#: Frames handled at once in double precision.
_BLOCK = 1 << 20
#: Relative to the song's peak, or to full scale where that is more.
_NOTHING = 1e-6


def complete(
    song: Float[Tensor, "channel frame"], stems: Float[Tensor, "stem channel frame"], names: tuple[str, ...]
) -> tuple[Float[Tensor, "stem2 channel frame"], tuple[str, ...]]:
    """Stems and names with the residual after them, so that they sum to the song; unchanged if they already do.

    If a stem is already named "residual", what is left is added to it.

    >>> stems, names = complete(torch.ones(1, 2), torch.full((1, 1, 2), 0.75), ("voice",))
    >>> stems[1], names
    (tensor([[0.2500, 0.2500]]), ('voice', 'residual'))
    """
    # In double precision: the sum of several float32 stems rounds by more than what is tolerated as nothing.
    left = torch.empty_like(song)
    for at in range(0, song.shape[-1], _BLOCK):
        part = slice(at, at + _BLOCK)
        left[:, part] = song[:, part].double() - stems[..., part].sum(0, dtype=torch.float64)
    if left.abs().max() <= _NOTHING * max(1.0, float(song.abs().max())):
        return stems, names
    if "residual" in names:
        stems = stems.clone()
        stems[names.index("residual")] += left
        return stems, names
    return torch.cat([stems, left[None]]), (*names, "residual")
