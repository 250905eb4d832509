"""What all figures share: their colours, their axes, and names as they are."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

#: For and against: apart for the colour-blind too (Okabe & Ito).
FOR, AGAINST, UNTOLD = "#0072B2", "#D55E00", "#9a9a9a"


def make_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The axes that were given, or new ones on a figure of their own, in inches."""
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def pick_colour(value: float, told: bool = True) -> str:
    """By the sign, grey for what is not significant."""
    return UNTOLD if not told else FOR if value > 0 else AGAINST


def escape(name: str) -> str:
    """Words as they are: matplotlib takes what stands between dollars for a formula."""
    return name.replace("$", r"\$")
