"""Click tracks whose beats are known."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def make_clicks(
    tempo: float,
    seconds: float,
    *,
    rate: int = 22050,
    start: float = 0.3,
    noise: float = 0.003,
    seed: int = 0,
    pickup: int = 0,
) -> tuple[Float[Tensor, "1 frame"], list[float]]:
    """Clicks at every beat, every fourth one louder after a pickup of some, over a little noise; and their times."""
    drawn = np.random.default_rng(seed)
    sound = noise * drawn.standard_normal(round(rate * seconds))
    times = np.arange(start, seconds - 0.1, 60 / tempo)
    length = round(0.03 * rate)
    ages = np.arange(length)
    click = np.exp(-ages / (0.006 * rate)) * np.sin(2 * np.pi * 1000 * ages / rate)
    for number, time in enumerate(times):
        first = round(time * rate)
        sound[first : first + length] += (1.0 if number % 4 == pickup else 0.6) * click[: len(sound) - first]
    return torch.from_numpy(sound.astype(np.float32))[None], times.tolist()
