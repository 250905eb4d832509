"""Where random masks come from: the global state, advanced exactly as Captum does; a generator; or a seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import SupportsIndex

import torch
from jaxtyping import Bool
from torch import Tensor

from musiclime_torch.basics.arguments import read_integer
from musiclime_torch.basics.errors import InputError


@dataclass(frozen=True)
class Chance:
    """A `seed` gives every example and every call the same masks: common random numbers. A `generator` is drawn from in
    turn. With neither, the global random state is: example after example, as Captum draws.
    """

    seed: int | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and self.generator is not None:
            raise InputError(f"seed={self.seed} and a generator were both given: give only one.")
        if self.generator is not None and self.generator.device.type != "cpu":
            raise InputError(
                f"masks are drawn on the CPU, but the generator is on {self.generator.device}: give one for the CPU."
            )

    @property
    def shared(self) -> bool:
        """Whether all examples have the same masks."""
        return self.seed is not None

    @property
    def is_global(self) -> bool:
        """Whether the global random state is drawn from."""
        return self.seed is None and self.generator is None

    def start(self) -> torch.Generator | None:
        """The generator of this call; None is the global state."""
        return self.generator if self.seed is None else torch.Generator().manual_seed(self.seed)

    @contextmanager
    def governing(self) -> Iterator[None]:
        """For one example: callables that draw from torch's global state draw from here instead; it is given back."""
        if self.is_global:
            yield
        else:
            with torch.random.fork_rng():
                torch.manual_seed(draw_seed(self.generator) if self.seed is None else self.seed)
                yield


def pick_chance(seed: SupportsIndex | None, generator: torch.Generator | None) -> Chance:
    """The `Chance` of an explainer's arguments; InputError for a seed that is not a whole number."""
    return Chance(None if seed is None else read_integer(seed, "seed"), generator)


def draw_seed(generator: torch.Generator | None) -> int:
    """One number for another generator to start from."""
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator))


def draw_masks(n_samples: int, components: int, generator: torch.Generator | None) -> Bool[Tensor, "n component"]:
    """Independent masks, each component on with probability one half, bit by bit those of Captum's `Lime` at the same state.

    `torch.rand` < ½ takes the same numbers as Captum's `torch.bernoulli`, in a sixth of the time.
    """
    return torch.rand(n_samples, components, generator=generator) < 0.5


def skip_fit_draws(components: int) -> None:
    """Advance the global state as Captum's fit of a linear surrogate does: a data loader's seed, a new layer's weights."""
    # Captum's next example draws after these, so masks match its own only if they are drawn here too.
    torch.empty((), dtype=torch.int64).random_()
    torch.nn.Linear(components, 1)
