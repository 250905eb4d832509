"""Row weights by distance from the song. Each takes masks (n, d), True = kept, and returns n weights.

The distance of a mask from the song is the cosine distance of the 0/1 vectors, 1 − √(share kept), in [0, 1].
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError

#: MusicLIME's width; against distances in [0, 1] the weights lie in [0.9992, 1]: unweighted in effect.
PAPER_WIDTH = 25.0


def weigh_by_proximity(masks: Bool[Tensor, "n d"], kernel_width: float) -> Float[Tensor, " n"]:
    """LIME's kernel √exp(−distance² / width²) (Ribeiro et al. 2016; their code's square root kept).

    >>> weigh_by_proximity(torch.tensor([[True, True], [False, False]]), 0.5).tolist()
    [1.0, 0.1353...]
    """
    if not kernel_width > 0:
        raise InputError(f"kernel width {kernel_width} is not above zero: LIME's own are 0.25 (images) and 25 (text).")
    distance = 1 - masks.double().mean(1).sqrt()
    return torch.exp(-distance.square() / (2 * kernel_width**2)).float()
