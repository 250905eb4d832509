"""The two masks that every attribution is measured between."""

import torch
from jaxtyping import Bool
from torch import Tensor


def mask_ends(components: int) -> Bool[Tensor, "2 component"]:
    """The mask with every component on, then the one with every component off.

    >>> mask_ends(2)
    tensor([[ True,  True],
            [False, False]])
    """
    return torch.tensor([[True], [False]]).expand(2, components)
