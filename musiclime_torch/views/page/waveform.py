"""How loud a sound is over time, as the outline of an SVG path in a box of 1000 × 100 that the page stretches."""

import torch
from jaxtyping import Float
from torch import Tensor

#: Steps of an outline: about one a pixel on a wide screen for the song, fewer for the rows of its stems.
SONG_STEPS, STEM_STEPS = 900, 300


def measure_peaks(sound: Float[Tensor, "channel frame"], steps: int) -> Float[Tensor, " step"]:
    """The largest absolute sample of each of `steps` equal stretches (fewer where there are fewer frames).

    >>> measure_peaks(torch.tensor([[0.0, 0.5, -1.0, 0.0]]), 2).tolist()
    [0.5, 1.0]
    """
    loud = sound.abs().amax(0)
    steps = min(steps, len(loud))
    edges = torch.linspace(0, len(loud), steps + 1).round().long()
    step_of = torch.bucketize(torch.arange(len(loud)), edges[1:-1], right=True)
    return torch.zeros(steps, dtype=loud.dtype).scatter_reduce(0, step_of, loud, "amax")


def draw_outline(peaks: Float[Tensor, " step"], loudest: float, mirrored: bool) -> str:
    """Path data: about the middle where `mirrored`, else standing on the bottom; `loudest` reaches the edge."""
    reach = (peaks / loudest if loudest > 0 else peaks).clamp(0, 1).tolist()
    wide = 1000 / max(len(reach), 1)
    base, height = (50, 49) if mirrored else (100, 100)
    above = [f"{round(wide * place)} {round(base - height * high)}" for place, high in enumerate([*reach, *reach[-1:]])]
    if not mirrored:
        return f"M0 100L{'L'.join(above)}L1000 100Z"
    below = [f"{round(wide * place)} {round(base + height * high)}" for place, high in enumerate([*reach, *reach[-1:]])]
    return f"M{'L'.join(above)}L{'L'.join(reversed(below))}Z"
