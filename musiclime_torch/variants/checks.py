"""What is looked at after the last coefficient: outputs that are no numbers, components that can't be told apart."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.variants.components import Components


def check_outputs(values: Float[Tensor, "rows class"], names: tuple[str, ...], model: str) -> None:
    """InputError that names the first class and variant whose output is NaN or infinite."""
    bad = ~torch.isfinite(values)
    if not bad.any():
        return
    row, column = bad.nonzero()[0].tolist()
    variant = {0: "the song itself", 1: "the empty song"}.get(row, f"variant {row - 2}")
    raise InputError(
        f"the model {model} returned {float(values[row, column])} for class {names[column]!r} on {variant} "
        f"({int(bad.any(1).sum())} of {len(values)} variants): "
        f"it must return finite numbers for silence and masked words too."
    )


def check_means(means: Float[Tensor, " class"], names: tuple[str, ...], model: str) -> None:
    """The same for a grid of pairs, told by its mean: one number that is none spoils it."""
    bad = (~torch.isfinite(means)).nonzero().flatten().tolist()
    if bad:
        raise InputError(
            f"the model {model} gave no finite outputs for class {names[bad[0]]!r} on some masked sound with some masked "
            f"lyrics: it must return finite numbers for silence and masked words too."
        )


def check_rank(dependent: Bool[Tensor, " d"], components: Components, seen: Sequence[int], ridge: float) -> None:
    """InputError that names a component whose mask column the others contain; a ridge penalty makes do with it."""
    found = dependent.nonzero().flatten().tolist()
    if found and ridge == 0:
        raise InputError(
            f"the masks can't tell {components.items[seen[found[0]]].name!r} from other components "
            f"({len(found)} of {len(seen)} columns): ask for more masks, or set a ridge penalty."
        )
